"""The embedding of a text column: one Arrow function, and its wrappers for DataFrames and SQL."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from synalign_spark.compat import TEXTS, arrow_udf, pandas_udf
from synalign_spark.config import EmbedConfig
from synalign_spark.errors import DataError
from synalign_spark.udfs.arrow import from_matrix
from synalign_spark.udfs.encoder import Encoder, EncoderInfo, encoder, encoder_info

SQL_NAME = "synalign_embed"
VECTOR = "array<float>"


def embed(texts: pa.Array, info: EncoderInfo, loaded: Encoder | None = None) -> pa.ListArray:
    """Unit vectors of texts: n strings to n lists of ``info.width`` float32; a null text has a null vector.

    loaded: the encoder, where the caller has it; without it the one that the process keeps.
    Raises DataError where the model gives a vector that is not finite or of another width."""
    present = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    x = (loaded or encoder(info)).encode(texts.take(pa.array(present)).to_pylist())  # (number of texts, width)
    if info.width and x.shape[1] != info.width:
        raise DataError(
            f"embed.model: {info.model!r} gave vectors of width {x.shape[1]} on a worker, {info.width} expected; use one model on all machines"
        )
    if len(present) == len(texts):
        return from_matrix(x)
    places = np.full(len(texts), -1, dtype=np.int64)
    places[present] = np.arange(len(present))
    return from_matrix(x).take(pa.array(places, mask=places < 0))


def embed_udf(info: EncoderInfo) -> Any:
    """``embed`` as a column function: an Arrow UDF where Spark has them (4.1 and later), the default, since vectors cross fast."""
    return arrow_udf(partial(embed, info=info), VECTOR, TEXTS)


def embed_pandas_udf(info: EncoderInfo) -> Any:
    """The same as a pandas UDF, on every Spark; vectors cross about ten times slower."""
    return pandas_udf(partial(embed, info=info), VECTOR, TEXTS)


def register(spark: Any, cfg: EmbedConfig, name: str = SQL_NAME) -> EncoderInfo:
    """Makes ``select synalign_embed(text)`` work in a session. Raises ConfigError where there is no such model."""
    info = encoder_info(cfg)
    spark.udf.register(name, embed_udf(info))
    return info
