"""What near-duplicates of a text are found by, as a column expression: ``shingles_udf()("text")`` is a struct of the text's shingles and band keys."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql.types import ArrayType, LongType, StructField, StructType

from synalign_spark.compat import TEXTS, arrow_udf
from synalign_spark.core.minhash import band_keys, shingles

SHINGLED = StructType([StructField("shingles", ArrayType(LongType())), StructField("bands", ArrayType(LongType()))])


def shingled(texts: pa.Array) -> pa.StructArray:
    """Shingles and band keys (see ``core.minhash``) of each text, as signed numbers; two empty lists for a text without units.

    >>> found = shingled(pa.array(["a fine old film", "A fine old film!", "?!"])).to_pylist()
    >>> found[0] == found[1], len(found[0]["shingles"]), len(found[0]["bands"]), found[2]
    (True, 2, 21, {'shingles': [], 'bands': []})
    """
    found = [shingles(text or "") for text in texts.to_pylist()]
    bands = [band_keys(one) if len(one) else one for one in found]
    return pa.StructArray.from_arrays([_lists(found), _lists(bands)], names=["shingles", "bands"])


def _lists(found: list[npt.NDArray[np.uint64]]) -> pa.ListArray:
    ends = np.cumsum([0, *(len(one) for one in found)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.concatenate([*found, np.empty(0, np.uint64)]).view(np.int64)))


def shingles_udf() -> Callable[..., Any]:
    """:func:`shingled` as a column function."""
    return arrow_udf(shingled, SHINGLED, TEXTS)
