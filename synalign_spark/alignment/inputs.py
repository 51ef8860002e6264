"""What the alignment reads: checks of both sides, the bandwidth, and the mean features of the real rows.

Everything here is one distributed pass whose result has the size of the parameters: a few numbers a label
and partition, a D-vector a label and split, or a bounded hash sample.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.features import FeatureMap, draw_feature_map, median_distance
from synalign_spark.core.groups import group_of, label_of
from synalign_spark.core.solver.path import Sample
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.spark.groups import WEIGHT_STEPS, group_column
from synalign_spark.spark.keys import unit
from synalign_spark.udfs.arrow import to_matrix, vector_widths

SPLITS = ("fit", "validation", "holdout")
BANDWIDTH_ROWS = 1_000
SLICE_ROWS = 4_096  # rows whose features are in memory at a time on an executor
SUM_STEPS = 2.0**32  # features are summed as whole multiples of 2^-32: exact, so the order of rows is nothing

SURVEY = pa.schema(
    [("side", pa.string()), ("grp", pa.string()), ("rows", pa.int64()), ("bad", pa.int64()), ("narrow", pa.int32()), ("wide", pa.int32()),
     ("bad_prior", pa.int64()), ("weighted", pa.int64()), ("weight", pa.int64())]
)  # fmt: skip
SURVEY_DDL = "side string, grp string, rows bigint, bad bigint, narrow int, wide int, bad_prior bigint, weighted bigint, weight bigint"
SUMS = pa.schema([("grp", pa.string()), ("split", pa.string()), ("sums", pa.list_(pa.int64()))])
SUMS_DDL = "grp string, split string, sums array<bigint>"


def real_rows(embeddings: DataFrame, prior: DataFrame | None, cfg: AlignConfig, seed: int) -> DataFrame:
    """doc_id, label, grp, split, u (for samples), u_whole, prior, embedding of the real rows. prior: doc_id and prior_weight, or None."""
    if prior is not None:
        embeddings = embeddings.join(prior.select("doc_id", F.coalesce("prior_weight", F.lit(1.0)).alias("prior")), "doc_id")
    else:
        embeddings = embeddings.withColumn("prior", F.lit(1.0))
    u = unit(seed, "align.split", "doc_id")
    split = F.when(u < cfg.holdout, "holdout").when(u < cfg.holdout + cfg.validation, "validation").otherwise("fit")
    return embeddings.select(
        "doc_id", "label", group_column(cfg.per_label).alias("grp"), split.alias("split"),
        unit(seed, "align.check", "doc_id").alias("u"), unit(seed, "align.whole", "doc_id").alias("u_whole"), "prior", "embedding",
    )  # fmt: skip


def synthetic_rows(embeddings: DataFrame, synthetic: DataFrame, cfg: AlignConfig, seed: int) -> DataFrame:
    """doc_id, label, grp, prior, base, label confidence, density ratio, u, u_whole, u_warm, embedding of every synthetic row; embedding null where
    there is none. base: the base measure, here the prior weight itself; confidence, density_ratio: null."""
    prior = F.coalesce("prior_weight", F.lit(1.0)).cast("double")
    rows = synthetic.select("doc_id", "label", prior.alias("prior")).join(embeddings.select("doc_id", "embedding"), "doc_id", "left")
    return rows.select(
        "doc_id", "label", group_column(cfg.per_label).alias("grp"), "prior", F.col("prior").alias("base"),
        F.lit(None).cast("double").alias("confidence"), F.lit(None).cast("double").alias("density_ratio"), unit(seed, "align.draw", "doc_id").alias("u"), unit(seed, "align.whole", "doc_id").alias("u_whole"),
        unit(seed, "align.warm", "doc_id").alias("u_warm"), "embedding",
    )  # fmt: skip


@dataclass(frozen=True)
class Survey:
    """Rows by group on both sides, synthetic rows with a positive base weight, the weight of the real rows in steps
    of 2^-20, and the width of the vectors."""

    real: Mapping[str, int]
    synthetic: Mapping[str, int]
    weighted: Mapping[str, int]
    real_mass: Mapping[str, int]
    width: int
    wanted: Mapping[str, float] | None = None  # shares by group that the user set

    @property
    def shares(self) -> dict[str, float]:
        """Share of each group among the weights: as set, else as among the real rows and their weights; they sum to 1."""
        raw = {group: float(self.real_mass[group] if self.wanted is None else self.wanted.get(group, 0.0)) for group in self.groups}
        return {group: share / sum(raw.values()) for group, share in raw.items()}

    @property
    def groups(self) -> list[str]:
        """Groups with rows on both sides, sorted."""
        return sorted(set(self.real) & set(self.synthetic))

    @property
    def unmatched(self) -> list[str]:
        """Labels of real rows for which there is no synthetic row."""
        return sorted(str(label_of(group)) for group in set(self.real) - set(self.synthetic))


def survey(real: DataFrame, synthetic: DataFrame, label_shares: Mapping[str, float] | None = None) -> Survey:
    """Counts and checks both sides in one pass. Raises DataError where they cannot be aligned, ConfigError where label_shares
    names labels that are not there."""
    sides = real.select(F.lit("real").alias("side"), "grp", "prior", "embedding").unionByName(
        synthetic.select(F.lit("synthetic").alias("side"), "grp", "prior", "embedding")
    )
    found = sides.mapInArrow(_survey_partition, SURVEY_DDL).toArrow().to_pylist()  # a few rows a partition and group
    counts: dict[str, dict[str, int]] = {"real": {}, "synthetic": {}, "weighted": {}, "weight": {}}
    for row in found:
        _add(counts[row["side"]], row["grp"], row["rows"])
        if row["side"] == "synthetic":
            _add(counts["weighted"], row["grp"], row["weighted"])
        else:
            _add(counts["weight"], row["grp"], row["weight"])
    _check_vectors(found)
    _check_groups(counts)
    wanted = None if label_shares is None else {group_of(label): share for label, share in label_shares.items()}
    survey = Survey(counts["real"], counts["synthetic"], counts["weighted"], counts["weight"], max(row["wide"] for row in found), wanted)
    if wanted is not None:
        _check_shares(wanted, survey.groups)
    return survey


def _survey_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if not batch.num_rows:
            continue
        widths = vector_widths(batch.column("embedding")).to_numpy()
        prior = batch.column("prior").to_numpy(zero_copy_only=False)
        side, group = (np.asarray(batch.column(name).to_pylist(), dtype=object) for name in ("side", "grp"))
        rows = []
        for key in sorted(set(zip(side, group, strict=True))):
            mine = (side == key[0]) & (group == key[1])
            good = widths[mine][widths[mine] >= 0]
            usable = np.isfinite(prior[mine]) & (prior[mine] >= 0)
            rows.append((*key, int(mine.sum()), int(mine.sum() - len(good)), int(good.min(initial=2**31 - 1)), int(good.max(initial=-1)),
                         int((~usable).sum()), int((prior[mine][usable] > 0).sum()),
                         int(np.rint(prior[mine][usable] * WEIGHT_STEPS).sum())))  # fmt: skip
        yield pa.RecordBatch.from_arrays(
            [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), SURVEY, strict=True)], schema=SURVEY
        )


def _check_vectors(found: list[dict[str, Any]]) -> None:
    for side in ("real", "synthetic"):
        mine = [row for row in found if row["side"] == side]
        if not mine:
            fix = (
                "run ingest and embed on a corpus with rows"
                if side == "real"
                else "run generate first, or import a synthetic set with rows"
            )
            raise DataError(f"align: there are no {side} rows; {fix}")
        bad, rows = (sum(row[name] for row in mine) for name in ("bad", "rows"))
        if bad:
            raise DataError(
                f"align: {bad} of {rows} {side} rows have no usable embedding (missing, null, NaN or infinite); run embed for them again"
            )
        bad_prior = sum(row["bad_prior"] for row in mine)
        if bad_prior:
            raise DataError(f"align: prior_weight of {bad_prior} of {rows} {side} rows is negative, NaN or infinite; give numbers >= 0")
    narrow, wide = min(row["narrow"] for row in found), max(row["wide"] for row in found)
    if narrow != wide or wide < 1:
        raise DataError(f"align: embeddings have widths from {narrow} to {wide}; embed real and synthetic rows with one model")


def _check_groups(counts: Mapping[str, Mapping[str, int]]) -> None:
    real, synthetic = set(counts["real"]), set(counts["synthetic"])
    for side, groups in (("real", real), ("synthetic", synthetic)):
        if "" in groups and len(groups) > 1:
            raise DataError(
                f"align: {counts[side]['']} {side} rows have no label while others do; label all rows or set align.per_label to false"
            )
    alone = sorted(str(label_of(group)) if group else "(none)" for group in synthetic - real)
    if alone:
        raise DataError(
            f"align: synthetic rows have labels without any real row: {', '.join(alone[:10])}; "
            "rename them (generate.imported.rename_labels), leave them out (generate.imported.labels) or set align.per_label to false"
        )
    dead = sorted(str(label_of(group)) for group in synthetic if not counts["weighted"].get(group))
    if dead:
        raise DataError(
            f"align: all base weights (prior_weight) are 0 for label {', '.join(dead[:10])}; give at least one row a positive weight"
        )


def _check_shares(wanted: Mapping[str, float], groups: list[str]) -> None:
    unknown = sorted(str(label_of(group)) for group in set(wanted) - set(groups))
    if unknown:
        known = ", ".join(str(label_of(group) or "(none)") for group in groups)
        raise ConfigError(f"align.label_shares names {', '.join(unknown)}, without rows on both sides; labels are: {known}")
    if sum(wanted.values()) <= 0:
        raise ConfigError(f"align.label_shares must have a sum above 0, got {dict(wanted)}; give a share to one label at least")


def feature_map(real: DataFrame, width: int, cfg: AlignConfig, seed: int) -> FeatureMap:
    """Draws the random features; the median bandwidth comes from the 1,000 real rows with the smallest hash."""
    base = cfg.bandwidth
    if base == "median":
        sample = (
            real.orderBy(unit(seed, "align.bandwidth", "doc_id"), "doc_id").limit(BANDWIDTH_ROWS).select("doc_id", "embedding").toArrow()
        )  # at most 1,000 rows
        order = np.argsort(np.asarray(sample.column("doc_id").to_pylist()))
        base = median_distance(to_matrix(sample.column("embedding"))[order])
    return draw_feature_map(width, cfg.n_features, [float(base) * scale for scale in cfg.bandwidth_scales], seed)


def real_means(real: DataFrame, features: FeatureMap) -> dict[str, dict[str, Sample]]:
    """Mean feature of the real rows by group and split, in one distributed pass.

    One D-vector a partition, group and split reaches the driver. Sums are of whole numbers: the same bits
    for every partitioning. Returns group to split to sample, whose count is the effective number of rows, (sum p)^2 / sum p^2
    with weights p; a split without rows has count 0. Raises DataError where all weights of a group are 0."""
    table = real.select("grp", "split", "prior", "embedding").mapInArrow(partial(_sum_partition, features=features), SUMS_DDL).toArrow()
    sums: dict[tuple[str, str], npt.NDArray[np.int64]] = {}
    for group, split, total in zip(*(table.column(name) for name in ("grp", "split", "sums")), strict=True):
        key = (group.as_py(), split.as_py())
        sums[key] = sums.get(key, 0) + total.values.to_numpy()
    groups = sorted({group for group, _ in sums})
    found = {group: {split: _sample(sums.get((group, split)), features.n_features) for split in SPLITS} for group in groups}
    dead = [str(label_of(group) or "(none)") for group in groups if not any(part.count for part in found[group].values())]
    if dead:
        raise DataError(
            f"align: all weights of the real rows are 0 for label {', '.join(dead[:10])}; give at least one row a positive weight"
        )
    return found


def _sample(sums: npt.NDArray[np.int64] | None, n_features: int) -> Sample:
    """sums: (D + 2,) whole numbers: sum p, sum p^2, sum p phi."""
    if sums is None or not sums[0]:
        return Sample(0, np.zeros(n_features))
    weight, squares = sums[0] / SUM_STEPS, sums[1] / SUM_STEPS
    return Sample(float(weight**2 / squares), sums[2:] / (SUM_STEPS * weight))


def _sum_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap) -> Iterator[pa.RecordBatch]:
    sums: dict[tuple[str, str], npt.NDArray[np.int64]] = {}
    for batch in batches:
        for start in range(0, batch.num_rows, SLICE_ROWS):
            part = batch.slice(start, SLICE_ROWS)
            p = part.column("prior").to_numpy(zero_copy_only=False)[:, None]  # (n, 1)
            columns = np.concatenate([p, p**2, p * features(to_matrix(part.column("embedding"))).astype(np.float64)], axis=1)
            steps = np.rint(columns * SUM_STEPS).astype(np.int64)  # (n, D + 2)
            keys = np.asarray(list(zip(part.column("grp").to_pylist(), part.column("split").to_pylist(), strict=True)), dtype=object)
            for key in sorted({tuple(key) for key in keys}):
                mine = (keys[:, 0] == key[0]) & (keys[:, 1] == key[1])
                sums[key] = sums.get(key, 0) + steps[mine].sum(axis=0)
    for key in sorted(sums):
        row = [pa.array([key[0]]), pa.array([key[1]]), pa.array([sums[key]], pa.list_(pa.int64()))]
        yield pa.RecordBatch.from_arrays(row, schema=SUMS)


def _add(counts: dict[str, int], key: str, value: int) -> None:
    counts[key] = counts.get(key, 0) + value
