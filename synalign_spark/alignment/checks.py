"""The certificate's sample checks: distances and tests per label and over all rows, on bounded samples that reach the driver.

Of a label about ``certificate_rows`` held-out real rows and as many synthetic ones, drawn by hash with a probability in proportion to the
mean of base weight and weight, so that one sample serves both (Poisson sampling; each row then counts with its weight over that
probability). The rows that the tests draw by weight are among them. Over all rows there are as many again, parted by the labels' shares.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.alignment.runtimes.rows import Rows, Solved
from synalign_spark.alignment.samples import RealSample
from synalign_spark.alignment.tables import Outcome
from synalign_spark.core.defaults import FEWEST_TEST_ROWS, FEWEST_WHOLE_ROWS, PERMUTATIONS_A_TEST
from synalign_spark.core.evaluation.certificate import Checked
from synalign_spark.core.evaluation.mmd import Stratified, compare, measurable
from synalign_spark.core.evaluation.optimism import optimism
from synalign_spark.core.evaluation.permutation import Test, drawable, permutation_test
from synalign_spark.core.features import distinct, nearly_equal, same_rows
from synalign_spark.core.groups import ALL, label_of
from synalign_spark.udfs.arrow import to_matrix

WHOLE = "whole"

Mask = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """Synthetic rows, or real ones, on the driver by rising ``u_whole``, ties by id. x: (n, d); group: (n,); base, weight: (n,) by which a row
    counts before and after; in_base, in_weighted: (n,) whether the tests draw it."""

    x: npt.NDArray[np.float32]
    group: npt.NDArray[np.object_]
    base: Float64Array
    weight: Float64Array
    in_base: Mask
    in_weighted: Mask

    def take(self, kept: Mask) -> "Drawn":
        """Some of the rows."""
        in_tests = self.in_base[kept], self.in_weighted[kept]
        return Drawn(self.x[kept], self.group[kept], self.base[kept], self.weight[kept], *in_tests)

    def of(self, group: str) -> "Drawn":
        """The rows of a group."""
        return self.take(self.group == group)

    def first(self, group: str, rows: int) -> Mask:
        """The first rows of a group."""
        here = self.group == group
        found: Mask = here & (np.cumsum(here) <= rows)
        return found

    def distinct(self) -> "Drawn":
        """Of rows with one vector and group, which ids of the user's may tell apart, the first stands for all, with their weight: they are no
        independent ones."""
        same = same_rows(self.x, self.group)
        base, weight = (np.bincount(same, values, len(same)).astype(np.float64) for values in (self.base, self.weight))
        return replace(self, base=base, weight=weight).take(same == np.arange(len(same)))

    def strata(self, groups: list[str]) -> Stratified:
        """The rows, all of which are in one of the groups, with the place of their group."""
        return Stratified(self.x, np.array([groups.index(name) for name in self.group], dtype=np.int64))


def run_checks(
    rows: Rows, sample: RealSample, solved: Mapping[str, Solved], outcomes: Mapping[str, Outcome], bandwidths: tuple[float, ...],
    most: int, permutations: int, seed: int,
) -> dict[str, Checked]:  # fmt: skip
    """Checks by group, and under 'whole' over all groups where there are several.

    sample: of the real rows; bandwidths: of the kernel; most: rows a side of the check over all groups; permutations: at least; as many
    more as Holm's correction for the labels asks for."""
    draws = float(sample.rows_a_group)
    synthetic = _synthetic(rows.draw({group: replace(solved[group], draws=draws) for group in solved}), outcomes, draws)
    real = _real(sample)
    if len(outcomes) > 1:
        permutations = max(permutations, PERMUTATIONS_A_TEST * len(outcomes) - 1)
    checks = _Checks(outcomes, bandwidths, permutations, seed)
    found = {group: checks.check(synthetic.of(group), real.of(group), [group], group) for group in sorted(outcomes)}
    if list(outcomes) != [ALL]:
        found[WHOLE] = checks.check(*_whole(synthetic, real, outcomes, most), sorted(outcomes), WHOLE)
    return found


def told_alike(checks: Mapping[str, Checked], alike: str) -> dict[str, Checked]:
    """The checks, of which that of all rows together goes by the rows that shape the weights, as these do: held-out rows alone, whatever they
    are, make no weight 0. alike: why the vectors of those tell no row from another, in words, empty where they do."""
    name = WHOLE if WHOLE in checks else ALL
    if alike:
        return {**checks, name: Checked(degenerate=alike)}
    words = checks[name].degenerate
    return {**checks, name: Checked(untested=words)} if words else dict(checks)


