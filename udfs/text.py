"""Normal form of a text: the same sentence gets the same characters, and so the same id."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column
from pyspark.sql.functions import arrow_udf, pandas_udf  # type: ignore[attr-defined]

# All control characters become spaces: a NUL or a bell inside a word is noise, tabs and line ends are white space.
_SPACES = r"[\s\p{Z}\p{Cc}]+"
# Marks that show nothing and would make two equal texts differ: zero-width space, word joiner, byte order mark, soft hyphen.
_INVISIBLE = "[\u200b\u2060\ufeff\u00ad]"


def normalise(texts: pa.Array) -> pa.Array:
    """Unicode NFC, control characters and runs of white space as one space, invisible marks removed, ends trimmed.

    texts: n strings, nulls allowed. Returns n strings of the same nulls; applying it twice changes nothing."""
    seen = pc.replace_substring_regex(texts, pattern=_INVISIBLE, replacement="")
    composed = pc.utf8_normalize(seen, form="NFC")
    return pc.utf8_trim(pc.replace_substring_regex(composed, pattern=_SPACES, replacement=" "), characters=" ")


def normalise_udf() -> object:
    """``normalise`` as a column function on Arrow arrays (Spark 4.1 and later)."""

    @arrow_udf("string")  # type: ignore[untyped-decorator]
    def normalised(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for texts in batches:
            yield normalise(texts)

    return normalised


def normalise_pandas_udf() -> object:
    """The same on pandas series, for older Spark."""
    import pandas as pd

    @pandas_udf("string")  # type: ignore[untyped-decorator]
    def normalised(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for texts in batches:
            yield normalise(pa.Array.from_pandas(texts, type=pa.string())).to_pandas()

    return normalised


def normalised(text: Column | str) -> Column:
    """The normal form of a text column."""
    return normalise_udf()(text)  # type: ignore[operator,no-any-return]
