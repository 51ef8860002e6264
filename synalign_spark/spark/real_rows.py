"""What the gates of generation ask of the real rows: a sample of them, and which texts are copies of one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.core.copy_index import CopyIndex, gram_lists
from synalign_spark.core.grams import MOST_SHORT_GRAMS
from synalign_spark.core.sampling.lengths import LONGEST_WORD
from synalign_spark.spark.keys import unit

MAX_GRAMS = 25_000_000  # of an index on the driver, 12 bytes each and three times that while it is built: a million rows of 25 words
UNITS_A_WORD = 1.25  # more than there are: hyphens and apostrophes part words too
GRAMS_DDL = "grams array<bigint>"
SHARES_DDL = "row int, share double"


def sample_rows(corpus: DataFrame, n_rows: int, most: int, seed: int) -> list[tuple[str, str | None]]:
    """(text, label) of about ``most`` real rows, drawn and ordered by hash. corpus: doc_id, text, label; n_rows: its rows."""
    number = unit(seed, "gates", "doc_id")
    drawn = to_arrow(corpus.select("text", "label", "doc_id", number.alias("u")).where(number < most / max(n_rows, 1)))
    rows = drawn.sort_by([("u", "ascending"), ("doc_id", "ascending")]).slice(0, most)
    return list(zip(rows["text"].to_pylist(), rows["label"].to_pylist(), strict=True))


def copy_lookup(corpus: DataFrame, most_grams: int = MAX_GRAMS) -> "CopyIndex | ScannedRows":
    """The real rows that no row may copy: in the driver's memory up to ``most_grams``, else by passes over the corpus. corpus: text."""
    texts = corpus.select("text")
    if grams_at_most(texts) > most_grams:
        return ScannedRows(texts)
    lists = to_arrow(texts.mapInArrow(_gram_lists, GRAMS_DDL))["grams"].combine_chunks()  # at most about most_grams numbers
    return CopyIndex.of(lists.flatten().to_numpy(zero_copy_only=False).view(np.uint64), np.diff(lists.offsets.to_numpy()))


def grams_at_most(texts: DataFrame) -> float:
    """An upper estimate of the grams of all texts, by the lengths alone: one number reaches the driver. Of a text that sets no spaces
    every character is a unit."""
    length, words = F.length("text"), F.size(F.split("text", " "))
    units = F.when(length > LONGEST_WORD * words, length).otherwise(words * UNITS_A_WORD)
    grams = units + F.least(units, F.lit(MOST_SHORT_GRAMS))
    return float(to_arrow(texts.agg(F.sum(grams).alias("n")))["n"][0].as_py() or 0.0)


@dataclass(frozen=True)
class ScannedRows:
    """Real rows that are too many for the driver's memory. corpus: text."""

    corpus: DataFrame

    @property
    def in_memory(self) -> bool:
        return False

    def overlaps(self, texts: Sequence[str]) -> list[float]:
        """Of each text the largest share of its grams that stand in one real row, in one pass over the corpus.

        The texts' grams travel to the tasks (12 bytes each); of each text one number a partition is merged."""
        shares = self.corpus.mapInArrow(partial(_shares, index=CopyIndex.of_texts(texts)), SHARES_DDL)
        best = to_arrow(shares.groupBy("row").agg(F.max("share").alias("share")))  # one row a text
        found = dict(zip(best["row"].to_pylist(), best["share"].to_pylist(), strict=True))
        return [found.get(row, 0.0) for row in range(len(texts))]


def _gram_lists(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        found, sizes = gram_lists(batch.column("text").to_pylist())
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        yield pa.record_batch({"grams": pa.ListArray.from_arrays(offsets, pa.array(found.view(np.int64)))})


def _shares(batches: Iterator[pa.RecordBatch], index: CopyIndex) -> Iterator[pa.RecordBatch]:
    best = np.zeros(len(index.sizes) // 2)
    for batch in batches:
        np.maximum(best, index.covered(batch.column("text").to_pylist()), out=best)
    rows = np.flatnonzero(best)
    yield pa.record_batch({"row": pa.array(rows.astype(np.int32)), "share": pa.array(best[rows])})
