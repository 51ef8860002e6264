"""Do the weights undo a bias that is known? Synthetic rows are real rows with clean labels, kept by a known probability.

    python tests/bench/known_bias.py [--quick] [--tasks agnews,sst2-fewgen21] [--biases topic,length,label] [--seeds 3] [--most 6000]

The real rows of a task are split in three by a hash: real rows, the source of the synthetic ones, and rows to measure by. Each synthetic row is kept
with a probability that follows from its topic (the half of its label that it lies in), its length, or its label: one over it is its true weight. Printed are Spearman's
correlation of the product's weights with the true ones, the share of the rare group (of the real rows, as given, weighted), and the MMD^2
to the rows that nobody saw, against that of the true weights (`mmd2_ratio`; aimed at 1.15). The part many_labels times 24 labels (aimed at
30 s). The corpora lie under the folder that SYNALIGN_DATA names; --quick simulates them. The last line is one JSON object.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

from synalign_spark.errors import SynalignError
from tests.bench.support.arguments import names
from tests.bench.support.biases import BIASES, measure, plant
from tests.bench.support.corpora import Corpus, data_folder
from tests.bench.support.product import align, options_of
from tests.bench.support.simulated import simulated
from tests.bench.support.tasks import known_task, open_task

TASKS, MANY_LABELS, SIMULATED = ("agnews", "sst2-fewgen21"), "amazon_24cat", "simulated"
QUICK: dict[str, Any] = {"tasks": [SIMULATED], "seeds": 1, "most": 3_000, "settings": ["n_features=512", "permutations=99"]}
RATIO, SECONDS = 1.15, 30.0  # what is aimed at


def real_table(task: str, most: int) -> Corpus:
    """The rows that a task's biases are planted in. Raises SystemExit where the corpora are not there."""
    if task == SIMULATED:
        return simulated(most, 0, 0).real
    return open_task(known_task(task)).real.take(slice(most))


def biased(given: argparse.Namespace, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One entry a task, bias and seed, said as it comes."""
    for task in given.tasks:
        rows = real_table(task, given.most)
        for bias in given.biases:
            for seed in range(given.seeds):
                planted, started = plant(rows, bias, seed), time.monotonic()
                found = align(planted.real, planted.synthetic, seed, options)
                entry = {"task": task, "bias": bias, "seed": seed, "seconds": round(time.monotonic() - started, 1)}
                entry |= measure(planted, found.weight)
                print(json.dumps(entry), file=sys.stderr, flush=True)
                yield entry


def many_labels(options: dict[str, Any]) -> dict[str, Any]:
    """Seconds of an alignment of 24 labels, and its weight on rows with a wrong label."""
    data, started = open_task(known_task(MANY_LABELS)), time.monotonic()
    found = align(data.real, data.synthetic, 0, options)
    seconds = time.monotonic() - started
    flipped = float(found.weight[data.flipped].sum())
    sizes = {"labels": len(np.unique(data.real.labels)), "real_rows": len(data.real), "synthetic_rows": len(data.synthetic)}
    return {**sizes, "seconds": round(seconds, 1), "weight_on_flipped": round(flipped, 4), "within": seconds <= SECONDS}


def arguments() -> argparse.Namespace:
    """The command line; --quick gives every option that was not given its small value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="simulated rows, one seed, no 24 labels")
    add("--tasks", type=names([*TASKS, SIMULATED]), help=f"default: {','.join(TASKS)}")
    add("--biases", type=names(list(BIASES)), default=list(BIASES), help=f"default: all of {','.join(BIASES)}")
    add("--seeds", type=int, help="of the split and of the rows kept, default 3")
    add("--most", type=int, help="rows of a task, default 6000")
    add("--set", action="append", dest="settings", metavar="KEY=VALUE", help="a setting of `align`")
    given = parser.parse_args()
    usual: dict[str, Any] = {"tasks": list(TASKS), "seeds": 3, "most": 6_000, "settings": []}
    for name, value in (QUICK if given.quick else usual).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.seeds < 1 or given.most < 300:
        parser.error(f"--seeds must be at least 1 and --most 300, got {given.seeds} and {given.most}")
    return given


def main() -> None:
    given = arguments()
    ends: dict[str, Any] = {"benchmark": "known_bias", "quick": given.quick}
    try:
        if given.tasks != [SIMULATED]:
            data_folder()
        options = options_of(given.settings)
        found = list(biased(given, options))
        many = None if given.quick else many_labels(options)
    except SystemExit as err:  # machines without the corpora run the other benchmarks
        print(err, file=sys.stderr)
        print(json.dumps(ends | {"skipped": str(err)}))
        return
    except (SynalignError, ValueError) as err:
        raise SystemExit(f"known_bias: {err}") from err
    above = [entry for entry in found if entry["mmd2_ratio"] > RATIO]
    print(json.dumps(ends | {"rows": found, "many_labels": many, "above": above, "tried": len(found)}))


if __name__ == "__main__":
    main()
