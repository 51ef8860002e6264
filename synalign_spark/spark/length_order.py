"""Rows put into tasks by the length of their texts, so that a forward pass pads little whatever the number of tasks."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import repartition_by_id

CLASSES_A_DOUBLING = 8  # a class's longest texts are 9 % longer than its shortest
SHORT = 16  # characters: the cost of a text apart from its length, and where classes begin to grow
CHARS_PER_TOKEN = 8  # more than any text has; beyond so many characters a text that is cut costs no more
PARTS = 2**20  # of a class, by hash of the id


@dataclass(frozen=True)
class Lengths:
    """How long the texts of some rows are. ``cost``: class of length to the sum of its texts' characters, each capped."""

    rows: int
    bytes: int
    cost: Mapping[int, int]
    cap: int

    @classmethod
    def of(cls, rows: DataFrame, max_tokens: int | None) -> "Lengths":
        """One pass over the rows (text); a few hundred numbers reach the driver. max_tokens: where texts are cut, if they are."""
        cap = CHARS_PER_TOKEN * max_tokens if max_tokens else 2**31 - 1
        counted = rows.groupBy(_length_class(cap).alias("length_class")).agg(
            F.count("*").alias("n"), F.sum(F.octet_length("text")).alias("bytes"), F.sum(_chars(cap) + F.lit(SHORT)).alias("cost")
        )
        found = counted.collect()  # one row a class
        cost = {int(row.length_class): int(row.cost) for row in found if row.length_class is not None}
        return cls(sum(row.n for row in found), sum(row.bytes or 0 for row in found), cost, cap)


def by_length(rows: DataFrame, lengths: Lengths, tasks: int) -> DataFrame:
    """The rows in ``tasks`` partitions of equal cost, each of neighbouring lengths, in the order of length and id.

    rows: doc_id and text. Where a row goes depends on it and on ``lengths`` alone, so that a run that is repeated
    has the same batches. Runs nothing."""
    if not lengths.cost:
        return rows.repartition(tasks, "doc_id")
    starts, costs = _places(lengths.cost)
    place = _length_class(lengths.cap) + F.lit(1)
    part = F.pmod(F.xxhash64("doc_id"), F.lit(PARTS)) / F.lit(PARTS)
    position = F.coalesce(F.try_element_at(_array(starts), place) + part * F.try_element_at(_array(costs), place), F.lit(0.0))
    partition = F.least(F.floor(position * F.lit(float(tasks))), F.lit(tasks - 1)).cast("int")
    return repartition_by_id(rows, tasks, partition).sortWithinPartitions(F.length("text"), "doc_id")


def _places(cost: Mapping[int, int]) -> tuple[list[float], list[float]]:
    """Where each class begins and how much it takes, as shares of the whole cost, from class 0 to the last.

    >>> _places({0: 1, 2: 3})
    ([0.0, 0.25, 0.25], [0.25, 0.0, 0.75])
    """
    whole, before = sum(cost.values()), 0
    starts, costs = [], []
    for one in range(max(cost) + 1):
        starts.append(before / whole)
        costs.append(cost.get(one, 0) / whole)
        before += cost.get(one, 0)
    return starts, costs


def _chars(cap: int) -> Column:
    return F.least(F.length("text"), F.lit(cap))


def _length_class(cap: int) -> Column:
    return F.floor(F.log2(F.lit(1.0) + _chars(cap) / F.lit(SHORT)) * F.lit(CLASSES_A_DOUBLING)).cast("int")


def _array(values: list[float]) -> Column:
    return F.array(*[F.lit(value) for value in values])
