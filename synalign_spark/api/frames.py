"""Columns of pandas frames as plain values, the same as Spark makes of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.config import EmbedConfig
from synalign_spark.errors import DataError
from synalign_spark.udfs.arrow import to_matrix
from synalign_spark.udfs.encoder import encoder, encoder_info


def frame_kind(frame: Any, name: str) -> str:
    """'pandas' or 'spark', without importing either. Raises DataError for anything else.

    >>> import pandas as pd
    >>> frame_kind(pd.DataFrame(), "real")
    'pandas'"""
    package = type(frame).__module__.partition(".")[0]
    if type(frame).__name__ == "DataFrame" and package in ("pandas", "pyspark"):
        return "pandas" if package == "pandas" else "spark"
    raise DataError(f"{name}: must be a pandas or a Spark DataFrame, got {type(frame).__module__}.{type(frame).__name__}")


def as_labels(values: Any) -> list[str | None]:
    """The labels of a pandas series as Spark casts them to text; None for a missing one.

    >>> import pandas as pd
    >>> as_labels(pd.Series([True, None, 3]))
    ['true', None, '3']"""
    missing = values.isna().tolist()
    return [None if null else _as_text(value) for value, null in zip(values.tolist(), missing, strict=True)]


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_vectors(values: Sequence[Any], column: str) -> npt.NDArray[np.float32]:
    """Vectors (lists, tuples or arrays of numbers) as a matrix (n, d).

    Raises DataError for a missing vector, other widths, NaN, infinity and whatever is no vector of numbers.

    >>> as_vectors([[1, 2], (3, 4)], "vec").tolist()
    [[1.0, 2.0], [3.0, 4.0]]"""
    try:
        return to_matrix(pa.array(list(values)))
    except pa.ArrowException as err:
        raise DataError(f"embedding={column!r}: holds what is no vector of numbers ({err}); give one list of floats a row") from err
    except DataError as err:
        raise DataError(f"embedding={column!r}: {err}") from err


def encoded(texts: list[str], cfg: EmbedConfig) -> npt.NDArray[np.float32]:
    """Unit vectors of texts, (n, d), by the configured encoder, in this process.

    Raises ConfigError for an encoder that cannot be used."""
    return encoder(encoder_info(cfg)).encode(texts)
