"""The alignment as an estimator in the style of Spark ML: parameters, fit, transform, save and load."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field
from pyspark.ml import Estimator, Model
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from synalign_spark.alignment.certificate import Certificate
from synalign_spark.alignment.scoring import Scorer
from synalign_spark.api.align import align
from synalign_spark.api.alignment import Alignment
from synalign_spark.api.columns import AlignColumns
from synalign_spark.api.frames import frame_kind
from synalign_spark.config import EmbedConfig
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.ml.shared import KeywordParams, TableWritable, with_columns, with_param, with_section
from synalign_spark.spark.user_columns import user_column

SIDES = ("real", "synthetic")


@with_section("align")
@with_section("embed", leave_out=["device"])
@with_param("seed", "Seed of the features, the splits and the samples.", 0, Annotated[int, Field(ge=0, lt=2**31)])
@with_param("origin", "Column that says 'real' or 'synthetic', for fit() on one DataFrame with both.", None, str | None)
@with_columns("text", "label", "embedding", "id", "weight", embedding=None)
class AlignerParams(KeywordParams):
    """The columns and the settings of an alignment."""

    def columns(self) -> dict[str, Any]:
        """The column parameters of ``align``."""
        return {name: self.getOrDefault(name) for name in ("text", "label", "embedding", "id", "weight")}

    def encoder(self) -> dict[str, Any]:
        """The keys of ``embed``; ``device`` is that of ``align``, as in :func:`synalign_spark.align`."""
        return {name: value for name, value in self.options("embed").items() if name != "device"}


class Aligner(AlignerParams, Estimator["AlignerModel"], DefaultParamsReadable["Aligner"], DefaultParamsWritable):
    """Weights for synthetic rows, as :func:`synalign_spark.align`, as a model that can be kept and weighs other rows too.

    Parameters: text, label, embedding, id, weight (columns), origin, seed, and the keys of the configuration's sections ``align``
    (regularization, n_features, ...) and ``embed`` (model, ...), each with ``getX`` and ``setX``. ``fit`` takes two DataFrames: an
    alignment has two inputs, where Spark's own estimators have one. In a ``Pipeline`` it takes one with both sides, and the parameter ``origin``.

    >>> import pandas as pd
    >>> from synalign_spark.ml.aligner import Aligner
    >>> real = pd.DataFrame({"vec": [[1.0, i / 40] for i in range(40)]})
    >>> synthetic = pd.DataFrame({"vec": [[1.0, i / 20] for i in range(40)]})
    >>> model = Aligner(embedding="vec", n_features=64).setRegularization(0.01).fit(real, synthetic)
    >>> bool(model.transform(synthetic[:1])["weight"][0] > model.transform(synthetic[-1:])["weight"][39])
    True"""

    def fit(self, real: Any, synthetic: Any = None) -> "AlignerModel":  # type: ignore[override]
        """Aligns the rows of ``synthetic`` to those of ``real``: pandas or Spark DataFrames, both of one kind.

        With the parameter ``origin`` one DataFrame holds both; the second argument may then be a param map, as with Spark's own estimators.
        Raises DataError and ConfigError as ``align`` does."""
        if isinstance(synthetic, dict):
            return self.copy(synthetic).fit(real)
        if synthetic is None:
            return self._fit(real)
        found = align(real, synthetic, seed=self.getSeed(), **self.columns(), **self.options("align"), **self.encoder())
        model = AlignerModel()
        model.take(found)
        fitted: AlignerModel = self._copyValues(model)
        return fitted

    def _fit(self, dataset: Any) -> "AlignerModel":
        return self.fit(*self._split(dataset))

    def _split(self, frame: Any) -> tuple[Any, Any]:
        origin = self.getOrigin()
        if origin is None:
            raise ConfigError(
                "Aligner: fit() was given one DataFrame; give real and synthetic rows, or name the column that tells them apart (origin)"
            )
        if origin not in frame.columns:
            raise DataError(f"origin={origin!r}: the frame has no such column; it has {', '.join(map(str, frame.columns))}")
        if frame_kind(frame, "real") == "pandas":
            sides = [frame[frame[origin] == side] for side in SIDES]
        else:
            sides = [frame.where(user_column(origin) == side) for side in SIDES]
        return sides[0], sides[1]


class AlignerModel(AlignerParams, Model, TableWritable):
    """A fitted alignment. alignment: what ``align`` found, with the sample weights of the rows of both sides (None after loading);
    certificate: what they achieve."""

    stored_tables = ("state",)
    alignment: Alignment[Any] | None = None
    certificate: Certificate
    _scorer: Scorer
    _sample_scale: Mapping[str, float] = {}

    def take(self, found: Alignment[Any]) -> None:
        """Becomes the model of an alignment."""
        self.alignment, self.certificate = found, found.certificate
        self._scorer, self._sample_scale = found.scorer, found.sample_scale

    @property
    def weights(self) -> Any:
        """The synthetic rows that the model was fitted on, with their weights. Raises ValueError for a model that was loaded."""
        if self.alignment is None:
            raise ValueError("weights: a loaded model does not hold the rows that it was fitted on; use transform(rows)")
        return self.alignment.weights

    def transform(self, dataset: Any, params: Any = None) -> Any:
        """The rows with the columns of ``align``'s weights: the same for the rows that the model was fitted on; for others the weight that they
        would have had among those. pandas or Spark DataFrame. Raises DataError for rows that cannot be used or labels that were not aligned."""
        if params:
            return self.copy(params).transform(dataset)
        return self._transform(dataset)

    def _transform(self, dataset: Any) -> Any:
        columns = AlignColumns.of_one(dataset.columns, **self.columns())
        encoder = EmbedConfig(**self.encoder())
        if frame_kind(dataset, "dataset") == "pandas":
            from synalign_spark.api.align_pandas import weigh_pandas

            return weigh_pandas(dataset, columns, self._scorer, encoder, self._sample_scale)
        from synalign_spark.api.align_spark import weigh_spark

        return weigh_spark(dataset, columns, self._scorer, encoder, self._sample_scale)

    def to_tables(self) -> dict[str, pa.Table]:
        figures = {"certificate": self.certificate.rows, "sample_scale": dict(self._sample_scale)}
        return {"state": pa.table({"scorer": pa.array([self._scorer.to_bytes()], pa.binary()), "figures": [json.dumps(figures)]})}

    def from_tables(self, stored: Mapping[str, pa.Table]) -> None:
        row = stored["state"].to_pylist()[0]
        figures = json.loads(row["figures"])
        self._scorer, self.certificate = Scorer.from_bytes(row["scorer"]), Certificate(figures["certificate"])
        self._sample_scale = figures["sample_scale"]
