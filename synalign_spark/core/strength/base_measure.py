"""The base measure: the weight that a synthetic row starts from, before anything is matched.

    q_i  proportional to  prior_i * mean over components k of  f_ik^t_k / Z_k,    f_ik = p(label_i | row_i)^a_k * words_i^b_k * vectors_i^c_k

words and vectors are ratios of densities, p(row | real) / p(row | synthetic), by classifiers of words and of embeddings. Z_k is the mean of
f_ik^t_k over the label's rows, so that every component has its share whatever the scale of its ratios. t_k, 1 at most, is as large as a floor
on the effective sample size allows: where a few rows would have all the weight, a component is flattened. Averaging components was as good as
any one of them or better (docs/benchmarks.md): what one estimate gets wrong the other seldom gets wrong too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import logsumexp

from synalign_spark.core.strength.bag_ratio import fit_bag_ratio
from synalign_spark.core.strength.classifiers import SharedClassifiers, Views, fit_importance_classifiers, fit_shared_classifiers
from synalign_spark.core.strength.density_ratio import DensityRatio, RatioRows, fit_density_ratio

Float64Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.object_]

POWER_STEPS = 30  # of a bisection


@dataclass(frozen=True)
class Component:
    """Exponents of one component. confidence: a, of p(label | row); words: b, of the density ratio of words; embeddings: c, of that of
    embeddings."""

    confidence: float = 0.0
    words: float = 0.0
    embeddings: float = 0.0


@dataclass(frozen=True)
class SideRows:
    """Rows of one side that have weight. views: their views, labels and weights; group: (n,); half: (n,), which half of the synthetic
    rows a row is in: classifiers of one half score the other. Of real rows the half is not used."""

    views: Views
    group: Groups
    half: npt.NDArray[np.bool_]

    def take(self, rows: npt.NDArray[np.generic]) -> "SideRows":
        """The rows at these places, or where a mask is true."""
        return SideRows(self.views.take(rows), self.group[rows], self.half[rows])

    def ratio_rows(self, words: bool) -> RatioRows:
        """What a density ratio reads: words, or embeddings."""
        features = self.views.ngrams if words else self.views.x
        return RatioRows(features, self.group, self.views.weight, self.half)


@dataclass(frozen=True)
class Factors:
    """What the components are made of. All (n,), None where no component has them: log p(label | row), and the log ratios of densities."""

    log_confidence: Float64Array | None = None
    log_words: Float64Array | None = None
    log_embeddings: Float64Array | None = None


@dataclass(frozen=True)
class BaseMeasure:
    """What shapes it. components: their exponents, already times t; classifiers, words, embeddings: None where no component has them;
    log_means: log Z of each component, by group."""

    components: tuple[Component, ...] = ()
    classifiers: SharedClassifiers | None = None
    words: DensityRatio | None = None
    embeddings: DensityRatio | None = None
    log_means: Mapping[str, tuple[float, ...]] | None = None

    @property
    def changes(self) -> bool:
        """Whether it differs from the weights that the rows came with."""
        return self.classifiers is not None or self.words is not None or self.embeddings is not None

    @property
    def mean_exponents(self) -> Component:
        """Of the label confidence and of the density ratios, over the components; 0 for a factor that could not be fitted."""
        fitted = (self.classifiers is not None, self.words is not None, self.embeddings is not None)
        exponents = [(one.confidence, one.words, one.embeddings) for one in self.components]
        means = np.mean(exponents, axis=0) if exponents else np.zeros(3)
        return Component(*(float(mean) if there else 0.0 for mean, there in zip(means, fitted, strict=True)))

    def factors(self, x: npt.NDArray[np.floating], ngrams: sparse.csr_matrix | None, labels: Groups, group: Groups,
                half: npt.NDArray[np.bool_]) -> Factors:  # fmt: skip
        """Of some synthetic rows. x: (n, d); ngrams: (n, buckets) counts, needed where words are weighed; labels, group, half: (n,)."""
        return Factors(
            None if self.classifiers is None else np.log(self.classifiers.confidence(x, labels, half)),
            None if self.words is None else self.words.log_ratio(ngrams, group, half),
            None if self.embeddings is None else self.embeddings.log_ratio(x, group, half),
        )

    def log_factor(self, factors: Factors, group: Groups) -> Float64Array:
        """(n,) log of what the rows' own weights are multiplied with; 0 for a group without rows in the sample that fitted it."""
        if not self.components:
            return np.zeros(len(group))
        parts = component_logs(self.components, factors, len(group))  # (k, n)
        known = self.log_means or {}
        found = np.zeros(len(group))
        for name in sorted(set(group) & set(known)):
            of_group = group == name
            means = np.array(known[name])[:, None]
            found[of_group] = logsumexp(parts[:, of_group] - means, axis=0) - np.log(len(parts))
        return found


