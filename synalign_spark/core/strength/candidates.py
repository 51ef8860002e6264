"""How strongly to align, by what the weights are for: models that are trained on the rows.

Matching the distribution alone can hurt: rows that look real but carry a wrong label gain weight. So the base measure may
favour rows whose label a classifier of the real rows is confident of, q proportional to p(label | row)^a, and whose words are likely
among real rows, and the pair (a, lambda), "stay uniform" included, is chosen by cross-validation: each half of the real rows
validates downstream classifiers trained on rows drawn by the weights that the other half shaped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import (
    CANDIDATE_LAMBDAS,
    CONFIDENCE_EXPONENTS,
    DENSITY_RATIO_EXPONENTS,
    DRAWN_ROWS,
    FINALISTS,
    MIXING_WEIGHTS,
    SMALLEST_ESS_SHARE,
)
from synalign_spark.core.groups import group_of
from synalign_spark.core.sampling.resample import quotas, systematic_copies, to_ticks
from synalign_spark.core.solver.dual import Curvature, Goal, Point, Search, Target, dual_point, maximise, run_together
from synalign_spark.core.solver.moments import Pass
from synalign_spark.core.solver.path import PATH_PASSES, PATH_TOLERANCE, Sample
from synalign_spark.core.solver.shard import Shard, usable_threads
from synalign_spark.core.strength.classifiers import Validation, Views, fit_label_classifier, together, validate_rows
from synalign_spark.core.strength.density_ratio import Texts, fit_density_ratio
from synalign_spark.core.strength.mixing_weight import Mixing, negligible_difference, sample_weights

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Half:
    """One half of the real rows: mean features of all of them by group, and a sample of labelled rows on the driver."""

    means: Mapping[str, Sample]
    rows: Views

    @property
    def texts(self) -> Texts:
        """The words of the rows."""
        group = np.array([group_of(label) for label in self.rows.labels], dtype=object)
        return Texts(self.rows.ngrams, group, self.rows.weight, np.zeros(len(group), dtype=bool))


@dataclass(frozen=True)
class Pool:
    """The sample of synthetic rows, sorted by group. group: (n,); phi: (n, D); log_prior: (n,); u: (n,) uniform in (0, 1);
    half: (n,), see ``density_ratio.fit_density_ratio``."""

    rows: Views
    group: npt.NDArray[np.object_]
    phi: Float32Array
    log_prior: Float64Array
    u: Float64Array
    half: npt.NDArray[np.bool_]

    @property
    def texts(self) -> Texts:
        """The words of the rows."""
        return Texts(self.rows.ngrams, self.group, np.exp(self.log_prior), self.half)


@dataclass(frozen=True)
class Candidate:
    """One way to align and how its downstream classifiers did. ess_share: effective sample size over rows, the smallest over the labels;
    drawn: accuracies of the classifiers trained on drawn rows; log_loss: their mean; weighted: accuracies of those trained on
    all rows with sample weights, for finalists; density_ratio: b, the exponent of the words' density ratio."""

    confidence: float
    lam: float
    ess_share: float
    drawn: tuple[float, ...]
    log_loss: float
    weighted: tuple[float, ...] = ()
    density_ratio: float = 0.0

    @property
    def key(self) -> tuple[float, float, float]:
        """What is tried: (a, b, lambda)."""
        return self.confidence, self.density_ratio, self.lam

    @property
    def accuracy(self) -> float:
        """Of downstream classifiers trained on drawn rows, the mean over them."""
        return float(np.mean(self.drawn))

    @property
    def overall(self) -> float:
        """The mean accuracy over downstream classifiers and ways of training."""
        return float(np.mean(self.drawn + self.weighted))


@dataclass(frozen=True)
class Choice:
    """The candidate taken, all that were tried, and the rows that validated (effectively, where they have weights).

    mixing: what its rows do beside real ones, by mixing weight, real rows alone first."""

    best: Candidate
    tried: tuple[Candidate, ...]
    validation_rows: int
    mixing: tuple[Mixing, ...]

    @property
    def uniform(self) -> Candidate:
        """The candidate that changes nothing; where an exponent of the base measure is given, the one that changes nothing else."""
        return self.tried[0]


