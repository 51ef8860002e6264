"""Resampling: real rows and synthetic rows drawn by weight, ready to train on.

Every step is distributed: counts of labels reach the driver, which shares out the draws; which rows are drawn is decided in ``draws``.
"""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.config.alignment import ResampleConfig
from synalign_spark.core.groups import WEIGHT_STEPS, label_of
from synalign_spark.core.sample_weights import LabelRows, sample_weights_by_label, wanted_shares
from synalign_spark.core.sampling import resample as core
from synalign_spark.core.weights import power_of_two_scale
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.spark.draws import draw
from synalign_spark.spark.groups import by_group, group_column
from synalign_spark.storage.tables import AUGMENTED

ROUNDING = 1e-9  # of rows: an effective sample size that is whole but for rounding is whole


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
    draw from has no weight, or too few rows for topn, or where a label without synthetic rows has no real ones beside them, ConfigError where a share of label_shares cannot be met."""
    rows = weights.select("doc_id", group_column(True).alias("grp"), F.col("weight_in_label").alias("w"))
    counts = {row["grp"]: row for row in _counts(rows)}
    largest = to_arrow(corpus.agg(F.max(_prior()).alias("largest"))).to_pylist()[0]["largest"]  # one number
    scale = power_of_two_scale(largest or 0.0)
    real = {group: LabelRows(row["n"], float(row["weight"])) for group, row in _real(corpus, scale).items()}
    wanted = _wanted(real, counts, label_shares, cfg.include_real)
    shares = _shares(wanted, counts)
    draws = _quotas(cfg, shares, counts)
    copies = draw(rows, draws, sum(row["n"] for row in counts.values()), cfg.method, seed)
    teaching = {group: LabelRows(n, float(n)) for group, n in draws.items()}
    if cfg.include_real:
        found = sample_weights_by_label(wanted, real, teaching, mixing_weight)
    else:  # beside no real rows every mixing weight is the same
        found = sample_weights_by_label({group: shares[group] for group in draws}, {}, teaching, 1.0)
    drawn = _synthetic_rows(synthetic, weights, copies, counts, found.synthetic)
    if not cfg.include_real:
        return drawn
    return _real_rows(corpus, {group: factor * scale * WEIGHT_STEPS for group, factor in found.real.items()}).unionByName(drawn)


def within_label(weights: DataFrame) -> DataFrame:
    """WEIGHTS of which rows were left out, whose weights sum to 1 in each label again; a label without any weight keeps zeros."""
    exact = F.col("weight_in_label").cast("decimal(38,30)")  # the same bits for any order of the rows
    sums = weights.groupBy(group_column(True).alias("grp")).agg(F.sum(exact).cast("double").alias("all"))  # a row a label
    scaled = F.when(F.col("all") > 0, F.col("weight_in_label") / F.col("all")).otherwise(F.lit(0.0))
    found = weights.withColumn("grp", group_column(True)).join(F.broadcast(sums), "grp").withColumn("weight_in_label", scaled)
    return found.select(weights.columns)


def used_mixing_weight(chosen: float, asked: float | str, rows: int | str) -> float:
    """The mixing weight beside the rows that are drawn: where it is not asked for, no drawn row counts more than a real one.

    chosen: of CERTIFICATE; asked: ``align.mixing_weight``; rows: ``resample.rows``.

    >>> used_mixing_weight(1_000.0, "auto", 300), used_mixing_weight(1_000.0, "auto", "auto"), used_mixing_weight(1_000.0, 1_000.0, 300)
    (300.0, 1000.0, 1000.0)"""
    return min(chosen, float(rows)) if asked == "auto" and rows != "auto" else chosen


def represented(augmented: DataFrame) -> float | None:
    """Share of the weights that the synthetic rows of AUGMENTED represent where each counts as one: one less the total variation between their
    sample weights and equal ones within a label. None where they count nothing."""
    rows = augmented.where("origin = 'synthetic'").select(group_column(True).alias("grp"), "sample_weight")
    means = rows.groupBy("grp").agg(F.mean("sample_weight").alias("mean"))  # a row a label
    excess = F.greatest(F.col("sample_weight") - F.col("mean"), F.lit(0.0))
    sums = rows.join(F.broadcast(means), "grp").agg(F.sum("sample_weight").alias("all"), F.sum(excess).alias("excess"))
    found = to_arrow(sums).to_pylist()[0]  # one row
    return 1.0 - found["excess"] / found["all"] if found["all"] else None


def _synthetic_rows(
    synthetic: DataFrame, weights: DataFrame, copies: DataFrame, counts: Mapping[str, Any], scale: Mapping[str, float]
) -> DataFrame:
    """AUGMENTED of the rows drawn. copies: of ``draws.draw``; scale: by group, sample weight of a row that stands for one."""
    in_label = by_group({group: float(row["n"]) for group, row in counts.items()})
    drawn = (
        synthetic.select("doc_id", "text", "label", "fields", group_column(True).alias("grp"))
        .join(weights.select("doc_id", "weight_in_label"), "doc_id")
        .join(copies, "doc_id")
        .withColumn("draw", F.explode(F.sequence(F.lit(0), (F.col("copies") - 1).cast("int"))))
    )
    columns = {"weight": F.col("weight_in_label") * in_label, "sample_weight": by_group(scale) * F.col("stands_for")}
    return _rows(drawn.withColumns(columns), "synthetic")


def _real_rows(corpus: DataFrame, scale: Mapping[str, float]) -> DataFrame:
    """AUGMENTED of the real rows. scale: by group, sample weight over their own weight."""
    columns = {
        "draw": F.lit(0),
        "weight": F.lit(1.0),
        "sample_weight": _prior() * by_group(scale),
        "fields": F.lit(None).cast("map<string,string>"),
    }
    return _rows(corpus.withColumn("grp", group_column(True)).withColumns(columns), "real")


def _rows(rows: DataFrame, origin: str) -> DataFrame:
    named = rows.withColumn("origin", F.lit(origin))
    row_id = F.sha2(F.concat_ws("\x1f", "origin", "doc_id", F.col("draw").cast("string")), 256)
    return named.withColumn("row_id", row_id).select(*AUGMENTED.column_names)


def _counts(rows: DataFrame) -> list[Any]:
    """grp, n (rows), weighted (rows with a positive weight) and squares (of the weights): one row a label reaches the driver."""
    squares = F.sum((F.col("w") * F.col("w")).cast("decimal(38,30)")).cast("double")  # the same bits for any order of the rows
    sums = (F.count("*").alias("n"), F.count_if(F.col("w") > 0).alias("weighted"), squares.alias("squares"))
    found: list[Any] = to_arrow(rows.groupBy("grp").agg(*sums)).to_pylist()
    return found


def _prior() -> Column:
    """Weight of a real row."""
    return F.coalesce("prior_weight", F.lit(1.0))


def _real(corpus: DataFrame, scale: float) -> dict[str, Any]:
    """n (rows of some weight) and weight (their weight times scale, in steps of 1 / WEIGHT_STEPS) of each label of the real rows."""
    steps = F.rint(_prior() * (WEIGHT_STEPS * scale)).cast("bigint")  # whole numbers: no order of the sum shows
    n = F.count_if(_prior() > 0).alias("n")
    found = to_arrow(corpus.groupBy(group_column(True).alias("grp")).agg(n, F.sum(steps).alias("weight"))).to_pylist()
    return {row["grp"]: row for row in found}  # a row a label


def _wanted(
    real: Mapping[str, LabelRows], counts: Mapping[str, Any], label_shares: Mapping[str, float] | None, include_real: bool
) -> dict[str, float]:
    """The share of each label, as it was set, else that of the real rows and their weights."""
    wanted = wanted_shares(real, label_shares)
    lacking = sorted(group for group, share in wanted.items() if share > 0 and group not in counts)
    if label_shares is not None and lacking:
        asked = ", ".join(f"{label_of(group)} ({wanted[group]:g})" for group in lacking[:10])
        raise ConfigError(
            f"align.label_shares asks for a share of label {asked}, which has no synthetic rows to draw; generate some, or leave the label out of it"
        )
    if lacking and not include_real:
        missing = ", ".join(f"{label_of(group)} ({wanted[group] / sum(wanted.values()):.0%} of the real rows)" for group in lacking[:10])
        raise DataError(
            f"resample.include_real is false, and label {missing} has no synthetic rows, so that the rows drawn would have other label shares; set it "
            "to true, generate rows of the label, or name the shares that are meant in align.label_shares"
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
