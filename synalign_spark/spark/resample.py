"""Resampling: real rows and synthetic rows drawn by weight, ready to train on.

Every step is distributed. Rows are told apart by (label, first digits of doc_id): a bucket of about 4,096 rows in
the order of the id, small enough for one task. One total a bucket reaches the driver, which shares out the
draws; weights are whole ticks, so that no partitioning changes a sum. See ``core/sampling/resample.py``.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from synalign_spark.config.alignment import ResampleConfig
from synalign_spark.core.groups import WEIGHT_STEPS, label_of
from synalign_spark.core.sample_weights import LabelRows, sample_weights_by_label, wanted_shares
from synalign_spark.core.sampling import resample as core
from synalign_spark.core.weights import power_of_two_scale
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.spark.groups import by_group, group_column
from synalign_spark.spark.keys import unit
from synalign_spark.storage.tables import AUGMENTED

COPIES = pa.schema([("doc_id", pa.string()), ("copies", pa.int64())])
COPIES_DDL = "doc_id string, copies bigint"
BINS_A_DOUBLING = 256  # of the keys' histogram: a bin holds keys within 0.3% of each other
ROUNDING = 1e-9  # of rows: an effective sample size that is whole but for rounding is whole
Ticks = npt.NDArray[np.int64]
Job = Callable[[Ticks], Ticks]


def resample(
    synthetic: DataFrame,
    weights: DataFrame,
    corpus: DataFrame,
    cfg: ResampleConfig,
    seed: int,
    mixing_weight: float,
    label_shares: Mapping[str, float] | None = None,
) -> DataFrame:
    """Draws synthetic rows by weight and puts them beside the real ones (AUGMENTED).

    synthetic: SYNTHETIC; weights: WEIGHTS; corpus: CORPUS. mixing_weight: of CERTIFICATE, for the sample weights of the rows.
    The rows drawn are shared among labels as label_shares says, or as the corpus is; a label's quota is filled exactly, with replacement
    (systematic, multinomial) or without (topn; with rows: auto as many as the effective sample size of the weights, and as the labels'
    shares allow). Sample weights keep these shares over both sides, whatever the synthetic side has. Raises DataError where a label to
    draw from has no weight, or too few rows for topn, ConfigError where a share of label_shares cannot be met."""
    rows = weights.select("doc_id", group_column(True).alias("grp"), F.col("weight_in_label").alias("w"))
    counts = {row["grp"]: row for row in _counts(rows)}
    largest = corpus.agg(F.max(_prior()).alias("largest")).toArrow().to_pylist()[0]["largest"]  # one number
    scale = power_of_two_scale(largest or 0.0)
    real = {group: LabelRows(row["n"], float(row["weight"])) for group, row in _real(corpus, scale).items()}
    wanted = _wanted(real, counts, label_shares)
    shares = _shares(wanted, counts)
    draws = _quotas(cfg, shares, counts)
    if cfg.method == "topn":
        copies = _without_replacement(rows, draws, seed)
    else:
        copies = _with_replacement(rows, draws, sum(row["n"] for row in counts.values()), cfg.method, seed)
    in_label = by_group({group: float(row["n"]) for group, row in counts.items()})
    drawn = (
        synthetic.select("doc_id", "text", "label", "fields", group_column(True).alias("grp"))
        .join(weights.select("doc_id", "weight_in_label"), "doc_id")
        .join(copies, "doc_id")
        .withColumn("draw", F.explode(F.sequence(F.lit(0), (F.col("copies") - 1).cast("int"))))
        .withColumn("weight", F.col("weight_in_label") * in_label)
    )
    teaching = {group: LabelRows(n, float(n)) for group, n in draws.items()}
    if not cfg.include_real:
        found = sample_weights_by_label(
            {group: shares[group] for group in draws}, {}, teaching, 1.0
        )  # beside no real rows every number is the same
        return _rows(drawn.withColumn("sample_weight", by_group(found.synthetic)), "synthetic")
    found = sample_weights_by_label(wanted, real, teaching, mixing_weight)
    of_real = by_group({group: factor * scale * WEIGHT_STEPS for group, factor in found.real.items()})
    columns = {
        "draw": F.lit(0),
        "weight": F.lit(1.0),
        "sample_weight": _prior() * of_real,
        "fields": F.lit(None).cast("map<string,string>"),
    }
    real_rows = corpus.withColumn("grp", group_column(True)).withColumns(columns)
    return _rows(real_rows, "real").unionByName(_rows(drawn.withColumn("sample_weight", by_group(found.synthetic)), "synthetic"))


def _rows(rows: DataFrame, origin: str) -> DataFrame:
    named = rows.withColumn("origin", F.lit(origin))
    row_id = F.sha2(F.concat_ws("\x1f", "origin", "doc_id", F.col("draw").cast("string")), 256)
    return named.withColumn("row_id", row_id).select(*AUGMENTED.column_names)


def _counts(rows: DataFrame) -> list[Any]:
    """grp, n (rows), weighted (rows with a positive weight) and squares (of the weights): one row a label reaches the driver."""
    squares = F.sum((F.col("w") * F.col("w")).cast("decimal(38,30)")).cast("double")  # the same bits for any order of the rows
    sums = (F.count("*").alias("n"), F.count_if(F.col("w") > 0).alias("weighted"), squares.alias("squares"))
    found: list[Any] = rows.groupBy("grp").agg(*sums).toArrow().to_pylist()
    return found


def _prior() -> Column:
    """Weight of a real row."""
    return F.coalesce("prior_weight", F.lit(1.0))


def _real(corpus: DataFrame, scale: float) -> dict[str, Any]:
    """n (rows of some weight) and weight (their weight times scale, in steps of 1 / WEIGHT_STEPS) of each label of the real rows."""
    steps = F.rint(_prior() * (WEIGHT_STEPS * scale)).cast("bigint")  # whole numbers: no order of the sum shows
    n = F.count_if(_prior() > 0).alias("n")
    found = corpus.groupBy(group_column(True).alias("grp")).agg(n, F.sum(steps).alias("weight")).toArrow().to_pylist()
    return {row["grp"]: row for row in found}  # a row a label


def _wanted(real: Mapping[str, LabelRows], counts: Mapping[str, Any], label_shares: Mapping[str, float] | None) -> dict[str, float]:
    """The share of each label, as it was set, else that of the real rows and their weights."""
    wanted = wanted_shares(real, label_shares)
    lacking = sorted(group for group, share in wanted.items() if share > 0 and group not in counts)
    if label_shares is not None and lacking:
        asked = ", ".join(f"{label_of(group)} ({wanted[group]:g})" for group in lacking[:10])
        raise ConfigError(
            f"align.label_shares asks for a share of label {asked}, which has no synthetic rows to draw; generate some, or leave the label out of it"
        )
    return wanted


def _shares(wanted: Mapping[str, float], counts: Mapping[str, Any]) -> dict[str, float]:
    """The wanted share of each label that has synthetic rows to draw."""
    shares = {group: float(wanted.get(group, 0.0)) for group in counts}
    dead = sorted(str(label_of(group)) for group in counts if shares[group] and not counts[group]["weighted"])
    if dead:
        raise DataError(
            f"resample: no synthetic row of label {', '.join(dead[:10])} has a weight; run align again or give its rows a prior weight"
        )
    if not sum(shares.values()):
        raise DataError("resample: no label of the synthetic rows is in the corpus; align them to this corpus first")
    return shares


def _quotas(cfg: ResampleConfig, shares: Mapping[str, float], counts: Mapping[str, Any]) -> dict[str, int]:
    available = {group: int(row["weighted"]) for group, row in counts.items()}
    if cfg.rows != "auto":
        draws = core.quotas(shares, cfg.rows)
    elif cfg.method != "topn":
        draws = core.quotas(shares, sum(row["n"] for row in counts.values()))
    else:
        total = sum(shares.values())
        held = min(available[group] * total / share for group, share in shares.items() if share > 0)
        ess = 1.0 / sum((share / total) ** 2 * counts[group]["squares"] for group, share in shares.items())
        draws = {group: min(n, available[group]) for group, n in core.quotas(shares, int(min(ess, held) + ROUNDING)).items()}
    short = [f"{label_of(group)} ({available[group]} of {n})" for group, n in sorted(draws.items()) if n > available[group]]
    if cfg.method == "topn" and short:
        raise DataError(
            f"resample.rows: {cfg.rows} rows without replacement need more rows than there are of label {', '.join(short[:10])}; lower it or draw with replacement"
        )
    return {group: n for group, n in draws.items() if n}


def _with_replacement(rows: DataFrame, draws: Mapping[str, int], n_rows: int, method: str, seed: int) -> DataFrame:
    """doc_id and copies (>= 1) under systematic or multinomial sampling."""
    digits = core.prefix_digits(n_rows)
    ticks = F.rint(F.col("w") * float(core.TICKS)).cast("bigint")
    bucketed = rows.select("doc_id", "grp", F.substring("doc_id", 1, digits).alias("bucket"), ticks.alias("ticks")).where("ticks > 0")
    found = bucketed.groupBy("grp", "bucket").agg(F.sum("ticks").alias("ticks")).toArrow().to_pylist()  # a row a bucket
    totals: dict[str, dict[str, int]] = {}
    for row in found:
        totals.setdefault(row["grp"], {})[row["bucket"]] = int(row["ticks"])
    plan = _systematic_plan if method == "systematic" else _multinomial_plan
    jobs = {(group, bucket): job for group, n in draws.items() for bucket, job in plan(group, totals[group], n, seed).items()}

    def apply(table: pa.Table) -> pa.Table:  # Spark reads the annotations
        return _bucket_copies(table, jobs)

    return bucketed.groupBy("grp", "bucket").applyInArrow(apply, COPIES_DDL)


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
    job = jobs.get((table.column("grp")[0].as_py(), table.column("bucket")[0].as_py()))
    if job is None:  # a label that the corpus does not have
        return COPIES.empty_table()
    table = table.sort_by("doc_id")
    copies = job(table.column("ticks").to_numpy())
    kept = np.flatnonzero(copies)
    return pa.table([table.column("doc_id").take(pa.array(kept)), pa.array(copies[kept])], schema=COPIES)


def _without_replacement(rows: DataFrame, draws: Mapping[str, int], seed: int) -> DataFrame:
    """doc_id and copies = 1 of the rows with the smallest exponential keys of each label.

    A histogram of the keys tells in which bin each label's draws end; only the rows of that bin are ranked."""
    key = -F.log(unit(seed, "resample.topn", "doc_id")) / F.col("w")
    keyed = rows.where(F.col("w") > 0).select("doc_id", "grp", key.alias("key"))
    keyed = keyed.where(F.col("grp").isin(sorted(draws))).withColumn("bin", F.floor(F.log2("key") * BINS_A_DOUBLING).cast("bigint"))
    found = keyed.groupBy("grp", "bin").agg(F.count("*").alias("n")).toArrow().to_pylist()  # a few thousand rows a label
    ends = {group: core.threshold({row["bin"]: row["n"] for row in found if row["grp"] == group}, n) for group, n in draws.items()}
    last, rest = (by_group({group: end[i] for group, end in ends.items()}) for i in (0, 1))
    sure = keyed.where(F.col("bin") < last).select("doc_id")
    edge = keyed.where(F.col("bin") == last).withColumn("rest", rest)
    return sure.unionByName(_ranked(edge)).withColumn("copies", F.lit(1).cast("bigint"))


def _ranked(edge: DataFrame) -> DataFrame:
    rank = F.row_number().over(Window.partitionBy("grp").orderBy("key", "doc_id"))
    return edge.withColumn("rank", rank).where(F.col("rank") <= F.col("rest")).select("doc_id")