def choose_by_cross_validation(
    halves: tuple[Half, Half], pool: Pool, shares: Mapping[str, float], confidence_exponents: Sequence[float] = CONFIDENCE_EXPONENTS,
    lams: Sequence[float] = CANDIDATE_LAMBDAS, density_ratio_exponents: Sequence[float] = DENSITY_RATIO_EXPONENTS, mixing_weights: Sequence[float] = MIXING_WEIGHTS,
) -> Choice:  # fmt: skip
    """Tries every pair of (a, lambda) in both directions, and with the one taken every mixing weight beside real rows.

    shares: of each group among the rows to draw; confidence_exponents, lams, density_ratio_exponents: what to try, the mildest first, and by the mildest of all
    three the others are held; of the density ratio exponents only the last takes part in the pairs."""
    folds = [
        CrossFitFold(shaping, validation, pool, shares, any(density_ratio_exponents)) for shaping, validation in (halves, halves[::-1])
    ]
    bases = [(confidence_exponents[0], density_ratio_exponents[0], lams[:1])] + [
        (a, density_ratio_exponents[-1], lams) for a in confidence_exponents
    ]
    trials = [{trial.key: trial for base in bases for trial in fold.tries(*base)} for fold in folds]
    tried = [_mean([found[key] for found in trials]) for key in trials[0] if key in trials[1]]
    validation_rows = round(sum(half.rows.ess for half in halves))

    def in_both_ways(candidate: Candidate) -> Candidate:
        weighted = np.mean([fold.weighted(found[candidate.key]) for fold, found in zip(folds, trials, strict=True)], axis=0)
        return replace(candidate, weighted=tuple(float(value) for value in weighted))

    finals = {0: in_both_ways(tried[0])}  # lambda is infinite there, and a and b are 0 unless they are given
    for place in sorted(range(1, len(tried)), key=lambda place: -tried[place].accuracy):
        if len(harmless(list(finals.values()), validation_rows)) > FINALISTS:  # the first is harmless too
            break
        finals[place] = in_both_ways(tried[place])
    tried = [finals.get(place, candidate) for place, candidate in enumerate(tried)]
    best = best_of(list(finals.values()), validation_rows)
    validated = [fold.mix(found[best.key], mixing_weights) for fold, found in zip(folds, trials, strict=True)]
    mixing = [_mixing(weight, both) for weight, both in zip(mixing_weights, zip(*validated, strict=True), strict=True)]
    return Choice(best, tuple(tried), validation_rows, tuple(mixing))


def harmless(finals: Sequence[Candidate], validation_rows: int) -> list[Candidate]:
    """Those that cost no classifier in any way of training more than a negligible difference against the first, rows as they came:
    weights are to help whatever they are used for. validation_rows: behind an accuracy."""
    before = finals[0]
    near = negligible_difference(before.overall, validation_rows)
    return [c for c in finals if np.all(np.subtract(c.drawn + c.weighted, before.drawn + before.weighted) >= -near)]


def best_of(finals: Sequence[Candidate], validation_rows: int) -> Candidate:
    """The highest mean accuracy among the harmless; within half a standard error of it the smallest log-loss decides."""
    candidates = harmless(finals, validation_rows)
    top = max(candidates, key=lambda c: c.overall)
    near = negligible_difference(top.overall, validation_rows)
    return min((c for c in candidates if c.overall >= top.overall - near), key=lambda c: (c.log_loss, -c.lam, c.confidence))


@dataclass(frozen=True)
class Trial:
    """A candidate by one fold's validation. weights: (n,) within the groups."""

    confidence: float
    lam: float
    ess_share: float
    weights: Float64Array
    validation: Validation
    density_ratio: float

    @property
    def key(self) -> tuple[float, float, float]:
        """The key of its candidate."""
        return self.confidence, self.density_ratio, self.lam


def _mean(both: Sequence[Trial]) -> Candidate:
    drawn = tuple(float(value) for value in np.mean([trial.validation.accuracy for trial in both], axis=0))
    log_loss = float(np.mean([trial.validation.log_loss for trial in both]))
    first = both[0]
    return Candidate(
        first.confidence, first.lam, min(trial.ess_share for trial in both), drawn, log_loss, density_ratio=first.density_ratio
    )


def _mixing(mixing_weight: float, both: Sequence[Validation]) -> Mixing:
    accuracy = tuple(float(value) for value in np.mean([one.accuracy for one in both], axis=0))
    return Mixing(mixing_weight, accuracy, float(np.mean([one.log_loss for one in both])))


