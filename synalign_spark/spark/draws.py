"""Draws by weight on Spark: which rows, how many copies of each, and what a drawn row stands for.

Rows are told apart by (label, first digits of doc_id): a bucket of about 4,096 rows in the order of the id, small enough for one task. One
total a bucket reaches the driver, which shares out the draws; weights are whole ticks, so that no partitioning changes a sum. See
``core/sampling/resample.py``.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import apply_in_arrow, to_arrow
from synalign_spark.core.sampling import resample as core
from synalign_spark.spark.groups import by_group

COPIES = pa.schema([("doc_id", pa.string()), ("grp", pa.string()), ("copies", pa.int64())])
COPIES_DDL = "doc_id string, grp string, copies bigint"
SIZE = f"ticks - ticks % shiftleft(1L, greatest(length(bin(ticks)) - {core.SIZE_BITS}, 0))"  # core.coarse
Ticks = npt.NDArray[np.int64]
Job = Callable[[Ticks], Ticks]


def draw(rows: DataFrame, draws: Mapping[str, int], n_rows: int, method: str, seed: int) -> DataFrame:
    """doc_id, copies (>= 1) and stands_for of the rows drawn: what a copy counts among those of its label, of mean 1.

    rows: doc_id, grp and w, which sums to 1 in a group; draws: of each group; n_rows: of all groups; method: of ``ResampleConfig``."""
    asked = rows.where(F.col("grp").isin(sorted(draws))).where(F.col("w") > 0)
    whole = asked.select("doc_id", "grp", F.rint(F.col("w") * float(core.TICKS)).cast("bigint").alias("ticks"))
    if method == "topn":
        return _without_replacement(whole, draws, n_rows, seed)
    copies = _with_replacement(whole.where("ticks > 0"), draws, n_rows, method, seed)
    return copies.select("doc_id", "copies", F.lit(1.0).alias("stands_for"))


def _without_replacement(rows: DataFrame, draws: Mapping[str, int], n_rows: int, seed: int) -> DataFrame:
    """A row is among the draws with a probability in proportion to its weight, or for sure where that would be above one. The latter count
    their weight, the others share what is left: together they stand for the weights."""
    sized = rows.withColumn("ticks", F.greatest("ticks", F.lit(1))).withColumn("size", F.expr(SIZE))
    sizes = _sizes(sized)
    ends = {group: core.certain({size: n for size, (n, _) in sizes[group].items()}, n) for group, n in draws.items()}
    a_tick = {group: n / sum(ticks for _, ticks in sizes[group].values()) for group, n in draws.items()}  # in draws
    with_edge = sized.withColumn("edge", by_group({group: float(edge) for group, (edge, _) in ends.items()}))
    sure = with_edge.where("size >= edge").select(
        "doc_id", F.lit(1).cast("bigint").alias("copies"), (F.col("ticks") * by_group(a_tick)).alias("stands_for")
    )
    rest = {group: n for group, (_, n) in ends.items() if n}
    if not rest:
        return sure
    lighter = with_edge.where("size < edge").where(F.col("grp").isin(sorted(rest))).select("doc_id", "grp", F.col("size").alias("ticks"))
    left = {group: sum(ticks for size, (_, ticks) in sizes[group].items() if size < ends[group][0]) for group in rest}
    shared = by_group({group: a_tick[group] * left[group] / n for group, n in rest.items()})
    drawn = _with_replacement(lighter, rest, n_rows, "systematic", seed)
    return sure.unionByName(drawn.select("doc_id", "copies", shared.alias("stands_for")))


def _sizes(sized: DataFrame) -> dict[str, dict[int, tuple[int, int]]]:
    """Rows and ticks of each group by size, of which there are 256 a doubling of the weights: so many rows reach the driver."""
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for row in to_arrow(sized.groupBy("grp", "size").agg(F.count("*").alias("n"), F.sum("ticks").alias("ticks"))).to_pylist():
        found.setdefault(row["grp"], {})[row["size"]] = row["n"], row["ticks"]
    return found


def _with_replacement(rows: DataFrame, draws: Mapping[str, int], n_rows: int, method: str, seed: int) -> DataFrame:
    """COPIES under systematic or multinomial sampling. rows: doc_id, grp and ticks, above 0."""
    bucketed = rows.withColumn("bucket", F.substring("doc_id", 1, core.prefix_digits(n_rows)))
    found = to_arrow(bucketed.groupBy("grp", "bucket").agg(F.sum("ticks").alias("ticks"))).to_pylist()  # a row a bucket
    totals: dict[str, dict[str, int]] = {}
    for row in found:
        totals.setdefault(row["grp"], {})[row["bucket"]] = int(row["ticks"])
    plan = _systematic_plan if method == "systematic" else _multinomial_plan
    jobs = {(group, bucket): job for group, n in draws.items() for bucket, job in plan(group, totals[group], n, seed).items()}

    return apply_in_arrow(bucketed.groupBy("grp", "bucket"), partial(_bucket_copies, jobs=jobs), COPIES_DDL)


def _systematic_plan(group: str, totals: Mapping[str, int], draws: int, seed: int) -> dict[str, Job]:
    starts, total = core.bucket_starts(totals), sum(totals.values())
    u = float(np.random.default_rng([seed, 1, zlib.crc32(group.encode())]).random())
    return {bucket: partial(core.systematic_copies, before=starts[bucket], total=total, draws=draws, u=u) for bucket in totals}


def _multinomial_plan(group: str, totals: Mapping[str, int], draws: int, seed: int) -> dict[str, Job]:
    names, key = sorted(totals), [seed, 2, zlib.crc32(group.encode())]
    counts = core.bucket_draws([totals[name] for name in names], draws, key)
    return {
        name: partial(core.multinomial_copies, draws=int(count), seed=[*key, zlib.crc32(b"bucket " + name.encode())])
        for name, count in zip(names, counts, strict=True)
    }


def _bucket_copies(table: pa.Table, jobs: Mapping[tuple[str, str], Job]) -> pa.Table:
    """Copies of the rows of one bucket, those with none left out."""
    table = table.sort_by("doc_id")
    copies = jobs[table.column("grp")[0].as_py(), table.column("bucket")[0].as_py()](table.column("ticks").to_numpy())
    kept = np.flatnonzero(copies)
    taken = table.select(["doc_id", "grp"]).take(pa.array(kept))
    return taken.append_column("copies", pa.array(copies[kept])).cast(COPIES)
