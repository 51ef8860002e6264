"""Ids of rows by their content, and random choices keyed by (seed, row id): no order and no partitioning changes them.

Both are those of :mod:`synalign_spark.spark.keys`, bit for bit: a row has the same id and the same number in both engines.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from xxhash import xxh64_intdigest

STEPS = 2**52  # of a number in (0, 1): with the half step added, doubles still hold it exactly
SPARK_HASH_SEED = 42  # what Spark's xxhash64() starts from
INT32_BELOW = 2**31
LABEL_SEPARATOR = "\x1f"  # ASCII unit separator


def unit(seed: int, purpose: str, ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """A number in (0, 1) for each id, uniform over ids and independent between purposes ('split', 'sample', ...).

    seed: a whole number of at most 64 bits; purpose: what is chosen; ids: n texts.
    Returns (n,) float64: Spark's ``xxhash64(id, seed, purpose)``, an XXH64 chain (Collet 2012), modulo 2^52.
    Raises OverflowError for a seed of more than 64 bits.

    >>> unit(0, "split", ["a", "b"]).round(6).tolist()
    [0.610331, 0.871166]"""
    # Spark hashes a number literal by its type: 4 bytes where they hold it, else 8.
    width = 4 if -INT32_BELOW <= seed < INT32_BELOW else 8
    seed_bytes, purpose_bytes = seed.to_bytes(width, "little", signed=True), purpose.encode()
    hashed = np.fromiter(
        (
            xxh64_intdigest(purpose_bytes, xxh64_intdigest(seed_bytes, xxh64_intdigest(key.encode(), SPARK_HASH_SEED))) % STEPS
            for key in ids
        ),
        dtype=np.float64,
        count=len(ids),
    )  # (n,)
    return (hashed + 0.5) / STEPS


def content_ids(texts: Sequence[str], labels: Sequence[str | None] | None = None) -> list[str]:
    """The ids of rows: sha256 of the text alone, or of label and text where the row has a label; in hex.

    texts: n texts; labels: n labels, None for a row without one; left out where no row has one.
    Raises ValueError where the two differ in length.

    >>> [key[:8] for key in content_ids(["good film", "good film"], ["positive", None])]
    ['d2958c25', '952317a5']"""
    keys: Sequence[str | None] = [None] * len(texts) if labels is None else labels
    return [
        hashlib.sha256((text if label is None else f"{label}{LABEL_SEPARATOR}{text}").encode()).hexdigest()
        for text, label in zip(texts, keys, strict=True)
    ]
