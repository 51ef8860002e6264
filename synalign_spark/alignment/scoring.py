"""What an alignment leaves to weigh rows with, the fitted ones or others, and its form on a disk: arrays, no pickle."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer

from synalign_spark.alignment.base_measure import with_base_measure
from synalign_spark.alignment.outliers import with_outliers
from synalign_spark.alignment.runtimes.local import LocalRows
from synalign_spark.alignment.runtimes.rows import Solved
from synalign_spark.alignment.sides import Side
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.groups import label_of
from synalign_spark.core.outliers import KnownWords, Neighbourhood, OutlierRules
from synalign_spark.core.strength.base_measure import BaseMeasure, Component
from synalign_spark.core.strength.classifiers import LabelClassifier, SharedClassifiers
from synalign_spark.core.strength.density_ratio import DensityRatio
from synalign_spark.core.weight_caps import WeightCap
from synalign_spark.errors import DataError

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Scorer:
    """w proportional to q exp(theta . phi), with the normaliser of the rows that were aligned.

    features: phi; base: q; rules: which rows must not gain weight; solved: theta, normalisers and share by group; per_label, seed: as of the alignment."""

    features: FeatureMap
    base: BaseMeasure
    rules: OutlierRules | None
    solved: Mapping[str, Solved]
    per_label: bool
    seed: int

    @property
    def labels(self) -> list[str]:
        """Labels whose rows can be weighed; empty where one mixture was matched."""
        return sorted(label for group in self.solved if (label := label_of(group)) is not None)

    def weights(self, rows: Side) -> Any:
        """The columns of ``runtimes.rows.WEIGHTED`` for every row: an Arrow table, or a DataFrame where the rows lie in one.

        The rows that were aligned get their weights; others what they would have had among them, so that theirs need not sum to 1.
        Raises DataError where the model weighs words and the rows have none."""
        words = self.rules is not None and self.rules.words is not None
        if (self.base.words is not None or words) and not rows.has_texts:
            raise DataError(
                "text: the model weighs words, but these rows have no text column; give the one that it was fitted with, or fit without texts (text=None)"
            )
        rebased = with_outliers(with_base_measure(rows, self.base), self.rules)
        if hasattr(rebased, "frame"):
            from synalign_spark.alignment.runtimes.driver_loop import SparkRows

            return SparkRows(rebased.frame, self.features).weights(self.solved)
        return LocalRows(rebased.table(), self.features, "recompute").weights(self.solved)

    def check_width(self, width: int) -> None:
        """Raises DataError for vectors of another width than those that were aligned."""
        if width != self.features.width:
            raise DataError(
                f"embedding: vectors have the width {width}, and the model was fitted on {self.features.width}; embed all rows with one model"
            )

    def check_labels(self, found: set[str | None]) -> None:
        """Raises DataError for labels that were not aligned."""
        unknown = sorted(str(label) for label in found - set(self.labels)) if self.labels else []
        if unknown:
            raise DataError(f"label: {', '.join(unknown[:10])} was not among the aligned rows; the model knows {', '.join(self.labels)}")

    def to_bytes(self) -> bytes:
        """Everything as named arrays (numpy's npz)."""
        groups = sorted(self.solved)
        scalars = [[s.log_partition, s.log_total, s.share, s.cap.kappa, s.cap.back] for s in (self.solved[group] for group in groups)]
        arrays: Arrays = {
            "frequencies": self.features.frequencies, "bandwidths": np.array(self.features.bandwidths), "groups": np.array(groups, dtype=str),
            "thetas": np.stack([self.solved[group].theta for group in groups]), "scalars": np.array(scalars),
            "settings": np.array([self.per_label, self.seed], dtype=np.int64),
        }  # fmt: skip
        arrays |= _base_arrays(self.base) | _rule_arrays(self.rules)
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, state: bytes) -> "Scorer":
        """Reads what ``to_bytes`` wrote."""
        with np.load(io.BytesIO(state), allow_pickle=False) as stored:
            arrays: Arrays = dict(stored)
        features = FeatureMap(arrays["frequencies"], tuple(arrays["bandwidths"].tolist()))
        solved = {
            str(group): Solved(theta, log_partition, log_total, share, cap=WeightCap(kappa, back))
            for group, theta, (log_partition, log_total, share, kappa, back) in zip(
                arrays["groups"], arrays["thetas"], arrays["scalars"].tolist(), strict=True
            )
        }
        per_label, seed = map(int, arrays["settings"])
        return cls(features, _base(arrays), _rules(arrays), solved, bool(per_label), seed)


