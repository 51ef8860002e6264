"""The base measure: the weight that a synthetic row starts from, before anything is matched.

q_i proportional to prior_i * p(label_i | row_i)^a * (p(words_i | real) / p(words_i | synthetic))^b
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame

from synalign_spark.core.strength.classifiers import LabelClassifier, SharedClassifiers, hashed_ngrams
from synalign_spark.core.strength.density_ratio import DensityRatio
from synalign_spark.spark.keys import unit
from synalign_spark.udfs.arrow import to_matrix


@dataclass(frozen=True)
class Base:
    """What shapes the base measure. power: a, the exponent of the label label confidence; classifier: None without labels, shared with the
    synthetic rows unless classifiers choose; density_ratio: None where words are left out; density_ratio_exponent: b."""

    power: float = 0.0
    classifier: LabelClassifier | SharedClassifiers | None = None
    density_ratio: DensityRatio | None = None
    density_ratio_exponent: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether it differs from the weights that the rows came with."""
        return self.classifier is not None or self.density_ratio is not None


def half_column(seed: int) -> Column:
    """Which half of the synthetic rows a row is in: classifiers of one half validate the other."""
    return unit(seed, "align.probe_half", "doc_id") < 0.5


def with_base(rows: DataFrame, texts: DataFrame, base: Base, seed: int) -> DataFrame:
    """The synthetic rows with label confidence = p(label | row), density ratio = the log ratio of words, and base; unchanged without either.

    rows: ``align_input.synthetic_rows``; texts: doc_id and text of the same rows."""
    if not base.changes:
        return rows
    extended = rows.withColumn("half", half_column(seed))
    if base.density_ratio is not None:
        extended = extended.join(texts, "doc_id")
    return extended.mapInArrow(partial(_base_partition, base=base), rows.schema)


def _base_partition(batches: Iterable[pa.RecordBatch], base: Base) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        half = batch.column("half").to_numpy(zero_copy_only=False)
        value = batch.column("prior").to_numpy(zero_copy_only=False)
        changed: dict[str, pa.Array] = {}
        if base.classifier is not None:
            confidence = _agreement(batch, base.classifier, half)
            changed["confidence"], value = pa.array(confidence), value * confidence**base.power
        if base.density_ratio is not None:
            group = np.asarray(batch.column("grp").to_pylist(), dtype=object)
            ratio = base.density_ratio.log_ratio(hashed_ngrams(batch.column("text").to_pylist()), group, half)
            changed["density_ratio"], value = pa.array(ratio), value * np.exp(base.density_ratio_exponent * ratio)
        changed["base"] = pa.array(value)
        names = [name for name in batch.schema.names if name not in ("half", "text")]
        yield pa.RecordBatch.from_arrays([changed.get(name, batch.column(name)) for name in names], names=names)


def _agreement(
    batch: pa.RecordBatch, classifier: LabelClassifier | SharedClassifiers, half: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    x, labels = to_matrix(batch.column("embedding")), np.asarray(batch.column("label").to_pylist(), dtype=object)
    return classifier.confidence(x, labels, half) if isinstance(classifier, SharedClassifiers) else classifier.confidence(x, labels)