def component_logs(components: Sequence[Component], factors: Factors, n: int) -> Float64Array:
    """(k, n) log of each component, before it is normalised."""
    logs = np.zeros((len(components), n))
    for k, one in enumerate(components):
        exponents = (one.confidence, one.words, one.embeddings)
        for exponent, factor in zip(exponents, (factors.log_confidence, factors.log_words, factors.log_embeddings), strict=True):
            if exponent and factor is not None:
                logs[k] += exponent * factor
    return logs


def fit_base_measure(
    real: SideRows,
    synthetic: SideRows,
    components: Sequence[Component],
    groups: Sequence[str],
    ess_floor: float = 0.0,
    method: str = "synalign",
) -> BaseMeasure:
    """Fits what the components need, flattens and normalises them on the synthetic rows given.

    groups: those with real rows enough; rows of other groups keep their weights; ess_floor: on the effective sample size of each
    component, as a share of that of the rows' own weights; method: dsir has bag models for the ratio of words, imp a ratio of two
    classifiers for the label confidence. Words are left out where the rows have no texts; a label confidence needs two labels
    (ValueError otherwise)."""
    shaped = real.take(np.isin(real.group, list(groups)))
    texts = real.views.ngrams is not None and synthetic.views.ngrams is not None
    confidence, words, embeddings = (any(getattr(one, name) for one in components) for name in ("confidence", "words", "embeddings"))
    classify = fit_importance_classifiers if method == "imp" else fit_shared_classifiers
    compare = fit_bag_ratio if method == "dsir" else fit_density_ratio
    base = BaseMeasure(
        tuple(components),
        classify(shaped.views.labelled, synthetic.views.labelled, synthetic.half) if confidence else None,
        compare(shaped.ratio_rows(True), synthetic.ratio_rows(True), groups) if words and texts else None,
        fit_density_ratio(shaped.ratio_rows(False), synthetic.ratio_rows(False), groups) if embeddings else None,
    )
    views = synthetic.views
    logs = component_logs(components, base.factors(views.x, views.ngrams, views.labels, synthetic.group, synthetic.half), len(views.labels))
    of_groups = [np.flatnonzero(synthetic.group == name) for name in groups]
    powers = np.array([largest_power([(row[rows], views.weight[rows]) for rows in of_groups], ess_floor) for row in logs])
    means = {name: _log_means(powers[:, None] * logs[:, rows], views.weight[rows]) for name, rows in zip(groups, of_groups, strict=True)}
    flattened = tuple(
        Component(t * one.confidence, t * one.words, t * one.embeddings) for t, one in zip(powers.tolist(), components, strict=True)
    )
    return replace(base, components=flattened, log_means=means)


def largest_power(groups: Sequence[tuple[Float64Array, Float64Array]], floor: float) -> float:
    """The largest t in [0, 1] at which weights proportional to prior * f^t keep the floor on the effective sample size.

    groups: (log f, prior) of each, (n,) both; floor: share of the effective sample size at t = 0, which falls as t grows.

    >>> even, spread = np.zeros(4), np.array([0.0, 0.0, 0.0, 50.0])
    >>> largest_power([(even, np.ones(4))], 0.5), round(largest_power([(spread, np.ones(4))], 0.5), 2)
    (1.0, 0.04)
    """

    def kept(t: float) -> float:
        return sum(_ess(t * logs + _log(prior)) for logs, prior in groups if prior.any())

    least = floor * kept(0.0)
    if kept(1.0) >= least:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(POWER_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) >= least else (low, middle)
    return low


def _ess(log_weights: Float64Array) -> float:
    """(sum w)^2 / sum w^2."""
    weight = np.exp(log_weights - log_weights.max())
    return float(weight.sum() ** 2 / (weight @ weight))


def _log(weight: Float64Array) -> Float64Array:
    with np.errstate(divide="ignore"):
        found: Float64Array = np.log(weight)
    return found


def _log_means(logs: Float64Array, weight: Float64Array) -> tuple[float, ...]:
    """Log of the weighted mean of each component over the rows of a group, 0 without rows. logs: (k, n); weight: (n,)."""
    if not weight.any():
        return (0.0,) * len(logs)
    found = logsumexp(logs, axis=1, b=weight[None, :]) - np.log(weight.sum())
    return tuple(float(value) for value in found)
