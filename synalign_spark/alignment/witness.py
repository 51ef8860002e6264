"""The witness table: in which clusters of the corpus synthetic rows are missing, even after weighting.

On the executors: one pass over the real rows (features and witness, partial sums a label and cluster, merged by
Spark) and one over the synthetic rows (nearest centroid). On the driver: a row a label and cluster that holds
real rows, with three ids and three cut texts, so at most 2 KB * labels * clusters; and the centroids.
All sums are of whole numbers: the same bits for every partitioning. See ``core/evaluation/witness.py`` for the function.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.core.evaluation.witness import Cell, MeanDifference, mean_value, merge, ranks, tally, witness_values
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.groups import label_of
from synalign_spark.core.sampling.resample import TICKS
from synalign_spark.errors import DataError
from synalign_spark.spark.groups import group_column
from synalign_spark.storage.tables import WITNESS
from synalign_spark.udfs.arrow import to_matrix
from synalign_spark.udfs.assign import assign_udf

EXAMPLES = 3  # real rows a label and cluster
EXAMPLE_CHARS = 500
SLICE_ROWS = 1_024  # rows in hand at a time on an executor: about 40 MiB of features and their roundings at D = 2,048
NO_CLUSTER = -1

TOP_TYPE = pa.list_(
    pa.struct([("fall", pa.int64()), ("doc_id", pa.string())])
)  # fall: minus the value, so that rising order is the one of ``tally``
CELLS = pa.schema(
    [("grp", pa.string()), ("cluster_id", pa.int32()), ("n", pa.int64()), ("after", pa.int64()), ("before", pa.int64()), ("top", TOP_TYPE)]
)
CELLS_DDL = "grp string, cluster_id int, n bigint, after bigint, before bigint, top array<struct<fall:bigint,doc_id:string>>"
Key = tuple[str, int]  # group and cluster
Row = dict[str, Any]


def witness(
    embeddings_real: DataFrame,
    corpus: DataFrame,
    clusters: DataFrame,
    centroids: DataFrame,
    embeddings_synthetic: DataFrame,
    weights: DataFrame,
    features: FeatureMap,
    differences: Mapping[str, MeanDifference],
) -> DataFrame:
    """WITNESS: a row a label and cluster that holds real rows of the label.

    embeddings_real, embeddings_synthetic: EMBEDDINGS of each origin; corpus, clusters, centroids, weights: the tables of
    those names (weights as stored, else they are computed again); features: those of the alignment; differences: by group
    ('=' and a label, or ''), one for every label of the real rows, or one under '' for all where one mixture was matched.
    Shares are within the label in both cases.
    Raises DataError where a real row has no cluster or text, or centroids are missing; ValueError where a label has no mean difference."""
    places = _centroid_matrix(centroids)
    cells = _real_cells(embeddings_real, clusters, features, differences)
    _check(cells, differences, len(places))
    held = _synthetic_cells(embeddings_synthetic, weights, places)
    texts = _texts(corpus, sorted(row["doc_id"] for cell in cells.values() for row in cell["top"]))
    groups = sorted({group for group, _ in cells})
    rows = [row for group in groups for row in _rows_of(group, {c: cell for (g, c), cell in cells.items() if g == group}, held, texts)]
    ordered = [tuple(row[name] for name in WITNESS.column_names) for row in rows]
    return embeddings_real.sparkSession.createDataFrame(ordered, WITNESS.ddl)


def _real_cells(
    embeddings: DataFrame, clusters: DataFrame, features: FeatureMap, differences: Mapping[str, MeanDifference]
) -> dict[Key, Row]:
    """n, after, before (sums in steps) and top of the real rows by group and cluster: so many rows reach the driver."""
    placed = embeddings.select("doc_id", group_column(True).alias("grp"), "embedding").join(
        clusters.select("doc_id", "cluster_id"), "doc_id", "left"
    )
    job = partial(partition_cells, features=features, differences=dict(differences))
    parts = placed.select("grp", F.coalesce("cluster_id", F.lit(NO_CLUSTER)).alias("cluster_id"), "doc_id", "embedding")
    top = F.slice(F.sort_array(F.flatten(F.collect_list("top"))), 1, EXAMPLES)  # by falling value, then by id
    sums = [F.sum(name).alias(name) for name in ("n", "after", "before")]
    merged = parts.mapInArrow(job, CELLS_DDL).groupBy("grp", "cluster_id").agg(*sums, top.alias("top"))
    return {(row["grp"], row["cluster_id"]): row for row in to_arrow(merged).to_pylist()}


def partition_cells(
    batches: Iterable[pa.RecordBatch], features: FeatureMap, differences: Mapping[str, MeanDifference]
) -> Iterator[pa.RecordBatch]:
    """Witness sums of the real rows of one partition: a row of CELLS a group and cluster, in one batch; none without rows.

    batches: grp, cluster_id, doc_id and embedding; differences: by group. However the rows are cut into batches, the same bits."""
    cells: dict[Key, Cell] = {}
    for batch in batches:
        for start in range(0, batch.num_rows, SLICE_ROWS):
            part = batch.slice(start, SLICE_ROWS)
            for key, cell in _slice_cells(part, features, differences):
                cells[key] = merge([cells[key], cell], EXAMPLES) if key in cells else cell
    if cells:
        yield _packed(cells)


def _slice_cells(part: pa.RecordBatch, features: FeatureMap, differences: Mapping[str, MeanDifference]) -> Iterator[tuple[Key, Cell]]:
    group, ids = (np.asarray(part.column(name).to_pylist(), dtype=object) for name in ("grp", "doc_id"))
    cluster = part.column("cluster_id").to_numpy()
    phi = features(to_matrix(part.column("embedding")))  # (n, D)
    for name in sorted(set(group)):
        rows = np.flatnonzero(group == name)
        difference = _difference(differences, name)
        # Where the mean difference is missing, the driver says so.
        values = witness_values(phi[rows], difference) if difference is not None else np.zeros((len(rows), 2))
        for cluster_id, cell in tally(cluster[rows], ids[rows], values, EXAMPLES).items():
            yield (name, cluster_id), cell


def _packed(cells: Mapping[Key, Cell]) -> pa.RecordBatch:
    keys = sorted(cells)
    top = [[{"fall": -value, "doc_id": doc_id} for value, doc_id in cells[key].top] for key in keys]
    sums = [[getattr(cells[key], name) for key in keys] for name in ("rows", "after", "before")]
    columns = [[group for group, _ in keys], [cluster for _, cluster in keys], *sums, top]
    return pa.RecordBatch.from_arrays([pa.array(c, field.type) for c, field in zip(columns, CELLS, strict=True)], schema=CELLS)


def _difference(differences: Mapping[str, MeanDifference], group: str) -> MeanDifference | None:
    """The mean difference that a group was matched with: that of the group, or of the one mixture."""
    return differences.get(group, differences.get(""))


def _check(cells: Mapping[Key, Row], differences: Mapping[str, MeanDifference], n_clusters: int) -> None:
    if not cells:
        raise DataError("witness: there are no real rows; run ingest and embed on a corpus with rows")
    lost = sum(row["n"] for (_, cluster), row in cells.items() if not 0 <= cluster < n_clusters)
    if lost:
        raise DataError(
            f"witness: {lost} of {sum(row['n'] for row in cells.values())} real rows have no cluster in the lake; run cluster again"
        )
    unknown = sorted({str(label_of(group) or "(none)") for group, _ in cells if _difference(differences, group) is None})
    if unknown:
        raise ValueError(
            f"differences: none for label {', '.join(unknown[:10])}; give MeanDifference.of(real mean) for labels without synthetic rows"
        )


def _centroid_matrix(centroids: DataFrame) -> npt.NDArray[np.float64]:
    """(k, d) centroids, row i that of cluster i. Raises DataError where there are none or ids are left out."""
    known = to_arrow(centroids.select("cluster_id", "centroid").orderBy("cluster_id")).to_pylist()  # k rows
    if [row["cluster_id"] for row in known] != list(range(len(known))) or not known:
        raise DataError(f"witness: centroids must have the ids 0 .. k-1, got {len(known)} other ones; run cluster again")
    return np.array([row["centroid"] for row in known], dtype=np.float64)


def _synthetic_cells(embeddings: DataFrame, weights: DataFrame, places: npt.NDArray[np.float64]) -> dict[Key, Row]:
    """n, after and before (weight in the label and base weight, in ticks) of the synthetic rows by group and nearest centroid."""
    ticks = [
        F.rint(F.col(name) * float(TICKS)).cast("bigint").alias(to)
        for name, to in (("weight_in_label", "after"), ("base_weight", "before"))
    ]
    rows = weights.select("doc_id", group_column(True).alias("grp"), *ticks).join(embeddings.select("doc_id", "embedding"), "doc_id")
    nearest = assign_udf(places)("embedding").getField("cluster_id").alias("cluster_id")
    sums = [F.sum(name).alias(name) for name in ("after", "before")]
    found = rows.select("grp", "after", "before", nearest).groupBy("grp", "cluster_id").agg(F.count("*").alias("n"), *sums)
    return {(row["grp"], row["cluster_id"]): row for row in to_arrow(found).to_pylist()}


def _texts(corpus: DataFrame, ids: list[str]) -> dict[str, str]:
    """The first 500 characters of the rows' texts: three a label and cluster."""
    wanted = corpus.sparkSession.createDataFrame([(doc_id,) for doc_id in ids], "doc_id string")
    shown = corpus.select("doc_id", F.substring("text", 1, EXAMPLE_CHARS).alias("text")).join(F.broadcast(wanted), "doc_id", "left_semi")
    texts = {row["doc_id"]: row["text"] for row in to_arrow(shown).to_pylist()}
    if len(texts) < len(set(ids)):
        raise DataError(
            f"witness: {len(set(ids)) - len(texts)} real rows with embeddings are not in the corpus; run ingest and embed again"
        )
    return texts


def _rows_of(group: str, cells: Mapping[int, Row], held: Mapping[Key, Row], texts: Mapping[str, str]) -> list[Row]:
    """The rows of one label, by cluster. cells: its real rows by cluster."""
    order = sorted(cells)
    total = sum(cell["n"] for cell in cells.values())
    rows = []
    for cluster, rank in zip(order, ranks([cells[cluster]["after"] for cluster in order]), strict=True):
        real, synthetic = cells[cluster], held.get((group, cluster), {"n": 0, "after": 0, "before": 0})
        real_share, share = real["n"] / total, synthetic["after"] / TICKS
        ids = [row["doc_id"] for row in real["top"]]
        rows.append(
            {
                "label": label_of(group), "cluster_id": cluster, "real_rows": real["n"], "real_share": real_share,
                "synthetic_rows": synthetic["n"], "synthetic_share_before": synthetic["before"] / TICKS, "synthetic_share": share,
                "missing_share": max(0.0, real_share - share), "witness_mean_before": mean_value(real["before"], real["n"]),
                "witness_mean": mean_value(real["after"], real["n"]), "rank": rank,
                "example_ids": ids, "examples": [texts[doc_id] for doc_id in ids],
            }
        )  # fmt: skip
    return rows
