"""What :func:`synalign_spark.align` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from synalign_spark.alignment.certificate import Certificate
from synalign_spark.alignment.scoring import Scorer

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

Frame = TypeVar("Frame", "pd.DataFrame", "DataFrame")

WEIGHT_COLUMNS = (
    "weight",
    "weight_in_label",
    "base_weight",
    "label_confidence",
    "repaired_label",
    "log_density_ratio",
    "log_embedding_ratio",
    "capped_by",
    "sample_weight",
)


@dataclass(frozen=True)
class Alignment(Generic[Frame]):
    """What :func:`align` found.

    weights: the synthetic rows as they were given, with the columns of WEIGHT_COLUMNS: ``weight`` (all rows sum to 1), ``weight_in_label``,
    ``base_weight`` (what the row came with, within its label), ``label_confidence`` (p(label | row), null without labels),
    ``repaired_label`` (the label that the classifiers find likelier, as text; mostly null),
    ``log_density_ratio`` and ``log_embedding_ratio`` (of its words and of its embedding, null where left out), ``capped_by`` (why the row may
    not gain weight, mostly null), and ``sample_weight``, for training on all rows beside real ones;
    real: the real rows as they were given, with their ``sample_weight``. Over the rows of both frames that are used these weights have the
    mean 1 (not used, and 0, are labels that ``label_shares`` leaves out and, with the mixing weight 0, all synthetic rows), and every label
    has the share of the real rows (or that of ``label_shares``), whatever the synthetic rows are: a label without any is taught by its
    real rows at its full share. certificate: what the weights achieve; trace: what was tried on the way, rows of the ``solver_trace``
    table; scorer, sample_scale: what ``Aligner`` keeps to weigh other rows, and ``sample_weight`` over ``weight`` by group."""

    weights: Frame
    real: Frame
    certificate: Certificate
    trace: list[dict[str, Any]]
    scorer: Scorer
    sample_scale: Mapping[str, float]

    def __repr__(self) -> str:
        return f"Alignment(weights={len(WEIGHT_COLUMNS)} columns beside the synthetic rows, certificate={self.certificate!r})"
