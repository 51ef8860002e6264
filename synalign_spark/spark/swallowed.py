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
        fields = F.split(line, re.escape(dialect.separator))  # more than columns, where a text has separators
        fields = F.transform(fields, lambda one: F.btrim(one, F.lit(f" {dialect.quote}")))
        if (
            j > i
        ):  # labels are counted from the end, and the first line begins in the text's column; a line with columns too many, from its start
            from_end = F.get(fields, F.size(fields) - (n - j)).isin(*known) & (F.size(fields) >= F.when(k == 0, n - i).otherwise(n))
            return F.coalesce(from_end, F.lit(False)) | ((k > 0) & (F.size(fields) >= n) & F.get(fields, F.lit(j)).isin(*known))
        ends_in_text = (k == F.size(lines) - 1) & (F.size(fields) >= i + 1)
        return (k > 0) & F.get(fields, F.lit(j)).isin(*known) & ((F.size(fields) >= n) | ends_in_text)

    several = accepted.where(F.col("raw").rlike("[\r\n]"))
    found = several.agg(F.sum(F.size(F.filter(lines, lambda line, k: F.coalesce(is_row(line, k), F.lit(False))))).alias("lines")).collect()[
        0
    ]
    return int(found["lines"] or 0)
