"""Random choices as column expressions: keyed by (seed, row id), so no partitioning changes them.

The same ids and numbers without Spark: :mod:`synalign_spark.core.keys`.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from synalign_spark.core.keys import LABEL_SEPARATOR, STEPS


def unit(seed: int, purpose: str, *ids: Column | str) -> Column:
    """A number in (0, 1), uniform over rows and independent between purposes ('split', 'sample', ...)."""
    hashed = F.xxhash64(*ids, F.lit(seed), F.lit(purpose))
    return (F.pmod(hashed, F.lit(STEPS)) + F.lit(0.5)) / F.lit(float(STEPS))


def content_id(text: Column | str) -> Column:
    """The id of a row: sha256 of its text as it is given, in hex."""
    return F.sha2(text, 256)


def id_of_each_label(text: str, label: str) -> Column:
    """The id of a row of a text that is a row of each of its labels: that of the text, and a hash of the label behind ``-``, so that they are held
    out together (``core.holdout``). text, label: column names."""
    return F.concat_ws("-", content_id(F.col(text)), F.substring(F.sha2(F.coalesce(F.col(label), F.lit("")), 256), 1, 16))


def labelled_content_id(text: str, label: str) -> Column:
    """The id of a row whose text may occur under several labels: sha256 of label and text, of the text alone where the
    label is null. text, label: column names."""
    return F.when(F.col(label).isNull(), content_id(text)).otherwise(F.sha2(F.concat_ws(LABEL_SEPARATOR, label, text), 256))
