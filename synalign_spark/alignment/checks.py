"""The certificate's sample checks: exact MMD and permutation test per label and over all rows.

Both sides are drawn by hash: about ``certificate_rows`` held-out real rows a label, and as many synthetic
rows by base weight and by weight as half of the effective sample size allows. Only these reach the driver.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.alignment.runtimes.rows import Rows, Solved
from synalign_spark.alignment.samples import RealSample
from synalign_spark.alignment.tables import Checks, Outcome
from synalign_spark.core.evaluation.certificate import compare, draw_size
from synalign_spark.core.groups import ALL
from synalign_spark.udfs.arrow import to_matrix

WHOLE = "whole"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """Rows on the driver, in the order of their ids. x: (n, d); group: (n,); u_whole: (n,) uniform, for the sample over
    all groups; before, after: (n,) copies by base weight and by weight (1 for real rows)."""

    x: npt.NDArray[np.float32]
    group: npt.NDArray[np.object_]
    u_whole: npt.NDArray[np.float64]
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]

    @classmethod
    def of(cls, table: pa.Table) -> "Drawn":
        order = np.argsort(np.asarray(table.column("doc_id").to_pylist(), dtype=object), kind="stable")
        group = np.asarray(table.column("grp").to_pylist(), dtype=object)[order]
        column = {name: table.column(name).to_numpy()[order] for name in ("u_whole", "before", "after")}
        return cls(to_matrix(table.column("embedding"))[order], group, column["u_whole"], column["before"], column["after"])

    @classmethod
    def of_real(cls, rows: pa.Table) -> "Drawn":
        """Real rows, which come once."""
        once = pa.array(np.ones(rows.num_rows, dtype=np.int64))
        return cls.of(rows.append_column("before", once).append_column("after", once))


def run_checks(
    rows: Rows, sample: RealSample, solved: Mapping[str, Solved], outcomes: Mapping[str, Outcome], bandwidths: tuple[float, ...],
    most: int, permutations: int, seed: int,
) -> dict[str, Checks]:  # fmt: skip
    """Checks by group, and under 'whole' over all groups where there are several; None for a check without rows enough.

    sample: of the real rows; bandwidths: of the kernel; most: rows a side of the check over all groups."""
    sizes = {group: _size(outcome, sample.rows_a_group) for group, outcome in outcomes.items()}
    drawn = Drawn.of(rows.draw({group: replace(solved[group], draws=sizes[group]) for group in solved}))
    real = Drawn.of_real(sample.held_out())

    def both(synthetic: Mask, validating: Mask, name: str) -> Checks:
        key = [seed, zlib.crc32(name.encode())]
        x, y = drawn.x[synthetic], real.x[validating]
        before, after = (np.repeat(x, copies[synthetic], axis=0) for copies in (drawn.before, drawn.after))
        return compare(before, y, bandwidths, permutations, key), compare(after, y, bandwidths, permutations, key)

    checks = {group: both(drawn.group == group, real.group == group, group) for group in sorted(outcomes)}
    if list(outcomes) != [ALL]:
        checks[WHOLE] = both(*_whole(drawn, real, outcomes, sizes, sample.held_out_rates, most), WHOLE)
    return checks


def _size(outcome: Outcome, most: int) -> float:
    """Rows to draw of a group: the same before and after, so that the two tests have the same power."""
    ess = min(outcome.end.before.ess, outcome.end.solution.point.moments.ess)
    return draw_size(ess, most)


def _whole(
    drawn: Drawn, real: Drawn, outcomes: Mapping[str, Outcome], sizes: Mapping[str, float], rates: Mapping[str, float], most: int
) -> tuple[Mask, Mask]:
    """Thins the samples of the groups to the groups' shares: masks over the drawn and over the real rows."""
    split = [group for group in outcomes if rates[group] > 0 and outcomes[group].share > 0]
    if not split:
        return np.zeros(len(drawn.x), dtype=bool), np.zeros(len(real.x), dtype=bool)
    held_out = sum(outcomes[group].problem.holdout.count for group in split)
    share = sum(outcomes[group].share for group in split)
    real_rows = min(float(most), *(rates[group] * held_out for group in split))
    drawn_rows = min(float(most), *(sizes[group] * share / outcomes[group].share for group in split))
    keep_real = {group: real_rows / (held_out * rates[group]) if group in split else 0.0 for group in outcomes}
    keep_drawn = {group: drawn_rows * outcomes[group].share / (share * sizes[group]) if group in split else 0.0 for group in outcomes}
    return _thin(drawn, keep_drawn), _thin(real, keep_real)


def _thin(rows: Drawn, keep: Mapping[str, float]) -> Mask:
    kept: Mask = rows.u_whole < np.array([keep[group] for group in rows.group], dtype=np.float64)
    return kept
