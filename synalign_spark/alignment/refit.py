"""The weights of a run as they would be without some of its real rows: what cross-validation judges is what is handed out.

Everything that a user's rows go through: the base measure, the match of each label at the lambda that the run took, and the caps. Only what
synthetic rows are outliers is not found anew, for that is seen by the distance to real rows and not by their labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import svd

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.path import Sample, Settings
from synalign_spark.core.solver.shard import Shard, ShardRows
from synalign_spark.core.solver.solve import Problem, solve
from synalign_spark.core.strength.base_measure import BaseMeasure, SideRows
from synalign_spark.core.weight_caps import CapSums, find_cap

Float64Array = npt.NDArray[np.float64]

REFIT_TOLERANCE, REFIT_PASSES = 1e-3, 200  # of a fold's solve: weights are judged by models, which see no finer


@dataclass(frozen=True)
class Refit:
    """What the run took. features: phi; lams: lambda by group, infinity or none for one that keeps its base measure; synthetic: the rows that
    are weighed; outlier: (n,) whether a row must not gain; weight_cap: largest weight, as a multiple of 1 / rows."""

    features: FeatureMap
    lams: Mapping[str, float]
    synthetic: SideRows
    outlier: npt.NDArray[np.bool_]
    weight_cap: float = np.inf

    @cached_property
    def _spans(self) -> dict[str, tuple[Float64Array, Float64Array]]:
        """By group: an orthonormal basis (D, r) of the span of its rows' features, and the rows in it, (n, r).

        What of a real mean lies outside changes no weight, and a fold of few rows is solved in few dimensions."""
        found = {}
        for name in sorted(set(self.synthetic.group)):
            phi = self.features(self.synthetic.views.x[self.synthetic.group == name]).astype(np.float64)
            basis = svd(phi, full_matrices=False)[2].T
            found[name] = basis, phi @ basis
        return found

    def weights(self, real: SideRows, base: BaseMeasure) -> Float64Array:
        """(n,) weights of the synthetic rows that sum to 1 within each group. real: the rows that may be looked at; base: fitted on them."""
        log_q = self._log_base(base)
        return self._capped(log_q, self._tilts(real, log_q))

    def difference(self, real: SideRows, base: BaseMeasure, thetas: Mapping[str, Float64Array]) -> float:
        """Total variation, at most 1, between the weights by these thetas and those that are fitted here on the same real rows: large where a
        run's solve did not end, or where these rows are too few to stand for all of them. The largest of the groups."""
        log_q, tilts = self._log_base(base), np.zeros(len(self.synthetic.group))
        for name in sorted(set(self.synthetic.group)):
            tilts[self.synthetic.group == name] = self.features(self.synthetic.views.x[self.synthetic.group == name]) @ thetas[name]
        apart = np.abs(self._capped(log_q, tilts) - self._capped(log_q, self._tilts(real, log_q)))
        return max(0.5 * float(apart[self.synthetic.group == name].sum()) for name in set(self.synthetic.group))

    def _log_base(self, base: BaseMeasure) -> Float64Array:
        """(n,) log q of the rows."""
        rows, views = self.synthetic, self.synthetic.views
        factors = base.factors(views.x, views.ngrams, views.labels, rows.group, rows.half)
        return np.asarray(np.log(views.weight) + base.log_factor(factors, rows.group))

    def _capped(self, log_q: Float64Array, tilts: Float64Array) -> Float64Array:
        """(n,) weights within the groups, after the caps."""
        rows, views, found = self.synthetic, self.synthetic.views, np.zeros(len(log_q))
        for name in sorted(set(rows.group)):
            of_group = rows.group == name
            w = np.exp(log_q[of_group] + tilts[of_group] - np.max(log_q[of_group] + tilts[of_group]))
            w, b, held = w / w.sum(), views.weight[of_group] / views.weight[of_group].sum(), self.outlier[of_group]
            found[of_group] = find_cap(CapSums.of(w, b, held), self.weight_cap).apply(w, b, held)
        return found

    def _tilts(self, real: SideRows, log_q: Float64Array) -> Float64Array:
        """(n,) theta . phi of each row, 0 where nothing is matched."""
        group = self.synthetic.group
        tilts = np.zeros(len(group))
        for name in sorted(set(group) & set(real.group)):
            if np.isfinite(lam := self.lams.get(name, np.inf)):
                settings = Settings("fixed", lam, 0.0, REFIT_TOLERANCE, REFIT_PASSES)
                basis, rows = self._spans[name]
                nobody = Sample(0, np.zeros(basis.shape[1]))
                problem = Problem(self._mean(real.take(real.group == name), basis), nobody, nobody, settings, 1.0)
                shard = Shard.of({name: (rows.astype(np.float32), log_q[group == name])})
                answer = solve({name: problem}, ShardRows(shard, shard, LocalCommunicator()).evaluate)[name]
                tilts[group == name] = rows @ answer.finished.solution.point.theta
        return tilts

    def _mean(self, real: SideRows, basis: Float64Array) -> Sample:
        """Their mean feature in the basis, and how many they are in effect."""
        share = real.views.weight / real.views.weight.sum()
        return Sample(float(1.0 / (share @ share)), (share @ self.features(real.views.x).astype(np.float64)) @ basis)
