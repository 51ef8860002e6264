"""What models learn from the rows: trained on them, alone and beside the real ones, and asked for the labels of held-out real rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.core.groups import group_of
from synalign_spark.core.sample_weights import rows_by_group, sample_weights_by_label, wanted_shares
from synalign_spark.evaluation.figures import Value
from synalign_spark.evaluation.rows import Float64Array, Rows

RESAMPLES = 200  # of the held-out rows, for an interval
FEWEST_HELD_OUT = 20  # rows of an accuracy
Answers = npt.NDArray[np.str_]
Ask = Callable[
    [Rows, Float64Array], Answers
]  # rows and their sample weights: the labels that a model trained on them gives the held-out rows


@dataclass(frozen=True)
class Judge:
    """Held-out real rows, and places of them drawn with replacement. truth: (m,) labels; resampled: (RESAMPLES, m)."""

    truth: Answers
    resampled: npt.NDArray[np.int64]

    @classmethod
    def of(cls, held: Rows, seed: int) -> "Judge":
        resampled = np.random.default_rng(seed).integers(0, len(held), (RESAMPLES, len(held)))
        return cls(np.asarray(held.labels, dtype=str), resampled)

    def accuracy(self, said: Answers) -> Value:
        """Share of right answers, with its 95% interval over held-out rows. said: (m,)."""
        right = (said == self.truth).astype(np.float64)
        return Value.of(float(right.mean()), right[self.resampled].mean(axis=1), 0.0, 1.0)

    def gain(self, said: Answers, before: Answers) -> Value:
        """The difference of two accuracies on the same rows."""
        better = (said == self.truth).astype(np.float64) - (before == self.truth)
        return Value.of(float(better.mean()), better[self.resampled].mean(axis=1))

    def macro_f1(self, said: Answers) -> Value:
        """The mean F1 over the labels of the held-out rows."""
        names, truth = np.unique(self.truth, return_inverse=True)
        code = np.array([int(np.searchsorted(names, label)) if label in names else len(names) for label in said])

        def f1(places: npt.NDArray[np.int64]) -> float:
            table = np.bincount(truth[places] * (len(names) + 1) + code[places], minlength=len(names) * (len(names) + 1))
            table = table.reshape(len(names), -1)
            hits, given, asked = np.diag(table), table[:, : len(names)].sum(axis=0), table.sum(axis=1)
            present = asked > 0
            return float(np.mean(2.0 * hits[present] / np.maximum(given + asked, 1)[present]))

        return Value.of(f1(np.arange(len(truth))), np.array([f1(places) for places in self.resampled]), 0.0, 1.0)


def students(held: Rows) -> dict[str, Ask]:
    """Two linear models that look at unlike things: embeddings, and words where there are texts. scikit-learn's own settings."""
    found: dict[str, Ask] = {"embeddings": lambda rows, weight: _logistic(rows.x, rows, weight, held.x)}
    if held.texts is not None:
        found["words"] = lambda rows, weight: _by_words(rows, weight, held)
    return found


def _logistic(x: Any, rows: Rows, weight: Float64Array, x_held: Any) -> Answers:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1_000).fit(x, np.asarray(rows.labels, dtype=str), sample_weight=weight)
    return np.asarray(model.predict(x_held), dtype=str)


def _by_words(rows: Rows, weight: Float64Array, held: Rows) -> Answers:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return _logistic(words.fit_transform(rows.texts), rows, weight, words.transform(held.texts))


def reason_to_skip(real: Rows, held: Rows, synthetic: Rows) -> str:
    """Why no model is trained; empty where some are."""
    if real.labels is None:
        return "there are no labels"
    if len(held) < FEWEST_HELD_OUT:
        return f"only {len(held)} real rows are held out, {FEWEST_HELD_OUT} are needed"
    for side, rows in (("real", real), ("synthetic", synthetic)):
        if len({label for label, weight in zip(rows.labels or (), rows.weight, strict=True) if weight > 0}) < 2:
            return f"the {side} rows have fewer than two labels"
    return ""


def utility(real: Rows, held: Rows, synthetic: Rows, mixing_weight: float, seed: int) -> dict[str, Mapping[str, Value]]:
    """By name of the figure what rows of each kind (uniform, weighted, real) bring. real: rows that may be trained on; held: that judge;
    mixing_weight: real rows that all synthetic ones count as beside them. Call only where ``reason_to_skip`` is empty."""
    judge = Judge.of(held, seed)
    found: dict[str, Mapping[str, Value]] = {}
    kinds = {"uniform": synthetic.uniform(), "weighted": synthetic}
    for name, ask in students(held).items():
        alone = {kind: ask(rows, rows.weight * len(rows) / rows.weight.sum()) for kind, rows in kinds.items()}
        alone["real"] = ask(real, real.weight)
        beside = {kind: _beside(ask, real, rows, mixing_weight) for kind, rows in kinds.items()}
        for figure, score in (("accuracy", judge.accuracy), ("macro_f1", judge.macro_f1)):
            found[f"{figure}.{name}"] = {kind: score(said) for kind, said in alone.items()}
            found[f"{figure}_beside_real.{name}"] = {kind: score(said) for kind, said in {**beside, "real": alone["real"]}.items()}
        found[f"gain_beside_real.{name}"] = {kind: judge.gain(said, alone["real"]) for kind, said in beside.items()}
    return found


def _beside(ask: Ask, real: Rows, synthetic: Rows, mixing_weight: float) -> Answers:
    of_real, of_synthetic = (rows_by_group(rows.labels or (), rows.weight) for rows in (real, synthetic))
    scale = sample_weights_by_label(wanted_shares(of_real, None), of_real, of_synthetic, mixing_weight)
    weight = [
        rows.weight * [of_group.get(group_of(label), 0.0) for label in rows.labels or ()]
        for rows, of_group in ((real, scale.real), (synthetic, scale.synthetic))
    ]
    texts = None if real.texts is None or synthetic.texts is None else [*real.texts, *synthetic.texts]
    both = Rows(np.concatenate([real.x, synthetic.x]), np.concatenate(weight), texts, [*(real.labels or ()), *(synthetic.labels or ())])
    used = np.flatnonzero(both.weight > 0)
    return ask(both.take(used), both.weight[used])
