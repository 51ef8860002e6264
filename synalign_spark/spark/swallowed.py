"""Rows that a stray quote joined to one of the right width: told by lines within a text that have a class where the file has its labels."""

import re
from collections.abc import Collection

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.config import SourceConfig
from synalign_spark.spark.delimited import Dialect
from synalign_spark.spark.source_types import parts_of


def swallowed_lines(accepted: DataFrame, source: SourceConfig, dialect: Dialect | None, labels: Collection[str]) -> int:
    """How many lines within texts of a delimited source look like rows of their own; 0 where there are no labels to tell them by.

    accepted: rows with ``raw``, the beginning of the text as it was read. labels: that rows have. A text may have line breaks, and then
    none of its lines has a class in the very column of the labels."""
    if (
        dialect is None
        or not dialect.quote
        or source.label_column is None
        or source.text_template is not None
        or source.label_bins is not None
    ):
        return 0
    text, label = (parts_of(name, dialect.names) for name in (source.text_column, source.label_column))
    if text is None or label is None:
        return 0
    i, j, n = dialect.names.index(text[0]), dialect.names.index(label[0]), len(dialect.names)
    known = [*labels, *source.rename_labels]
    lines = F.split("raw", "\r\n|\n|\r")

    def is_row(line: Column, k: Column) -> Column:
        fields = F.split(line, re.escape(dialect.separator))
        own = F.trim(F.get(fields, F.when(k == 0, j - i).otherwise(j))).isin(*known)  # the first line begins in the text's column
        ends_in_text = (k == F.size(lines) - 1) & (F.size(fields) == i + 1) & F.lit(j < i)
        whole = F.when(k == 0, (F.size(fields) == n - i) & F.lit(j > i)).otherwise((F.size(fields) == n) | ends_in_text)
        return F.coalesce(own & whole, F.lit(False))

    several = accepted.where(F.col("raw").rlike("[\r\n]"))
    found = several.agg(F.sum(F.size(F.filter(lines, is_row))).alias("lines")).collect()[0]
    return int(found["lines"] or 0)
