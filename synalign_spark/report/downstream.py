"""The downstream check: does a downstream classifier trained on the weighted rows, alone or beside real ones, do better on real rows?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.core.groups import group_of
from synalign_spark.core.sample_weights import rows_by_group, sample_weights_by_label, wanted_shares
from synalign_spark.report.findings import ClassifierScore, DownstreamCheck, Gain

MIN_HOLDOUT = 20


@dataclass(frozen=True)
class LabelledRows:
    """x: (n, d) embeddings; y: (n,) labels as strings; weight: (n,) sampling weights (real rows: ones)."""

    x: npt.NDArray[Any]
    y: npt.NDArray[Any]
    weight: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.y)


def reason_to_skip(fit: LabelledRows, holdout: LabelledRows, synthetic: LabelledRows) -> str:
    """Why the downstream check cannot be made on these rows; empty where it can."""
    if len(set(fit.y)) < 2:
        return "the real rows have fewer than two labels"
    if len(holdout) < MIN_HOLDOUT:
        return f"only {len(holdout)} held-out real rows (at least {MIN_HOLDOUT} are needed)"
    if len(set(holdout.y)) < 2:
        return "the held-out real rows have fewer than two labels"
    if len(set(synthetic.y)) < 2 or len(set(synthetic.y[synthetic.weight > 0])) < 2:
        return "the synthetic rows have fewer than two labels"
    return ""


def downstream_check(
    fit: LabelledRows,
    holdout: LabelledRows,
    synthetic: LabelledRows,
    mixing_weight: float,
    label_shares: Mapping[str, float] | None = None,
) -> DownstreamCheck:
    """Logistic regression on embeddings, trained on synthetic rows as they are, on the same rows with their weights as
    sample weights, on real rows, and on both together; scored on held-out real rows.

    mixing_weight, label_shares: of sample weights beside real rows, see ``core/sample_weights.py``. Call only where
    ``reason_to_skip`` is empty. Accuracies are shares."""
    weighted = synthetic.weight / synthetic.weight.mean()
    real, written = (rows_by_group(rows.y.astype(str).tolist(), rows.weight) for rows in (fit, synthetic))
    beside = sample_weights_by_label(wanted_shares(real, label_shares), real, written, mixing_weight)
    trainings = (
        ("synthetic, uniform", synthetic, None),
        ("synthetic, weighted", synthetic, weighted),
        ("real rows", fit, None),
        (
            "real and synthetic, weighted",
            both(fit, synthetic),
            np.concatenate(
                [rows.weight * _of_rows(factors, rows) for rows, factors in ((fit, beside.real), (synthetic, beside.synthetic))]
            ),
        ),
    )
    hits = [_hits(rows, sample_weight, holdout) for _, rows, sample_weight in trainings]  # each (n_holdout,)
    scores = [
        ClassifierScore(name, len(rows), float(hit.mean()), float(np.sqrt(hit.mean() * (1 - hit.mean()) / len(hit))))
        for (name, rows, _), hit in zip(trainings, hits, strict=True)
    ]
    return DownstreamCheck(scores, len(holdout), _gain(hits[1], hits[0]), _gain(hits[3], hits[2]))


def both(first: LabelledRows, second: LabelledRows) -> LabelledRows:
    """The rows of both, one after the other."""
    x, y, weight = (np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("x", "y", "weight"))
    return LabelledRows(x, y, weight)


def _of_rows(factors: Mapping[str, float], rows: LabelledRows) -> npt.NDArray[np.float64]:
    return np.array([factors[group_of(str(label))] for label in rows.y])


def _gain(hits: npt.NDArray[np.float64], before: npt.NDArray[np.float64]) -> Gain:
    difference = hits - before
    return Gain(float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference))))


def _hits(rows: LabelledRows, sample_weight: npt.NDArray[np.float64] | None, holdout: LabelledRows) -> npt.NDArray[np.float64]:
    """1 where the classifier trained on ``rows`` names the held-out row's label, else 0. (n_holdout,)"""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1_000)  # scikit-learn's own defaults: nothing tuned to the held-out rows
    model.fit(rows.x, rows.y, sample_weight=sample_weight)
    hits: npt.NDArray[np.float64] = (model.predict(holdout.x) == holdout.y).astype(np.float64)
    return hits
