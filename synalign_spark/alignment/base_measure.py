"""The base measure of ``core/strength/base_measure.py``, carried out on the synthetic rows wherever they lie."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa

from synalign_spark.alignment.sides import Batches, Side
from synalign_spark.core.strength.base_measure import BaseMeasure
from synalign_spark.core.strength.classifiers import hashed_ngrams
from synalign_spark.udfs.arrow import to_matrix


def with_base_measure(rows: Side, base: BaseMeasure) -> Side:
    """The synthetic rows with label_confidence = p(label | row), repaired_label, the logs of the density ratios, and base; unchanged without any."""
    return rows.rebased(partial(_rebase, base=base), with_texts=base.words is not None) if base.changes else rows


def _rebase(batches: Batches, base: BaseMeasure) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        half = batch.column("half").to_numpy(zero_copy_only=False)
        labels, group = (np.asarray(batch.column(name).to_pylist(), dtype=object) for name in ("label", "grp"))
        ngrams = hashed_ngrams(batch.column("text").to_pylist()) if base.words is not None else None
        x = to_matrix(batch.column("embedding"))
        factors = base.factors(x, ngrams, labels, group, half)
        prior = batch.column("prior").to_numpy(zero_copy_only=False)
        changed = {"base": pa.array(prior * np.exp(base.log_factor(factors, group)))}
        if base.classifiers is not None and factors.log_confidence is not None:
            changed["label_confidence"] = pa.array(np.exp(factors.log_confidence))
            changed["repaired_label"] = pa.array(base.classifiers.other_labels(x, labels, half), pa.string())
        for name, values in (("log_density_ratio", factors.log_words), ("log_embedding_ratio", factors.log_embeddings)):
            if values is not None:
                changed[name] = pa.array(values)
        names = [name for name in batch.schema.names if name != "text"]
        yield pa.RecordBatch.from_arrays([changed.get(name, batch.column(name)) for name in names], names=names)
