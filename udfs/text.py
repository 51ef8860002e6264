"""The normal form of a text as a column function; its rules are those of ``synalign_spark.core.text``."""

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column

from synalign_spark.compat import TEXTS, arrow_udf
from synalign_spark.core.text import FORM, INVISIBLE, SPACE, SPACES_RE2


def normalise(texts: pa.Array) -> pa.Array:
    """The normal form of each text, as ``synalign_spark.core.text.normalise`` gives it.

    texts: n strings, nulls allowed. Returns n strings of the same nulls; applying it twice changes nothing.

    >>> normalise(pa.array([" a\\tfine  film\\n", None])).to_pylist()
    ['a fine film', None]
    """
    visible = pc.replace_substring_regex(texts, pattern=INVISIBLE, replacement="")
    composed = pc.utf8_normalize(visible, form=FORM)
    return pc.utf8_trim(pc.replace_substring_regex(composed, pattern=SPACES_RE2, replacement=SPACE), characters=SPACE)


def normalise_udf() -> object:
    """``normalise`` as a column function."""
    return arrow_udf(normalise, "string", TEXTS)


def normalised(text: Column | str) -> Column:
    """The normal form of a text column."""
    return normalise_udf()(text)  # type: ignore[operator,no-any-return]