@dataclass(frozen=True)
class _Checks:
    """What all checks of a run have in common."""

    outcomes: Mapping[str, Outcome]
    bandwidths: tuple[float, ...]
    permutations: int
    seed: int

    def check(self, synthetic: Drawn, real: Drawn, groups: list[str], name: str) -> Checked:
        """Distances and tests over the groups that have rows enough."""
        if not len(real.x) or not len(synthetic.x):
            return Checked()
        if words := degenerate(real.x, synthetic.x):
            return Checked(degenerate=words)
        used = [group for group in groups if self._measurable(synthetic, real, group)]
        left_out = tuple(str(label_of(group)) for group in groups if group not in used) if len(groups) > 1 else ()
        if not used:
            return Checked(left_out=left_out)
        x, y = (side.take(np.isin(side.group, np.array(used, dtype=object))) for side in (synthetic, real))
        shares, y = self._shares(used), y.distinct()
        bias = sum(share**2 * self._optimism(x.of(group), group) for group, share in zip(used, shares, strict=True))
        found = compare(x.strata(used), x.base, x.weight, y.strata(used), y.weight, self.bandwidths, shares, bias)
        before, after = (self._test(x.take(drawn), y.take(y.in_weighted), used, name) for drawn in (x.in_base, x.in_weighted))
        return Checked(found, before, after, left_out=left_out)

    def _test(self, x: Drawn, y: Drawn, groups: list[str], name: str) -> Test | None:
        """Over the groups of which enough rows are drawn."""
        used = [group for group in groups if min(np.sum(x.group == group), np.sum(y.group == group)) >= FEWEST_TEST_ROWS]
        if not used:
            return None
        drawn, real = (side.take(np.isin(side.group, np.array(used, dtype=object))).strata(used) for side in (x, y))
        key = [self.seed, zlib.crc32(name.encode())]
        return permutation_test(drawn, real, self.bandwidths, self.permutations, key, self._shares(used))

    def _measurable(self, synthetic: Drawn, real: Drawn, group: str) -> bool:
        x, y = synthetic.of(group), real.of(group)
        if degenerate(y.x, x.x):
            return False
        share = self.outcomes[group].share
        one = [np.zeros(len(side.x), dtype=np.int64) for side in (x, y)]
        weights = ((one[0], x.base), (one[0], x.weight), (one[1], y.weight))
        return all(measurable(stratum, weight, 1) for stratum, weight in weights) and (share > 0 or len(set(synthetic.group)) == 1)

    def _shares(self, groups: list[str]) -> list[float]:
        raw = np.array([self.outcomes[group].share for group in groups]) if len(groups) > 1 else np.ones(1)  # alone it may have the share 0
        return [float(share) for share in raw / raw.sum()]

    def _optimism(self, x: Drawn, group: str) -> float:
        end = self.outcomes[group].end
        return optimism(x.x, x.weight, self.bandwidths, end.lam, end.solution.point.moments.ess)


def degenerate(real: npt.NDArray[np.floating], synthetic: npt.NDArray[np.floating]) -> str:
    """Why distances between these vectors mean nothing, in words; empty where they mean something. real: (n, d); synthetic: (m, d)."""
    if nearly_equal(real) or nearly_equal(synthetic) or nearly_equal(np.concatenate([synthetic, real])):
        return "the vectors of its rows are nearly all the same"
    for name, x in (("real", real), ("synthetic", synthetic)):
        if len(x) >= FEWEST_TEST_ROWS > (n := distinct(x)):
            return f"the {len(x)} {name} rows that were looked at have {n} different vectors"
    return ""


def _synthetic(table: pa.Table, outcomes: Mapping[str, Outcome], draws: float) -> Drawn:
    """table: of ``Rows.draw``; draws: rows of a group that it was asked for."""
    ends = {group: outcome.end for group, outcome in outcomes.items()}
    most = {group: drawable([end.before.max_weight, end.solution.point.moments.max_weight], draws / 2.0) for group, end in ends.items()}
    table = _in_order(table)
    group = np.asarray(table.column("grp").to_pylist(), dtype=object)
    u, w, q = (table.column(name).to_numpy() for name in ("u", "weight", "base_weight"))
    taken = np.minimum(1.0, draws * (w + q) / 2.0)  # the probability with which a row is here
    tested = np.array([most[name] for name in group], dtype=np.float64)
    return Drawn(to_matrix(table.column("embedding")), group, q / taken, w / taken, u < tested * q, u < tested * w)


def _real(sample: RealSample) -> Drawn:
    """Held-out rows; the tests draw them by their own weight where they have one."""
    table = _in_order(sample.held_out())
    group = np.asarray(table.column("grp").to_pylist(), dtype=object)
    weight, u = table.column("prior").to_numpy(), table.column("u").to_numpy()
    rate = {name: sample.held_out_rates[name] / max(float(weight[group == name].max()), 1e-300) for name in set(group)}
    likely = weight * np.array([rate[name] for name in group], dtype=np.float64)
    kept = u < likely  # u is uniform below the rate, and each row decides alone
    return Drawn(to_matrix(table.column("embedding")), group, weight, weight, kept, kept)


def _in_order(table: pa.Table) -> pa.Table:
    return table.sort_by([("u_whole", "ascending"), ("doc_id", "ascending")])


def _whole(synthetic: Drawn, real: Drawn, outcomes: Mapping[str, Outcome], most: int) -> tuple[Drawn, Drawn]:
    """About ``most`` rows a side over all groups, by their shares."""
    shares = {group: outcome.share for group, outcome in outcomes.items()}
    wanted = {group: max(int(np.ceil(most * share)), FEWEST_WHOLE_ROWS) if share > 0 else 0 for group, share in shares.items()}
    first, second = (side.take(np.any([side.first(group, n) for group, n in wanted.items()], axis=0)) for side in (synthetic, real))
    return first, second
