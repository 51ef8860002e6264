"""The mixing weight by cross-validation on the real rows: what do weighted synthetic rows add to them?

Each fold's real rows shape the weights of the synthetic rows, both train downstream classifiers, and the real rows left out judge these by
their log-loss: no row judges what it shaped, nor synthetic rows that are nearer to it than real rows are to each other, for they may have been
written from it. Real rows alone are judged with the better of two penalties: log-loss rewards a stronger one, which any rows bring that blur
the labels. What is said of the gain is nested: each fold is judged with the mixing weight that the other folds choose. It is the gain of
models that are trained as a user's are, whose sample weights have mean 1, over models of the real rows alone that weigh as much in all, or
have mean 1 too, whichever are better: a weaker penalty is no merit of the rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.preprocessing import normalize

from synalign_spark.core.defaults import FEW_ROWS_REPEATED, FOLDS, MOST_REPEATS, ONE_SOURCE_QUANTILE
from synalign_spark.core.features import same_rows
from synalign_spark.core.strength.base_measure import SideRows
from synalign_spark.core.strength.classifiers import Views
from synalign_spark.core.strength.downstream import Answers, DownstreamClassifiers
from synalign_spark.core.strength.gain import Gain, TrainingRows, gain_beside
from synalign_spark.core.strength.mixing_weight import Mixing, nearest_to_usual

Float64Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Weigh = Callable[[SideRows], Float64Array]  # by some real rows: weights of the synthetic ones, whose ratios within a group count


@dataclass(frozen=True)
class MixingChoice:
    """What cross-validation found. tried: real rows alone first; mixing_weight: the one taken; validation_rows: real rows that judged;
    gain: over real rows alone, nested."""

    tried: tuple[Mixing, ...]
    mixing_weight: float
    validation_rows: int
    gain: Gain


def choose_mixing_weight(
    real: SideRows, synthetic: SideRows, weigh: Weigh, tried: Sequence[float], usual: float, trained: TrainingRows, seed: int
) -> MixingChoice:  # fmt: skip
    """Tries mixing weights beside the real rows.

    real: all rows that may be looked at, those of labels without synthetic rows too; weigh: weighs the synthetic rows by some of them;
    tried: mixing weights, 0 first; usual: the one that is kept unless the rows speak against it; trained: rows that the gain is to speak
    of; seed: of the folds."""
    parts, near = [], of_one_source(synthetic.views, real.views)
    for seen, unseen in folds(real.group, seed, _in_one_fold(real)):
        fold = Fold(real.take(seen), synthetic, real.take(unseen), weigh, np.flatnonzero(near[:, unseen].any(axis=1)))
        parts.append(Part(unseen, fold, fold.answers(tried), fold.alone()))
    weight = real.views.weight
    parts = _better_alone(parts, weight)
    losses = _by_row(parts, len(weight))  # (k, n)
    taken = tried[nearest_to_usual(tried, usual, losses, weight)]
    share = weight / weight.sum()
    found = tuple(
        Mixing(mixing_weight, _by_classifier(parts, k, weight), float(losses[k] @ share)) for k, mixing_weight in enumerate(tried)
    )
    gain, alone = _nested_gain(parts, losses, tried, usual, weight, trained.synthetic)  # (n,) each
    mean = float(gain @ share)
    error = float(np.sqrt(np.sum((share * (gain - mean)) ** 2)))
    ess = float(weight.sum() ** 2 / np.sum(weight**2))
    seen_rows = round(float(np.mean([len(weight) - len(part.rows) for part in parts])))
    taken = 0.0 if mean < -2 * error else taken
    return MixingChoice(found, taken, round(ess), gain_beside(trained.real, mean, error, seen_rows, taken, float(alone @ share)))


def of_one_source(synthetic: Views, real: Views) -> npt.NDArray[np.bool_]:
    """(n, m) whether each of n synthetic rows may have been written from each of m real ones, by their embeddings or, where both have
    texts, by their words and word pairs: at a cosine above what ONE_SOURCE_QUANTILE of the real rows have to the nearest other.

    With one real row none may.

    >>> real = Views(np.array([[1, 0, 0], [0, 1, 0], [0, 0.8, 0.6], [0.6, 0.8, 0]]), None, np.full(4, "a"), np.ones(4))
    >>> made = Views(np.array([[0, 0.1, 1], [0.99, 0.1, 0]]), None, np.full(2, "a"), np.ones(2))
    >>> of_one_source(made, real).tolist()  # real rows are at most 0.8 from each other
    [[False, False, False, False], [True, False, False, False]]
    """
    near = _above_the_usual(synthetic.x, real.x)
    if synthetic.ngrams is not None and real.ngrams is not None:
        near |= _above_the_usual(synthetic.ngrams, real.ngrams)
    return near


def _above_the_usual(synthetic: Any, real: Any) -> npt.NDArray[np.bool_]:
    """(n, m) the same by one kind of features. synthetic: (n, d); real: (m, d); both dense or both sparse."""
    if real.shape[0] < 2:
        return np.zeros((synthetic.shape[0], real.shape[0]), dtype=bool)
    x, y = normalize(synthetic), normalize(real)
    among, across = (sparse.csr_matrix(product).toarray() if sparse.issparse(product) else product for product in (y @ y.T, x @ y.T))
    np.fill_diagonal(among, -np.inf)
    return np.asarray(across > np.quantile(among.max(axis=1), ONE_SOURCE_QUANTILE))


def _in_one_fold(real: SideRows) -> Places:
    """(n,) the row that each equals; of a group with fewer different ones than folds each row is its own, or some fold would have none."""
    same = same_rows(real.views.x, real.group)
    for name in set(real.group):
        of_group = np.flatnonzero(real.group == name)
        if len(set(same[of_group].tolist())) < FOLDS:
            same[of_group] = of_group
    return same


def folds(group: npt.NDArray[np.object_], seed: int, same: Places) -> Iterator[tuple[Places, Places]]:
    """Places of the rows seen and unseen, stratified by group and repeated where rows are few. group: (n,); same: (n,) the row that each
    equals, with which it stays: seen once and asked for once, it would tell nothing."""
    own = np.flatnonzero(same == np.arange(len(same)))
    repeats = int(np.clip(np.ceil(FEW_ROWS_REPEATED / max(len(own), 1)), 1, MOST_REPEATS))
    for repeat in range(repeats):
        order = own[np.random.default_rng([seed, repeat]).permutation(len(own))]
        fold = np.empty(len(group), dtype=np.int64)
        by_group = order[np.argsort(group[order].astype(str), kind="stable")]
        fold[by_group] = np.arange(len(own)) % FOLDS  # goes on from label to label, so folds are of one size
        fold = fold[same]
        for k in range(FOLDS):
            if (fold == k).any() and (fold != k).any():
                yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


class Fold:
    """Real rows that are seen shape weights and train classifiers; others judge these.

    near: places of synthetic rows that may know the rows that judge, and train nothing."""

    def __init__(self, real: SideRows, synthetic: SideRows, unseen: SideRows, weigh: Weigh, near: Places) -> None:
        weight = weigh(real)
        weight[near] = 0.0
        own = real.views.weight / real.views.weight.sum()
        self._matched = np.isin(real.group, sorted(set(synthetic.group[weight > 0])))
        self._synthetic_share = np.zeros(len(weight))
        for name in sorted(set(real.group) & set(synthetic.group)):
            of_group = synthetic.group == name
            self._synthetic_share[of_group] = weight[of_group] * (own[real.group == name].sum() / max(weight[of_group].sum(), 1e-300))
        self._own = own * len(own)  # of mean 1
        self._real, self._synthetic, self._unseen = real.views, synthetic.views, unseen.views

    def answers(self, tried: Sequence[float]) -> tuple[Answers, ...]:
        """Of classifiers trained with each mixing weight; all training sets weigh the same, or classifiers would be regularised differently."""
        total = len(self._own) + max(tried)
        classifiers = DownstreamClassifiers(self._real, self._synthetic, self._unseen)
        return tuple(classifiers.answers(weights * (total / weights.sum())) for weights in map(self.sample_weights, tried))

    def alone(self) -> Answers:
        """Of classifiers trained on the real rows alone, with sample weights of mean 1."""
        return DownstreamClassifiers(self._real, self._synthetic, self._unseen).answers(self.sample_weights(0.0))

    def accuracies(self, mixing_weight: float, synthetic: int) -> Float64Array:
        """(3, unseen) accuracy of a user's models, means over the models: with the synthetic rows, and on the real rows alone with sample
        weights of mean 1, and with as large ones as with the synthetic rows. NaN with them where they count nothing.

        synthetic: rows beside the real ones."""
        real = DownstreamClassifiers(self._real, self._synthetic.take(np.empty(0, dtype=np.int64)), self._unseen)
        total = len(self._own) + synthetic
        alone = [real.usual_hits(self._own * factor).mean(axis=0) for factor in (1.0, total / len(self._own))]
        if not mixing_weight:
            return np.stack([np.full(len(self._unseen.labels), np.nan), *alone])
        weights = self.sample_weights(mixing_weight)
        both = DownstreamClassifiers(self._real, self._synthetic, self._unseen).usual_hits(weights * (total / weights.sum()))
        return np.stack([both.mean(axis=0), *alone])

    def sample_weights(self, mixing_weight: float) -> Float64Array:
        """(real + synthetic,): every label keeps its share, one without synthetic rows by its real rows alone."""
        more = np.where(self._matched, 1.0, 1.0 + mixing_weight / len(self._own))
        return np.concatenate([self._own * more, self._synthetic_share * mixing_weight])


@dataclass(frozen=True)
class Part:
    """One fold of one repeat. rows: (m,) places of the rows that judged; answers: for each mixing weight, none at all first;
    alone: for none, with real rows of mean weight 1."""

    rows: Places
    fold: Fold
    answers: tuple[Answers, ...]
    alone: Answers


def _better_alone(parts: Sequence[Part], weight: Float64Array) -> list[Part]:
    """The parts, where without synthetic rows each classifier answers under the penalty that is better for it over all parts: that of real rows
    that weigh as much in all as both sides do, or of mean weight 1."""
    heavy, light = (
        np.sum([answers.log_loss @ weight[part.rows] for part, answers in side], axis=0)
        for side in ([(part, part.answers[0]) for part in parts], [(part, part.alone) for part in parts])
    )
    taken = (light < heavy)[:, None]  # (classifiers, 1)
    return [
        replace(
            part,
            answers=(
                Answers(
                    np.where(taken, part.alone.hits, part.answers[0].hits), np.where(taken, part.alone.log_loss, part.answers[0].log_loss)
                ),
                *part.answers[1:],
            ),
        )
        for part in parts
    ]


def _by_row(parts: Sequence[Part], n: int) -> Float64Array:
    """(k, n) log-loss of each mixing weight and row: means over classifiers and repeats."""
    total, count = np.zeros((len(parts[0].answers), n)), np.zeros(n)
    for part in parts:
        count[part.rows] += 1
        for k, answers in enumerate(part.answers):
            total[k, part.rows] += answers.log_loss.mean(axis=0)
    return total / np.maximum(count, 1)


def _by_classifier(parts: Sequence[Part], k: int, weight: Float64Array) -> tuple[float, ...]:
    """Accuracy of each classifier under the k-th mixing weight."""
    hits = np.concatenate([part.answers[k].hits for part in parts], axis=1)
    return tuple(float(value) for value in np.average(hits, axis=1, weights=np.concatenate([weight[part.rows] for part in parts])))


def _nested_gain(
    parts: Sequence[Part], losses: Float64Array, tried: Sequence[float], usual: float, weight: Float64Array, synthetic: int
) -> tuple[Float64Array, Float64Array]:  # fmt: skip
    """(n,) accuracy of a row under the mixing weight that the rows of other folds choose, less that by real rows alone, and (n,) the latter,
    by the better of the two ways to weigh them. losses: (k, n); synthetic: rows beside the real ones."""
    total, count = np.zeros((3, len(weight))), np.zeros(len(weight))
    found = []
    for part in parts:
        others = np.setdiff1d(np.arange(len(weight)), part.rows)
        found.append(part.fold.accuracies(tried[nearest_to_usual(tried, usual, losses[:, others], weight[others])], synthetic))
        total[:, part.rows] += found[-1]
        count[part.rows] += 1
    alone = total[1:] / np.maximum(count, 1)
    better = int(np.argmax(alone @ weight))
    gain = np.zeros(len(weight))
    for part, accuracies in zip(parts, found, strict=True):
        gain[part.rows] += np.nan_to_num(accuracies[0] - accuracies[1 + better])
    return gain / np.maximum(count, 1), alone[better]
