"""Columns of pandas frames as plain values, the same as Spark makes of them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.config import EmbedConfig
from synalign_spark.core.defaults import MOST_HOLDOUT, SMALLEST_WEIGHT
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.spark.columns import check_zeros
from synalign_spark.udfs.arrow import to_matrix
from synalign_spark.udfs.encoder import encoder, encoder_info


def frame_kind(frame: Any, name: str) -> str:
    """'pandas' or 'spark', without importing either. Raises DataError for anything else.

    >>> import pandas as pd
    >>> frame_kind(pd.DataFrame(), "real")
    'pandas'"""
    module = type(frame).__module__
    if type(frame).__name__ == "DataFrame":
        if module.split(".")[0] == "pandas":  # "pandas.core.frame", and "pandas" from its release 3 on
            return "pandas"
        if module.startswith("pyspark.sql."):
            return "spark"
    raise DataError(f"{name}: must be a pandas or a Spark DataFrame, got {type(frame).__module__}.{type(frame).__name__}")


def one_kind(real: Any, synthetic: Any) -> str:
    """The kind of both frames. Raises DataError where they differ."""
    kind, other = frame_kind(real, "real"), frame_kind(synthetic, "synthetic")
    if other != kind:
        raise DataError(f"synthetic: is a {other} DataFrame and real a {kind} one; give both in one kind")
    return kind


def check_seed(seed: Any) -> None:
    """Raises ConfigError unless the seed is a whole number that every engine takes, 0 to 2^31 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ConfigError(f"seed: must be a whole number from 0 to {2**31 - 1}, got {seed!r}")


def check_holdout(holdout: Any) -> None:
    """Raises ConfigError unless it is a share that may be held out, or 0 for none."""
    if isinstance(holdout, bool) or not isinstance(holdout, int | float) or not 0 <= holdout < MOST_HOLDOUT:
        raise ConfigError(f"holdout: must be a share from 0 (none) to less than {MOST_HOLDOUT:g}, that of align, got {holdout!r}")


def as_labels(values: Any) -> list[str | None]:
    """The labels of a pandas series as Spark has them as text; None for a missing one.

    Numbers that are whole are classes whatever their type is: a column of integers with a gap is one of floats to pandas.
    Raises DataError for other numbers, and where a number and a text would be one label.

    >>> import pandas as pd
    >>> as_labels(pd.Series([True, None, 3])), as_labels(pd.Series([1.0, None]))
    (['true', None, '3'], ['1', None])"""
    missing = values.isna().tolist()
    found = [None if null else as_text(value, values.name) for value, null in zip(values.tolist(), missing, strict=True)]
    texts = {value for value in values.tolist() if isinstance(value, str)}
    if halved := sorted(value for value in texts if any("\ud800" <= char <= "\udfff" for char in value)):
        raise DataError(f"label={values.name!r}: {halved[0]!r} holds half of a surrogate pair, which is no text; clean it")
    if both := sorted(
        texts & {name for name, value in zip(found, values.tolist(), strict=True) if name is not None and not isinstance(value, str)}
    ):
        raise DataError(
            f"label={values.name!r}: {both[0]!r} stands there as a number, or a boolean, and as text; cast the column to one of them"
        )
    return found


def as_text(label: Any, column: Any = "label") -> str:
    """One label as text. Raises DataError for a number that is not whole, and for what is no text, number or boolean.

    >>> as_text(False), as_text(2.0)
    ('false', '2')"""
    label = label.item() if isinstance(label, np.generic) else label
    if isinstance(label, float | Decimal):
        if label != label // 1:
            raise DataError(
                f"label={column!r}: holds the number {label:g}, which is no class; bin it, or name a column of text, integers or booleans"
            )
        return str(int(label))
    if not isinstance(label, str | int):
        raise DataError(
            f"label={column!r}: holds a {type(label).__name__}, which is no class; name a column of text, integers or booleans, or cast it to text"
        )
    return str(label).lower() if isinstance(label, bool) else str(label)


def as_vectors(values: Sequence[Any], column: str) -> npt.NDArray[np.float32]:
    """Vectors (lists, tuples or arrays of numbers) as a matrix (n, d).

    Raises DataError for a missing vector, other widths, NaN, infinity, zeros alone and whatever is no vector of numbers.

    >>> as_vectors([[1, 2], (3, 4)], "vec").tolist()
    [[1.0, 2.0], [3.0, 4.0]]"""
    try:
        found = pa.array(list(values))
        if pa.types.is_list(found.type) and (pa.types.is_string(found.type.value_type) or pa.types.is_boolean(found.type.value_type)):
            raise DataError(
                f"embedding={column!r}: holds lists of {found.type.value_type}s and not of numbers; give one list of floats a row"
            )
        x = to_matrix(found)
    except pa.ArrowException as err:
        raise DataError(
            f"embedding={column!r}: holds what is no vector of finite numbers in some row ({err}); give one list of floats a row"
        ) from err
    except DataError as err:
        raise DataError(f"embedding={column!r}: {str(err).removeprefix('embedding: ')}") from err
    check_zeros(int((~x.any(axis=1)).sum()), len(x), column)
    return x


def smallest_of(x: npt.NDArray[np.float32], rows: Sequence[int]) -> int:
    """Of some rows of x the one with the smallest vector, number by number, so that their order does not show. x: (n, d).

    >>> smallest_of(np.array([[2.0, 0.0], [1.0, 5.0], [1.0, 4.0]]), [0, 1, 2])
    2"""
    return rows[0] if len(rows) == 1 else min(rows, key=lambda row: x[row].tolist())


def as_weights(values: Any, column: str) -> npt.NDArray[np.float64]:
    """Weights of a pandas series, (n,); 1 where one is missing. Raises DataError for what is no number."""
    try:
        found: npt.NDArray[np.float64] = values.astype(np.float64).fillna(1.0).to_numpy()
    except (ValueError, TypeError) as err:
        raise DataError(f"weight={column!r}: holds what is no number ({err}); give numbers >= 0") from err
    return found


def check_largest(largest: float, side: str, column: str) -> None:
    """Raises DataError for weights of which the largest is below what numbers can hold exactly; only their ratios count."""
    if 0.0 < largest < SMALLEST_WEIGHT:
        raise DataError(
            f"weight={column!r}: the largest of the {side} rows is {largest:.3g}; only ratios count, so multiply all until it is about 1"
        )


def encoded(texts: list[str], cfg: EmbedConfig) -> npt.NDArray[np.float32]:
    """Unit vectors of texts, (n, d), by the configured encoder, in this process.

    Raises ConfigError for an encoder that cannot be used."""
    return encoder(encoder_info(cfg)).encode(texts)
