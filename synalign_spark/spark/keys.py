"""Random choices as column expressions: keyed by (seed, row id), so no partitioning changes them."""

from pyspark.sql import Column
from pyspark.sql import functions as F

_STEPS = 2**52


def unit(seed: int, purpose: str, *ids: Column | str) -> Column:
    """A number in (0, 1), uniform over rows and independent between purposes ('split', 'sample', ...)."""
    hashed = F.xxhash64(*ids, F.lit(seed), F.lit(purpose))
    return (F.pmod(hashed, F.lit(_STEPS)) + F.lit(0.5)) / F.lit(float(_STEPS))


def content_id(text: Column | str) -> Column:
    """The id of a row: sha256 of its normalised text, in hex."""
    return F.sha2(text, 256)
