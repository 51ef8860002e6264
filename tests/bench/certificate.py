"""Is the certificate calibrated? Its test under the null, its intervals, its power, by simulation with a known truth.

    python tests/bench/certificate.py [--quick]

null_rejection_*: share of tests at the 5% level that reject where nothing differs, for uniform weights, Pareto ones (uneven), and weights
that the solver fitted on other real rows; null_error: the binomial standard error of each. interval_coverage: the smallest share of 95%
intervals that hold the truth, over the cases of interval_coverages, at the null, near it and away from it, with one label and with
three; interval_error: the standard error of each. power: share of tests that reject a difference of the size that they call detectable at 80%; power_curve: by squared MMD. The last
line is one JSON object.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.support import certificate_cases as cases

SHIFTED = ((0.0, 0.0), (0.3, 0.2), (1.0, 0.8), (0.1, 0.0), (0.3, 0.3), (0.6, 0.3))  # shift of the rows, and how far weights move them back
QUICK_CASES = 3  # of them


def coverages(wanted: int, times: int, rows: int, real_rows: int) -> dict[str, float]:
    """Share of intervals that hold the truth, by case. wanted: number of shifts."""
    found = {}
    for shift, tilt in SHIFTED[:wanted]:
        for labels in (1, 3):
            held = cases.coverage(shift, tilt, times, rows, real_rows, labels)
            found |= {f"shift {shift:g}, tilt {tilt:g}, labels {labels}, {name}": round(share, 3) for name, share in held.items()}
    for shift in (0.0, 0.3):
        found[f"shift {shift:g}, fitted weights"] = round(cases.fitted_coverage(shift, times // 4, rows, real_rows), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repetitions, within 45 s on two cores")
    given = parser.parse_args()
    rows, real_rows = 300, 150
    times, fits, wanted = (400, 120, QUICK_CASES) if given.quick else (1_500, 600, len(SHIFTED))
    started = time.monotonic()
    result: dict[str, object] = {"benchmark": "certificate", "quick": given.quick}
    for kind in cases.WEIGHTS:
        result[f"null_rejection_{kind}"] = round(cases.rejection(kind, fits if kind == "fitted" else times, rows, real_rows), 4)
    result["null_error"] = {kind: round((0.05 * 0.95 / (fits if kind == "fitted" else times)) ** 0.5, 4) for kind in cases.WEIGHTS}
    print(f"level: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    held = coverages(wanted, times, rows, real_rows)
    result |= {
        "interval_coverage": min(held.values()),
        "interval_error": round((0.05 * 0.95 / times) ** 0.5, 4),
        "interval_coverages": held,
    }
    print(f"coverage: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    tests = times // 2 if given.quick else times
    result["power"] = round(cases.power_at_detectable(tests, rows, real_rows), 3)
    result["power_curve"] = {mmd2: round(share, 3) for mmd2, share in cases.curve(tests, rows, real_rows).items()}
    result["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
