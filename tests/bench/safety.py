"""Do the product's sample weights ever cost? Real and synthetic rows with faults that users bring, against the real rows alone.

    python tests/bench/safety.py [--quick] [--bases simulated,agnews,sst2-fewgen21] [--cases unrelated,rare_label] [--seeds 5]

Four students are trained on the real rows, and on all rows with the sample weights that `sa.align` gives both sides, and scored on real test rows.
A case is lost where the mean over students and seeds is below that of the real rows alone by more than one standard error over
seeds and test rows. The corpora lie under the folder that SYNALIGN_DATA names; without it, and with --quick (30 s), the rows are
simulated. The last line is one JSON object: `losses` are the cases that are lost, with their sizes.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

from synalign_spark.errors import ConfigError
from tests.bench.support.arguments import names
from tests.bench.support.corpora import embedded
from tests.bench.support.product import align, options_of
from tests.bench.support.safety_cases import CASES, Base, Product, Trial, run_case, summary
from tests.bench.support.simulated import elsewhere, simulated, vectors
from tests.bench.support.tasks import known_task, open_task

SIMULATED = "simulated"
UNRELATED = {"agnews": "sst2-fewgen21", "sst2-fewgen21": "agnews"}  # whose synthetic rows are about something else
MOST = (2_000, 2_000, 1_000)  # real, synthetic and test rows
QUICK: dict[str, Any] = {"bases": [SIMULATED], "seeds": 2, "settings": ["n_features=256", "permutations=99"]}


def open_base(name: str) -> Base:
    """Rows to make cases of. Raises SystemExit where the corpora are not there."""
    if name == SIMULATED:
        return Base(simulated(600, 900, 600), elsewhere(600), vectors)
    data, other = (open_task(known_task(task, MOST)) for task in (name, UNRELATED[name]))
    return Base(data, other.synthetic, lambda texts: embedded([hashlib.sha256(text.encode()).hexdigest() for text in texts], texts))


def results(bases: Sequence[str], cases: Sequence[str], seeds: int, product: Product) -> Iterator[dict[str, Any]]:
    """One entry a base and case, said as it comes."""
    for base in bases:
        rows = open_base(base)
        for case in cases:
            started = time.monotonic()
            found = {"base": base, "case": case, **run_seeds(rows, case, seeds, product), "seconds": round(time.monotonic() - started, 1)}
            print(json.dumps(found), file=sys.stderr, flush=True)
            yield found


def run_seeds(rows: Base, case: str, seeds: int, product: Product) -> dict[str, Any]:
    """The figures of a case over the seeds; refused: what the product said where it took none of them."""
    tried = [run_case(CASES[case](rows, seed), product, seed) for seed in range(seeds)]
    trials = [trial for trial in tried if isinstance(trial, Trial)]
    refused = sorted({trial for trial in tried if isinstance(trial, str)})
    return {"seeds": len(trials), **(summary(trials) if trials else {}), **({"refused": refused} if refused else {})}


def losses(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cases that cost more than one standard error."""
    lost = [case for case in found if case.get("difference", 0.0) < -case.get("stderr", 0.0)]
    return [{name: case[name] for name in ("base", "case", "difference", "stderr")} for case in lost]


def arguments() -> argparse.Namespace:
    """The command line; --quick gives every option that was not given its small value."""
    bases = [SIMULATED, *UNRELATED]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="simulated rows, two seeds")
    add("--bases", type=names(bases), help=f"default: {','.join(bases)}")
    add("--cases", type=names(list(CASES)), default=list(CASES), help=f"default: all of {','.join(CASES)}")
    add("--seeds", type=int, help="runs of each case, default 5")
    add("--set", action="append", dest="settings", metavar="KEY=VALUE", help="a setting of `align`")
    given = parser.parse_args()
    usual: dict[str, Any] = {"bases": bases if os.environ.get("SYNALIGN_DATA") else [SIMULATED], "seeds": 5, "settings": []}
    for name, value in (QUICK if given.quick else usual).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {given.seeds}")
    return given


def main() -> None:
    given = arguments()
    try:
        options = options_of(given.settings)
        found = list(
            results(
                given.bases,
                given.cases,
                given.seeds,
                lambda real, synthetic, seed, labelled: align(real, synthetic, seed, options, labelled),
            )
        )
    except (ConfigError, ValueError) as err:
        raise SystemExit(f"safety: {err}") from err
    lost = losses(found)
    print(json.dumps({"benchmark": "safety", "quick": given.quick, "losses": lost, "lost": len(lost), "tried": len(found), "cases": found}))


if __name__ == "__main__":
    main()
