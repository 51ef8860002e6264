"""The alignment solver: against Adam and an exact solver, against the memory's speed, over runtimes, rows and features.

    python tests/bench/align.py [--quick] [--only NAME ...] [--plot FILE.svg]

Rows are drawn from a mixture of 40 directions in 384 dimensions; the real ones prefer some of them. One process, all cores, unless
said otherwise; every comparison is over the same arrays in the same run. The part gpu runs where there is one, or on --device. The last
line is one JSON object.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.support import align_cases as cases
from tests.bench.support.gpu_case import gpu_case

SIZES = {  # full form, quick form
    "adam": ({"rows": 200_000, "features": 1_024, "rates": [0.03, 0.1, 0.3]}, {"rows": 20_000, "features": 256, "rates": [0.1]}),
    "exact": ({"rows": 2_000, "features": 128}, {"rows": 2_000, "features": 16}),
    "bandwidth": ({"rows": 400_000, "features": 2_048}, {"rows": 70_000, "features": 2_048}),
    "passes": ({"rows": 1_000_000, "features": 2_048}, {"rows": 40_000, "features": 256}),
    "barrier": ({"rows": 200_000, "features": 1_024, "times": 2}, {"rows": 20_000, "features": 256, "times": 1}),
    "memory": ({"rows": 500_000, "features": 2_048}, {"rows": 20_000, "features": 1_024}),
    "scaling": (
        {"rows": [10_000, 100_000, 1_000_000], "features": [256, 1_024, 2_048, 8_192]},
        {"rows": [10_000, 30_000], "features": [256, 1_024]},
    ),
    "gpu": ({"rows": [1_000_000, 10_000_000], "features": 1_024}, {"rows": [100_000], "features": 256}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes that end within 45 s on two cores")
    parser.add_argument("--only", nargs="+", choices=[*SIZES], help="some of the parts")
    parser.add_argument("--device", help="of the part gpu, as torch names it; cpu tries its code without a GPU")
    parser.add_argument("--plot", type=Path, help="draw the seconds a pass over rows and features as SVG")
    given = parser.parse_args()
    result: dict[str, object] = {"benchmark": "align", "quick": given.quick}
    for name in given.only or SIZES:
        started = time.monotonic()
        size = SIZES[name][int(given.quick)]
        result |= gpu_case(**size, device=given.device) if name == "gpu" else getattr(cases, name)(**size)
        print(f"{name}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    if given.plot and "scaling" in result:
        cases.plot(result["scaling"], given.plot)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
