"""The mixing weight by cross-validation on the real rows: what do weighted synthetic rows add to them?

Each fold's real rows shape the weights of the synthetic rows, both train downstream classifiers, and the real rows left out judge these by
their log-loss: no row judges what it shaped. What is said of the gain is nested: each fold is judged with the mixing weight that the other
folds choose. It is the gain of models that are trained as a user's are, whose sample weights have mean 1 with the synthetic rows and without.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import FEW_ROWS_REPEATED, FOLDS, MOST_REPEATS
from synalign_spark.core.strength.base_measure import SideRows
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
    parts = []
    for seen, unseen in folds(real.group, seed):
        fold = Fold(real.take(seen), synthetic, real.take(unseen), weigh)
        parts.append(Part(unseen, fold, fold.answers(tried)))
    weight = real.views.weight
    losses = _by_row(parts, len(weight))  # (k, n)
    taken = tried[nearest_to_usual(tried, usual, losses, weight)]
    share = weight / weight.sum()
    found = tuple(
        Mixing(mixing_weight, _by_classifier(parts, k, weight), float(losses[k] @ share)) for k, mixing_weight in enumerate(tried)
    )
    gain = _nested_gain(parts, losses, tried, usual, weight, trained.synthetic)  # (n,)
    mean = float(gain @ share)
    error = float(np.sqrt(np.sum((share * (gain - mean)) ** 2)))
    ess = float(weight.sum() ** 2 / np.sum(weight**2))
    seen_rows = round(float(np.mean([len(weight) - len(part.rows) for part in parts])))
    return MixingChoice(found, taken, round(ess), gain_beside(trained.real, mean, error, seen_rows, taken))


def folds(group: npt.NDArray[np.object_], seed: int) -> Iterator[tuple[Places, Places]]:
    """Places of the rows seen and unseen, stratified by group and repeated where rows are few. group: (n,)."""
    repeats = int(np.clip(np.ceil(FEW_ROWS_REPEATED / max(len(group), 1)), 1, MOST_REPEATS))
    for repeat in range(repeats):
        order = np.random.default_rng([seed, repeat]).permutation(len(group))
        fold = np.empty(len(group), dtype=np.int64)
        by_group = order[np.argsort(group[order].astype(str), kind="stable")]
        fold[by_group] = np.arange(len(group)) % FOLDS  # goes on from label to label, so folds are of one size
        for k in range(FOLDS):
            if (fold == k).any() and (fold != k).any():
                yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


class Fold:
    """Real rows that are seen shape weights and train classifiers; others judge these."""

    def __init__(self, real: SideRows, synthetic: SideRows, unseen: SideRows, weigh: Weigh) -> None:
        weight = weigh(real)
        own = real.views.weight / real.views.weight.sum()
        self._matched = np.isin(real.group, sorted(set(synthetic.group)))
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

    def gain(self, mixing_weight: float, synthetic: int) -> Float64Array:
        """(unseen,) accuracy of a user's models with the synthetic rows less that on the real rows alone, means over the models.

        synthetic: rows beside the real ones; the sample weights have mean 1 on either side of the comparison."""
        if not mixing_weight:
            return np.zeros(len(self._unseen.labels))
        weights = self.sample_weights(mixing_weight)
        both = DownstreamClassifiers(self._real, self._synthetic, self._unseen)
        alone = DownstreamClassifiers(self._real, self._synthetic.take(np.empty(0, dtype=np.int64)), self._unseen)
        hits = both.usual_hits(weights * ((len(self._own) + synthetic) / weights.sum()))
        found: Float64Array = hits.mean(axis=0) - alone.usual_hits(self._own).mean(axis=0)
        return found

    def sample_weights(self, mixing_weight: float) -> Float64Array:
        """(real + synthetic,): every label keeps its share, one without synthetic rows by its real rows alone."""
        more = np.where(self._matched, 1.0, 1.0 + mixing_weight / len(self._own))
        return np.concatenate([self._own * more, self._synthetic_share * mixing_weight])


@dataclass(frozen=True)
class Part:
    """One fold of one repeat. rows: (m,) places of the rows that judged; answers: for each mixing weight."""

    rows: Places
    fold: Fold
    answers: tuple[Answers, ...]


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
) -> Float64Array:  # fmt: skip
    """(n,) accuracy of a row under the mixing weight that the rows of other folds choose, less that by real rows alone. losses: (k, n);
    synthetic: rows beside the real ones."""
    gain, count = np.zeros(len(weight)), np.zeros(len(weight))
    for part in parts:
        others = np.setdiff1d(np.arange(len(weight)), part.rows)
        gain[part.rows] += part.fold.gain(tried[nearest_to_usual(tried, usual, losses[:, others], weight[others])], synthetic)
        count[part.rows] += 1
    return gain / np.maximum(count, 1)
