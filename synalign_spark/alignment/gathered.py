"""Small sides of a Spark job, brought into this process: over few rows a Spark job takes longer to start than to run, and an alignment has dozens."""

from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.alignment.arrow_side import ArrowSide
from synalign_spark.alignment.runtimes.choose import choose_runtime
from synalign_spark.alignment.sides import REAL_SCHEMA, SYNTHETIC_SCHEMA, Side
from synalign_spark.alignment.spark_side import SparkSide
from synalign_spark.compat import to_arrow
from synalign_spark.config.alignment import AlignConfig

MOST_ROWS = 20_000  # of both sides together
MOST_BYTES = 2**26  # of their vectors
MOST_TEXT_BYTES = 2**27  # of their texts


def gathered(real: SparkSide, synthetic: SparkSide, tables: Sequence[DataFrame], cfg: AlignConfig) -> tuple[Side, Side]:
    """Both sides in this process where they are small and nothing asks for the executors, else as they are. The weights are the same.

    tables: what has a row for each of both sides and is counted at less cost than the sides are."""
    if cfg.runtime not in ("auto", "local") or cfg.device == "cuda":
        return real, synthetic
    rows = sum(table.count() for table in tables)
    if rows > MOST_ROWS or rows * (width := _width(real)) * 4 > MOST_BYTES:
        return real, synthetic
    # Rows that are here cannot go back: the local runtime has to have room for them.
    if (
        real.text_bytes() + synthetic.text_bytes() > MOST_TEXT_BYTES
        or choose_runtime(real.frame.sparkSession, cfg, rows, width).name != "local"
    ):
        return real, synthetic
    return _here(real, REAL_SCHEMA), _here(synthetic, SYNTHETIC_SCHEMA)


def _width(side: SparkSide) -> int:
    """Numbers in the vector of some row; 0 without rows."""
    found = to_arrow(side.frame.select(F.size("embedding").alias("width")).limit(1)).to_pylist()
    return max(0, found[0]["width"] or 0) if found else 0


def _here(side: SparkSide, schema: pa.Schema) -> ArrowSide:
    rows = to_arrow(side.with_texts()).sort_by("doc_id")
    return ArrowSide(rows.select(schema.names).cast(schema), rows.column("text").combine_chunks() if side.has_texts else None)
