"""The product as a method of the comparison: its own stage, with its own defaults, through a local Spark session."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from synalign_spark.alignment.align import align
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS, SYNTHETIC
from synalign_spark.udfs.arrow import from_matrix
from tests.bench.support.corpora import Corpus

Float64Array = npt.NDArray[np.float64]
LEFT_OUT = {  # of the certificate: what the choice of the weights can be understood without
    "bandwidths", "n_features", "n_synthetic", "n_permutations", "mmd2_fit_before", "mmd2_fit_after", "p_value_before", "p_adjusted_before",
    "p_value_error_before", "p_value_error_after", "dual_value", "duality_gap", "max_weight", "seconds",
}  # fmt: skip


class Product:
    """``align`` as a method. Only rows whose label has real rows are given to it; the others weigh nothing."""

    def __init__(self, spark: SparkSession, cfg: AlignConfig) -> None:
        self._spark, self._cfg = spark, cfg

    def __call__(self, real: Corpus, synthetic: Corpus, seed: int) -> tuple[Float64Array, list[dict[str, Any]]]:
        """(n,) log weights in the order of ``synthetic``, and the certificate as JSON can hold it."""
        rows = synthetic.take(np.flatnonzero(np.isin(synthetic.labels, real.labels)))
        weights, certificate = self._align(real, rows, seed)
        found = weights.select("doc_id", "weight_in_label").toArrow()
        by_id = dict(zip(found.column("doc_id").to_pylist(), found.column("weight_in_label").to_pylist(), strict=True))
        with np.errstate(divide="ignore"):
            log_weight: Float64Array = np.log(np.array([by_id.get(key, 0.0) for key in synthetic.ids.tolist()]))
        return log_weight, [_plain(row) for row in certificate.toArrow().to_pylist()]

    def _align(self, real: Corpus, rows: Corpus, seed: int) -> tuple[DataFrame, DataFrame]:
        """The one place that knows how ``align`` is called."""
        vectors = self._embeddings("real", real), self._embeddings("synthetic", rows)
        tables = [self._table(contract, _columns(contract.column_names, side)) for contract, side in ((CORPUS, real), (SYNTHETIC, rows))]
        found = align(*vectors, *tables, self._cfg, seed)
        return found.weights, found.certificate

    def _embeddings(self, origin: str, rows: Corpus) -> DataFrame:
        n = len(rows)
        values = [[origin] * n, rows.ids.tolist(), rows.labels.tolist(), ["all-MiniLM-L6-v2"] * n, ["1"] * n, from_matrix(rows.x)]
        return self._spark.createDataFrame(pa.table(values, names=list(EMBEDDINGS.column_names)), EMBEDDINGS.ddl)

    def _table(self, contract: Any, columns: list[list[Any]]) -> DataFrame:
        return self._spark.createDataFrame(list(zip(*columns, strict=True)), contract.ddl)


def _columns(names: tuple[str, ...], rows: Corpus) -> list[list[Any]]:
    """The columns of a contract for these rows; null where a corpus of the benchmark has nothing to say."""
    n = len(rows)
    known: dict[str, list[Any]] = {
        "doc_id": rows.ids.tolist(),
        "text": rows.texts,
        "label": rows.labels.tolist(),
        "n_chars": [len(text) for text in rows.texts],
        "strategy": ["imported"] * n,
        "model": ["unknown"] * n,
    }
    return [known.get(name, [None] * n) for name in names]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A certificate row with short numbers; infinity and NaN as text, which JSON has no numbers for."""
    return {name: _number(value) for name, value in row.items() if name not in LEFT_OUT}


def _number(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else str(value)