def _base_arrays(base: BaseMeasure) -> Arrays:
    groups = sorted(base.log_means or {})
    arrays: Arrays = {
        "components": np.array([(one.confidence, one.words, one.embeddings) for one in base.components]).reshape(-1, 3),
        "base_groups": np.array(groups, dtype=str),
        "log_means": np.array([(base.log_means or {})[group] for group in groups]).reshape(len(groups), len(base.components)),
    }
    if base.classifiers is not None:
        arrays["ratio_of_labels"] = np.array(base.classifiers.ratio)
        for i, part in enumerate((base.classifiers.real, *base.classifiers.shared)):
            arrays |= {f"coef{i}": part.coef, f"intercept{i}": part.intercept, f"labels{i}": np.array(part.labels, dtype=str)}
    return arrays | _ratio_arrays("words", base.words) | _ratio_arrays("embeddings", base.embeddings)


def _base(arrays: Arrays) -> BaseMeasure:
    classifiers = None
    if "coef0" in arrays:
        real, first, second = (
            LabelClassifier(arrays[f"coef{i}"], arrays[f"intercept{i}"], tuple(map(str, arrays[f"labels{i}"]))) for i in range(3)
        )
        classifiers = SharedClassifiers(real, (first, second), bool(arrays["ratio_of_labels"]))
    means = {str(group): tuple(map(float, row)) for group, row in zip(arrays["base_groups"], arrays["log_means"], strict=True)}
    components = tuple(Component(*map(float, row)) for row in arrays["components"])
    return BaseMeasure(components, classifiers, _ratio("words", arrays), _ratio("embeddings", arrays), means)


def _ratio_arrays(name: str, ratio: DensityRatio | None) -> Arrays:
    if ratio is None:
        return {}
    arrays: Arrays = {f"{name}_intercept": ratio.intercept, f"{name}_groups": np.array(ratio.groups, dtype=str)}
    if not sparse.issparse(ratio.coef):
        return arrays | {f"{name}_coef": ratio.coef}
    coef = sparse.csr_matrix(ratio.coef)
    parts = {"data": coef.data, "indices": coef.indices, "indptr": coef.indptr, "shape": np.array(coef.shape)}
    if ratio.tfidf is not None:
        parts["idf"] = ratio.tfidf.idf_
    return arrays | {f"{name}_{part}": values for part, values in parts.items()}


def _ratio(name: str, arrays: Arrays) -> DensityRatio | None:
    if f"{name}_groups" not in arrays:
        return None
    intercept, groups = arrays[f"{name}_intercept"], tuple(map(str, arrays[f"{name}_groups"]))
    if f"{name}_coef" in arrays:
        return DensityRatio(arrays[f"{name}_coef"], intercept, groups)
    tfidf = None
    if f"{name}_idf" in arrays:
        tfidf = TfidfTransformer(sublinear_tf=True)
        tfidf.idf_ = arrays[f"{name}_idf"]
    data, indices, indptr = (arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    coef = sparse.csr_matrix((data, indices, indptr), shape=tuple(arrays[f"{name}_shape"].tolist()))
    return DensityRatio(coef, intercept, groups, tfidf)


def _rule_arrays(rules: OutlierRules | None) -> Arrays:
    if rules is None:
        return {}
    names, limited = sorted(rules.neighbourhoods), sorted(rules.largest_ratio)
    arrays: Arrays = {
        "around": np.array(names, dtype=str), "distances": np.array([[rules.neighbourhoods[name].far, rules.neighbourhoods[name].copy] for name in names]),
        "lifted": np.array(sorted(rules.lifted), dtype=str).reshape(-1, 2), "limited": np.array(limited, dtype=str), "limits": np.array([rules.largest_ratio[name] for name in limited]),
    }  # fmt: skip
    arrays |= {f"around{i}": rules.neighbourhoods[name].x for i, name in enumerate(names)}
    return arrays if rules.words is None else arrays | {"words": np.packbits(rules.words.known), "least": np.array(rules.words.least)}


def _rules(arrays: Arrays) -> OutlierRules | None:
    if "around" not in arrays:
        return None
    around = {
        str(name): Neighbourhood(arrays[f"around{i}"], *map(float, arrays["distances"][i])) for i, name in enumerate(arrays["around"])
    }
    words = KnownWords(np.unpackbits(arrays["words"]).astype(bool), float(arrays["least"])) if "words" in arrays else None
    limits = {str(name): float(limit) for name, limit in zip(arrays["limited"], arrays["limits"], strict=True)}
    return OutlierRules(around, words, limits, frozenset((str(name), str(reason)) for name, reason in arrays["lifted"]))
