"""The base measure: the weight that a synthetic row starts from, before anything is matched.

q_i proportional to prior_i * p(label_i | row_i)^a * (p(words_i | real) / p(words_i | synthetic))^b
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.alignment.sides import Batches, Side
from synalign_spark.core.strength.classifiers import LabelClassifier, SharedClassifiers, hashed_ngrams
from synalign_spark.core.strength.density_ratio import DensityRatio
from synalign_spark.udfs.arrow import to_matrix

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BaseMeasure:
    """What shapes it. confidence_exponent: a; classifier: of the labels, None without them, shared with the synthetic rows where real rows
    are few; density_ratio: None where words are left out; density_ratio_exponent: b."""

    confidence_exponent: float = 0.0
    classifier: LabelClassifier | SharedClassifiers | None = None
    density_ratio: DensityRatio | None = None
    density_ratio_exponent: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether it differs from the weights that the rows came with."""
        return self.classifier is not None or self.density_ratio is not None


def with_base_measure(rows: Side, base: BaseMeasure) -> Side:
    """The synthetic rows with label_confidence = p(label | row), the log of the density ratio, and base; unchanged without either."""
    return rows.rebased(partial(_rebase, base=base), with_texts=base.density_ratio is not None) if base.changes else rows


def _rebase(batches: Batches, base: BaseMeasure) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        half = batch.column("half").to_numpy(zero_copy_only=False)
        value = batch.column("prior").to_numpy(zero_copy_only=False)
        changed: dict[str, pa.Array] = {}
        if base.classifier is not None:
            confidence = _confidence(batch, base.classifier, half)
            changed["label_confidence"], value = pa.array(confidence), value * confidence**base.confidence_exponent
        if base.density_ratio is not None:
            group = np.asarray(batch.column("grp").to_pylist(), dtype=object)
            ratio = base.density_ratio.log_ratio(hashed_ngrams(batch.column("text").to_pylist()), group, half)
            changed["log_density_ratio"], value = pa.array(ratio), value * np.exp(base.density_ratio_exponent * ratio)
        changed["base"] = pa.array(value)
        names = [name for name in batch.schema.names if name != "text"]
        yield pa.RecordBatch.from_arrays([changed.get(name, batch.column(name)) for name in names], names=names)


def _confidence(batch: pa.RecordBatch, classifier: LabelClassifier | SharedClassifiers, half: npt.NDArray[np.bool_]) -> Float64Array:
    x, labels = to_matrix(batch.column("embedding")), np.asarray(batch.column("label").to_pylist(), dtype=object)
    return classifier.confidence(x, labels, half) if isinstance(classifier, SharedClassifiers) else classifier.confidence(x, labels)