class CrossFitFold:
    """One half of the real rows shapes weights, the other half validates them."""

    def __init__(self, shaping: Half, validation: Half, pool: Pool, shares: Mapping[str, float], words: bool) -> None:
        """words: whether their density ratio will be asked for."""
        self._shaping, self._validation, self._pool, self._shares = shaping, validation.rows, pool, shares
        classifier = fit_label_classifier(shaping.rows.x, shaping.rows.labels, shaping.rows.weight)
        self._log_confidence = np.log(classifier.confidence(pool.rows.x, pool.rows.labels))
        self._log_density_ratio = np.zeros(len(pool.group))
        if words and (density_ratio := fit_density_ratio(shaping.texts, pool.texts, list(shares))):
            self._log_density_ratio = density_ratio.log_ratio(pool.rows.ngrams, pool.group, pool.half)
        self._groups = {name: slice(*np.flatnonzero(pool.group == name)[[0, -1]] + [0, 1]) for name in sorted(shares)}

    def tries(self, a: float, b: float, lams: Sequence[float]) -> Iterator[Trial]:
        """The candidates of one base measure."""
        log_base = self._pool.log_prior + a * self._log_confidence + b * self._log_density_ratio
        shard = Shard.of({name: (self._pool.phi[rows], log_base[rows]) for name, rows in self._groups.items()}, usable_threads())
        paths = run_together({name: solve_path(self._shaping.means[name], lams) for name in self._groups}, shard.evaluate)
        for place in range(min(len(path) for path in paths.values())):
            points = {name: path[place] for name, path in paths.items()}
            weights = np.zeros(len(self._pool.group))
            for name, rows in self._groups.items():
                weights[rows] = np.exp(shard.log_weights(name, points[name].theta) - points[name].moments.log_partition)
            ess = min(point.moments.ess / point.moments.rows for point in points.values())
            yield Trial(a, lams[place], ess, weights, validate_rows(self._pool.rows, self._drawn(weights), self._validation), b)

    def weighted(self, trial: Trial) -> tuple[float, ...]:
        """Accuracies of the downstream classifiers trained on all rows with sample weights."""
        sample_weight, total = np.zeros(len(trial.weights)), sum(self._shares.values())
        for name, rows in self._groups.items():
            sample_weight[rows] = trial.weights[rows] * (len(sample_weight) * self._shares[name] / total)
        return validate_rows(self._pool.rows, sample_weight, self._validation).accuracy

    def mix(self, trial: Trial, mixing_weights: Sequence[float]) -> list[Validation]:
        """Of classifiers trained on the real rows that shaped the weights and on rows drawn by them, for each mixing weight of the latter."""
        real, drawn = self._shaping.rows, self._drawn(trial.weights)
        rows, prior = together(real, self._pool.rows), real.weight / real.weight.mean()
        pairs = [sample_weights(len(prior), float(drawn.sum()), mixing_weight) for mixing_weight in mixing_weights]
        return [validate_rows(rows, np.concatenate([prior * of_real, drawn * of_drawn]), self._validation) for of_real, of_drawn in pairs]

    def _drawn(self, weights: Float64Array) -> npt.NDArray[np.int64]:
        """(n,) copies. All candidates use the same uniform numbers, which takes most of the draws' noise out of the comparison."""
        draws = quotas(self._shares, min(DRAWN_ROWS, len(weights)))
        copies = np.zeros(len(weights), dtype=np.int64)
        for name, rows in self._groups.items():
            ticks = to_ticks(weights[rows])
            copies[rows] = systematic_copies(ticks, 0, int(ticks.sum()), draws[name], float(self._pool.u[rows.start]))
        return copies


def solve_path(real: Sample, lams: Sequence[float]) -> Search[list[Point]]:
    """The solutions at falling lambdas, as far as the effective sample size is worth it."""
    theta = np.zeros_like(real.mean)
    start = yield Pass(theta)
    target, curvature, goal = Target(real.mean, start.log_partition), Curvature(), Goal(PATH_TOLERANCE, PATH_PASSES)
    points = [dual_point(theta, np.inf, start, target)]
    for lam in lams:
        if not np.isinf(lam):
            point = (yield from maximise(target, lam, points[-1], curvature, goal)).point
            if point.moments.ess < SMALLEST_ESS_SHARE * point.moments.rows:
                break
            points.append(point)
    return points
