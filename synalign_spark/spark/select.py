"""Picks the clusters that the language model should see next, and the real rows that stand for them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.config import SelectConfig
from synalign_spark.core.sampling.clusters import DEMONSTRATIONS_KEY
from synalign_spark.core.sampling.strata import DemonstrationSet, LabelClusters, PickedSet, demonstration_sets, missing_mass
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.spark.columns import check_sets
from synalign_spark.spark.keys import unit
from synalign_spark.spark.lengths import with_lengths
from synalign_spark.storage.tables import DEMONSTRATIONS, SELECTION_TRACE

MissingMass = Mapping[str | None, npt.NDArray[np.float64]]
# What the driver knows of a demonstration set, a column for each field of DemonstrationSet.
SETS_TYPE = pa.schema(
    [
        ("round", pa.int32()),
        ("label", pa.string()),
        ("set_rank", pa.int32()),
        ("cluster_id", pa.int32()),
        ("posterior_sd", pa.float64()),
        ("cluster_share", pa.float64()),
        ("acquisition", pa.float64()),
        ("mean_sd_after", pa.float64()),
        ("coverage_after", pa.float64()),
        ("places", pa.list_(pa.int32())),
    ]
)


def select(
    centroids: DataFrame,
    clusters: DataFrame,
    corpus: DataFrame,
    cfg: SelectConfig,
    seed: int,
    n_sets: int,
    earlier: DataFrame | None = None,
    shares: Mapping[str, float] | None = None,
    missing: MissingMass | None = None,
) -> tuple[DataFrame, DataFrame]:
    """``demonstrations`` and ``selection_trace`` of ``n_sets`` demonstration sets, by their table contracts.

    centroids, clusters, corpus: the tables of those names, of clusters the rows that may be shown. earlier: selection_trace of the rounds before; the new
    ones go on from the variance that they left, and a cluster picked again shows other rows.
    Where rows have labels, clusters are picked within each label and rows without one are left out. The sets are shared out by
    ``shares`` of the labels, or by ``quota``, at least one a label. Fewer come back where there are no more different
    sets of rows. missing: of ``missing_masses``: only clusters that lack synthetic rows are picked then, and none where none does. On the driver: the centroids and the sets, each a few numbers.
    Raises DataError for no clusters or no rows left, ConfigError for fewer sets than labels."""
    sets = choose_sets(label_clusters(centroids), cfg, n_sets, picked_sets(earlier), seed, shares, missing)
    chosen = from_arrow(centroids.sparkSession, sets_table(sets))
    shown = demonstrations(chosen, most_places(sets), clusters, corpus, cfg, seed)
    shown = with_lengths(shown, chosen, clusters, corpus)
    return shown.select(*DEMONSTRATIONS.column_names), chosen.select(*SELECTION_TRACE.column_names)


def recounted(centroids: DataFrame, shown: DataFrame) -> DataFrame:
    """The centroids with n_rows and label_counts of the rows that may be shown; clusters without any are left out.

    centroids: CENTROIDS; shown: of CLUSTERS."""
    rows = shown.groupBy("cluster_id", "label").agg(F.count("*").alias("n"))
    of_label = F.collect_list(F.when(F.col("label").isNotNull(), F.struct("label", "n")))
    counts = rows.groupBy("cluster_id").agg(F.sum("n").alias("n_rows"), F.map_from_entries(of_label).alias("label_counts"))
    return centroids.drop("n_rows", "label_counts").join(counts, "cluster_id").select(centroids.columns)


def label_clusters(centroids: DataFrame) -> LabelClusters:
    """The centroids table on the driver: k rows. Raises DataError where it holds none."""
    # Sorted, because ties go to the smaller id.
    known = to_arrow(centroids.select("cluster_id", "centroid", "n_rows", "label_counts").orderBy("cluster_id")).to_pylist()
    if not known:
        raise DataError("select: the centroids table holds no clusters; run `cluster` first")
    counts = [dict(row["label_counts"]) for row in known]
    rows: dict[str | None, Any] = {
        label: np.array([count.get(label, 0) for count in counts]) for label in {label for count in counts for label in count}
    }
    return LabelClusters(
        np.array([row["cluster_id"] for row in known], dtype=np.int64),
        np.array([row["centroid"] for row in known]),
        rows or {None: np.array([row["n_rows"] for row in known])},
    )


def choose_sets(
    clusters: LabelClusters,
    cfg: SelectConfig,
    n_sets: int,
    earlier: Sequence[PickedSet] = (),
    seed: int = 0,
    shares: Mapping[str, float] | None = None,
    missing: MissingMass | None = None,
) -> list[DemonstrationSet]:
    """:func:`~synalign_spark.core.sampling.strata.demonstration_sets` with errors in the words of the configuration."""
    n_labels = len(clusters.labels())
    if n_sets < n_labels and cfg.demonstration_sets != "auto":
        raise ConfigError(
            f"select.demonstration_sets is {n_sets} but the corpus has {n_labels} labels; set it to at least {n_labels}, or to auto"
        )
    try:
        sets = demonstration_sets(clusters, cfg, max(n_sets, n_labels), earlier, seed, shares, missing)
    except ValueError as err:
        raise DataError(f"select: {err}") from err
    if missing is None:
        check_sets(sets, earlier)
    return sets


def missing_masses(centroids: DataFrame, witness: DataFrame) -> MissingMass:
    """Of each label, which share of its real rows synthetic rows lack in each cluster, (k,): see ``missing_mass``.

    centroids: CENTROIDS, whose rows are not held out: those that are held out lead no round; witness: WITNESS."""
    clusters = label_clusters(centroids)
    place = {cluster_id: i for i, cluster_id in enumerate(clusters.ids.tolist())}
    held = {label: np.zeros(len(place)) for label in clusters.labels()}
    for row in to_arrow(witness.select("label", "cluster_id", "synthetic_share")).to_pylist():  # a row a label and cluster
        if row["label"] in held and row["cluster_id"] in place:
            held[row["label"]][place[row["cluster_id"]]] = row["synthetic_share"]
    return {label: missing_mass(clusters.rows[label], share) for label, share in held.items()}


def most_places(sets: Sequence[DemonstrationSet]) -> int:
    """Rows of one cluster that have to be put in order for the sets."""
    return 1 + max((max(one.places) for one in sets), default=0)


def picked_sets(earlier: DataFrame | None) -> list[PickedSet]:
    """The sets of earlier rounds, from ``selection_trace`` or ``demonstrations`` rows."""
    if earlier is None:
        return []
    rows = to_arrow(earlier.select("round", "label", "set_rank", "cluster_id").distinct()).to_pylist()  # one row a set
    return [PickedSet(**row) for row in rows]


def sets_table(sets: Sequence[DemonstrationSet]) -> pa.Table:
    """The sets as a table of SETS_TYPE."""
    return pa.Table.from_pylist([dataclasses.asdict(one) for one in sets], schema=SETS_TYPE)


def demonstrations(sets: DataFrame, shown: int, clusters: DataFrame, corpus: DataFrame, cfg: SelectConfig, seed: int) -> DataFrame:
    """The rows of each set with their text, and all columns of the set: one row a demonstration.

    sets: SETS_TYPE rows; shown: rows of a cluster that have to be put in order: see ``most_places``."""
    order = F.col("sq_distance") if cfg.choice == "nearest" else unit(seed, DEMONSTRATIONS_KEY, "doc_id")
    within = Window.partitionBy("label", "cluster_id").orderBy("order", "doc_id")
    # The bound is a literal, so that Spark cuts each group before it shuffles (window group limit).
    ranked = (
        clusters.select("label", "cluster_id", "doc_id", order.alias("order"))
        .withColumn("rank", F.row_number().over(within))
        .where(F.col("rank") <= F.lit(shown))
        .select(F.col("label").alias("of_label"), F.col("cluster_id").alias("of_cluster"), "doc_id", (F.col("rank") - 1).alias("of_place"))
    )
    wanted = sets.select("*", F.posexplode("places").alias("rank_in_set", "place"))
    same = (
        F.col("label").eqNullSafe(F.col("of_label")) & (F.col("cluster_id") == F.col("of_cluster")) & (F.col("place") == F.col("of_place"))
    )
    chosen = ranked.join(F.broadcast(wanted), same).select("doc_id", "rank_in_set", *SETS_TYPE.names)
    # sets * rows_per_set rows: small against the corpus, whose texts stay where they are.
    return corpus.select("doc_id", "text").join(F.broadcast(chosen), "doc_id")
