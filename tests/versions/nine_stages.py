"""All nine stages on the Spark of this interpreter, and the weights held against those of Spark 4.2. `make test-spark-versions` runs it.

    python tests/versions/nine_stages.py FOLDER [--format parquet delta]   # one row a format into FOLDER
    python tests/versions/nine_stages.py FOLDER --compare                  # the table of docs/guide/spark-versions.md; fails where weights differ

Made-up reviews of two labels, 1,200 real and 400 imported ones of another mix of topics, as Parquet; the `hashing` embedder.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import synalign_spark as sa
from synalign_spark.compat import to_arrow
from synalign_spark.config.files import configured
from synalign_spark.pipeline.session import spark_session

REFERENCE, TOLERANCE = "4.2", 1e-6
TOPICS = ("plot", "acting", "music", "camera", "humour", "pace", "ending", "dialogue")
WORDS = {"good": ("fine", "warm", "clever", "bright", "lovely", "honest"), "bad": ("dull", "weak", "noisy", "clumsy", "empty", "slow")}
# Small queries that run once: compiling for the second time gives nothing back.
QUICK = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
STAGES = ("ingest", "embed", "cluster", "select", "generate", "align", "resample", "evaluate", "report")


def reviews(n: int, seed: int, skew: float) -> pa.Table:
    """n rows of text and label. skew: the share of topic i falls with exp(-skew i)."""
    rng = np.random.default_rng(seed)
    shares = np.exp(-skew * np.arange(len(TOPICS)))
    labels = rng.choice(list(WORDS), n)
    topics = rng.choice(TOPICS, n, p=shares / shares.sum())
    words = [rng.choice(WORDS[label], 2, replace=False) for label in labels]
    texts = [f"The {topic} of film {i} is {a} and {b}." for i, (topic, (a, b)) in enumerate(zip(topics, words, strict=True))]
    return pa.table({"text": texts, "label": labels.tolist()})


def measure(folder: Path, format: str) -> dict[str, object]:
    """One run; its weights stay in the folder."""
    spark = version("pyspark")
    lake = folder / f"lake-{format}-{spark}"
    shutil.rmtree(lake, ignore_errors=True)
    sources = {"real": reviews(1_200, 1, 0.1), "imported": reviews(400, 2, 0.6)}
    for name, table in sources.items():
        pq.write_table(table, folder / f"{name}.parquet")
    config = {
        "run": {"id": f"spark-{spark}"},
        "spark": {"master": "local[2]", "driver_memory": "1g", "conf": QUICK},
        "lake": {"path": str(lake), "format": format},
        "source": {"path": str(folder / "real.parquet"), "label_column": "label"},
        "embed": {"model": "hashing"},
        "cluster": {"k": 8},
        "generate": {"strategy": "imported", "imported": {"path": str(folder / "imported.parquet"), "label_column": "label"}},
        "align": {"n_features": 512},
    }
    start = time.monotonic()
    with spark_session(configured(config)) as session:
        sa.run(config, spark=session, progress=False)
        done = sa.run(config, spark=session, stage="evaluate", progress=False)
        weights = to_arrow(done.table("weights").select("doc_id", "weight").orderBy("doc_id"))
    seconds = time.monotonic() - start
    pq.write_table(weights, folder / f"weights-{format}-{spark}.parquet")
    stages = [name for name in STAGES if name in done.manifest]
    return {
        "spark": spark,
        "format": format,
        "delta": version("delta-spark") if format == "delta" else "",
        "stages": stages,
        "seconds": seconds,
    }


def compare(folder: Path) -> int:
    """Prints the table; 1 where a run is short of a stage or its weights differ."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("run-*.json"))]
    wanted = {row["format"]: weights(folder, row) for row in found if row["spark"].startswith(REFERENCE)}
    print(f"| Spark | lake | stages | rows of weight > 0 | largest difference from {REFERENCE} |\n|---|---|---|---|---|")
    failed = not found
    for row in found:
        ours, theirs = weights(folder, row), wanted.get(row["format"], {})
        same = ours.keys() == theirs.keys()
        off = max((abs(ours[key] - theirs[key]) for key in ours), default=0.0) if same else float("inf")
        failed |= off > TOLERANCE or len(row["stages"]) < len(STAGES)
        lake = f"Delta {row['delta']}" if row["delta"] else "Parquet"
        n = sum(weight > 0 for weight in ours.values())
        print(f"| {row['spark']} | {lake} | {len(row['stages'])} of {len(STAGES)} | {n} | {off:.1e} |")
    return int(failed)


def weights(folder: Path, row: dict[str, object]) -> dict[str, float]:
    table = pq.read_table(folder / f"weights-{row['format']}-{row['spark']}.parquet")
    return dict(zip(table["doc_id"].to_pylist(), table["weight"].to_pylist(), strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", nargs="+", default=["parquet"], choices=["parquet", "delta"])
    parser.add_argument("--compare", action="store_true")
    given = parser.parse_args()
    if given.compare:
        return compare(given.folder)
    given.folder.mkdir(parents=True, exist_ok=True)
    if len(given.format) > 1:  # each in a process of its own: a JVM keeps the jars that it began with, and that of Parquet has no Delta
        for format in given.format:
            subprocess.run([sys.executable, __file__, str(given.folder), "--format", format], check=True)
        return 0
    for format in given.format:
        row = measure(given.folder, format)
        (given.folder / f"run-{format}-{row['spark']}.json").write_text(json.dumps(row))
        print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
