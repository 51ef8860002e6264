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

from synalign_spark.core.strength.classifiers import LabelProbe, SharedProbes, hashed_ngrams
from synalign_spark.core.strength.density_ratio import Likeness
from synalign_spark.spark.keys import unit
from synalign_spark.udfs.arrow import to_matrix


@dataclass(frozen=True)
class Base:
    """What shapes the base measure. power: a, the exponent of the label agreement; probe: None without labels, shared with the
    synthetic rows unless probes choose; likeness: None where words are left out; likeness_power: b."""

    power: float = 0.0
    probe: LabelProbe | SharedProbes | None = None
    likeness: Likeness | None = None
    likeness_power: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether it differs from the weights that the rows came with."""
        return self.probe is not None or self.likeness is not None


def half_column(seed: int) -> Column:
    """Which half of the synthetic rows a row is in: classifiers of one half judge the other."""
    return unit(seed, "align.probe_half", "doc_id") < 0.5


def with_base(rows: DataFrame, texts: DataFrame, base: Base, seed: int) -> DataFrame:
    """The synthetic rows with agreement = p(label | row), likeness = the log ratio of words, and base; unchanged without either.

    rows: ``align_input.synthetic_rows``; texts: doc_id and text of the same rows."""
    if not base.changes:
        return rows
    extended = rows.withColumn("half", half_column(seed))
    if base.likeness is not None:
        extended = extended.join(texts, "doc_id")
    return extended.mapInArrow(partial(_base_partition, base=base), rows.schema)


def _base_partition(batches: Iterable[pa.RecordBatch], base: Base) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        half = batch.column("half").to_numpy(zero_copy_only=False)
        value = batch.column("prior").to_numpy(zero_copy_only=False)
        changed: dict[str, pa.Array] = {}
        if base.probe is not None:
            agreement = _agreement(batch, base.probe, half)
            changed["agreement"], value = pa.array(agreement), value * agreement**base.power
        if base.likeness is not None:
            group = np.asarray(batch.column("grp").to_pylist(), dtype=object)
            ratio = base.likeness.log_ratio(hashed_ngrams(batch.column("text").to_pylist()), group, half)
            changed["likeness"], value = pa.array(ratio), value * np.exp(base.likeness_power * ratio)
        changed["base"] = pa.array(value)
        names = [name for name in batch.schema.names if name not in ("half", "text")]
        yield pa.RecordBatch.from_arrays([changed.get(name, batch.column(name)) for name in names], names=names)


def _agreement(batch: pa.RecordBatch, probe: LabelProbe | SharedProbes, half: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    x, labels = to_matrix(batch.column("embedding")), np.asarray(batch.column("label").to_pylist(), dtype=object)
    return probe.agreement(x, labels, half) if isinstance(probe, SharedProbes) else probe.agreement(x, labels)
