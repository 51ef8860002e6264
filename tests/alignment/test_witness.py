"""The witness table: against numpy, for every partitioning, with and without labels, and with a planted hole."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from synalign_spark.alignment.witness import witness
from synalign_spark.core.evaluation.witness import MeanDifference
from synalign_spark.core.features import draw_feature_map
from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.errors import DataError
from synalign_spark.storage.tables import CENTROIDS, CLUSTERS, CORPUS, EMBEDDINGS, WEIGHTS, WITNESS
from synalign_spark.udfs.arrow import from_matrix

WIDTH, HOLE = 5, 2  # the synthetic rows leave out the region of this cluster
CENTRES = 1.5 * np.random.default_rng(0).standard_normal((4, WIDTH))
FEATURES = draw_feature_map(WIDTH, 64, [1.0, 0.5], 1)
SHARES = {"cat": [0.4, 0.2, 0.3, 0.1], "dog": [0.1, 0.2, 0.5, 0.2], "owl": [0.25] * 4, None: [0.4, 0.2, 0.3, 0.1]}


def rows_of(origin, counts, seed):
    """ids, labels and vectors of one side; counts: label to rows."""
    rng = np.random.default_rng(seed)
    labels = [label for label, n in counts.items() for _ in range(n)]
    ids = [hashlib.sha256(f"{origin}{label}{i}".encode()).hexdigest() for i, label in enumerate(labels)]
    present = (np.arange(4) != HOLE) | (origin == "real")
    at = [rng.choice(4, p=SHARES[label] * present / np.sum(SHARES[label] * present)) for label in labels]
    x = (CENTRES[at] + 0.3 * rng.standard_normal((len(at), WIDTH))).astype(np.float32)
    return SimpleNamespace(ids=np.array(ids, dtype=object), labels=np.array(labels, dtype=object), x=x, cluster=nearest(x, CENTRES)[0])


def side(real_counts, fake_counts):
    """Both sides, weights and mean differences by label, in numpy."""
    real, fake = rows_of("real", real_counts, 3), rows_of("fake", fake_counts, 4)
    rng, w, q, differences = np.random.default_rng(5), np.zeros(len(fake.ids)), np.zeros(len(fake.ids)), {}
    for label in real_counts:
        rows, mean = fake.labels == label, FEATURES(real.x[real.labels == label]).astype(np.float64).mean(axis=0)
        if rows.any():
            w[rows], q[rows] = rng.dirichlet(np.ones(rows.sum())), 1 / rows.sum()
            phi = FEATURES(fake.x[rows]).astype(np.float64)
            differences["" if label is None else f"={label}"] = MeanDifference.of(mean, w[rows] @ phi, q[rows] @ phi)
        else:
            differences[f"={label}"] = MeanDifference.of(mean)
    return SimpleNamespace(real=real, fake=fake, w=w, q=q, differences=differences)


def frames(spark, s, spread=lambda df: df):
    """The arguments of ``witness`` before the features, as DataFrames by their contracts."""

    def embeddings(rows, origin):
        n = len(rows.ids)
        arrays = [[origin] * n, rows.ids.tolist(), rows.labels.tolist(), ["m"] * n, ["1"] * n]
        table = pa.table([*[pa.array(a, pa.string()) for a in arrays], from_matrix(rows.x)], names=list(EMBEDDINGS.column_names))
        return spark.createDataFrame(table, EMBEDDINGS.ddl)

    r, f = s.real, s.fake
    texts = [f"text of {i} " + "x" * 600 for i in r.ids]
    corpus = [(i, t, label, None, len(t), None) for i, t, label in zip(r.ids, texts, r.labels, strict=True)]
    clusters = [(i, label, int(c), 0.1) for i, label, c in zip(r.ids, r.labels, r.cluster, strict=True)]
    centroids = [(i, c.tolist(), 1, 0.25, {}, 0.0) for i, c in enumerate(CENTRES)][::-1]
    weights = [(i, label, float(w) / 2, float(w), float(q), *[None] * 5) for i, label, w, q in zip(f.ids, f.labels, s.w, s.q, strict=True)]
    frames = [
        embeddings(r, "real"), spark.createDataFrame(corpus, CORPUS.ddl), spark.createDataFrame(clusters, CLUSTERS.ddl),
        spark.createDataFrame(centroids, CENTROIDS.ddl), embeddings(f, "synthetic"), spark.createDataFrame(weights, WEIGHTS.ddl),
    ]  # fmt: skip
    return [spread(df) for df in frames]


def found(spark, s, differences=None, spread=lambda df: df):
    df = witness(*frames(spark, s, spread), FEATURES, differences or s.differences)
    assert df.columns == list(WITNESS.column_names)
    assert df.schema == spark.createDataFrame([], WITNESS.ddl).schema
    return df.toArrow().to_pylist()


def oracle(s, differences=None):
    """The table by the formulas, in plain float64."""
    rows = []
    for label in sorted(set(s.real.labels), key=str):
        difference = (differences or s.differences).get("" if differences or label is None else f"={label}")
        of_real, of_fake = s.real.labels == label, s.fake.labels == label
        phi = FEATURES(s.real.x[of_real]).astype(np.float64)
        after, before, place, ids = phi @ difference.after, phi @ difference.before, s.real.cluster[of_real], s.real.ids[of_real]
        at = s.fake.cluster[of_fake]
        clusters = sorted(set(place))
        pull = {c: after[place == c].sum() for c in clusters}
        for c in clusters:
            best = np.flatnonzero(place == c)[np.argsort(-after[place == c])][:3]
            real_share, share = np.mean(place == c), s.w[of_fake][at == c].sum()
            rows.append(
                {
                    "label": label, "cluster_id": c, "real_rows": np.sum(place == c), "real_share": real_share, "synthetic_rows": np.sum(at == c),
                    "synthetic_share_before": s.q[of_fake][at == c].sum(), "synthetic_share": share, "missing_share": max(0.0, real_share - share),
                    "witness_mean_before": before[place == c].mean(), "witness_mean": after[place == c].mean(),
                    "rank": 1 + sum(other > pull[c] for other in pull.values()), "example_ids": ids[best].tolist(),
                    "examples": [(f"text of {i} " + "x" * 600)[:500] for i in ids[best]],
                }
            )  # fmt: skip
    return rows


def assert_is(got, want):
    assert [(row["label"], row["cluster_id"]) for row in got] == [(row["label"], row["cluster_id"]) for row in want]
    for found, wanted in zip(got, want, strict=True):
        for name, value in wanted.items():
            assert found[name] == (pytest.approx(value, abs=5e-8) if isinstance(value, float) else value), (name, found)


LABELLED = side({"cat": 400, "dog": 250, "owl": 60}, {"cat": 150, "dog": 90})


@pytest.fixture(scope="module")
def labelled(spark):
    return found(spark, LABELLED)


def test_the_table_is_what_numpy_says(labelled):
    assert_is(labelled, oracle(LABELLED))
    for label in ("cat", "dog"):
        in_label = [row for row in labelled if row["label"] == label]
        assert sum(row["real_share"] for row in in_label) == pytest.approx(1.0)
        assert sum(row["synthetic_share"] for row in in_label) == pytest.approx(1.0)


def test_the_planted_hole_ranks_first(labelled):
    for label in ("cat", "dog"):
        first = min((row for row in labelled if row["label"] == label), key=lambda row: row["rank"])
        assert (first["cluster_id"], first["rank"]) == (HOLE, 1)
        assert first["synthetic_share"] < 0.02 < 0.25 < first["missing_share"]
        assert first["witness_mean"] > 0.1
        assert sum(row["witness_mean"] > first["witness_mean"] for row in labelled if row["label"] == label) == 0


def test_a_label_without_synthetic_rows_misses_everything(labelled):
    alone = [row for row in labelled if row["label"] == "owl"]
    assert len(alone) == 4
    for row in alone:
        assert (row["synthetic_rows"], row["synthetic_share"], row["synthetic_share_before"]) == (0, 0.0, 0.0)
        assert row["missing_share"] == row["real_share"]
        assert row["witness_mean"] == row["witness_mean_before"] > 0


@pytest.fixture
def kept_partitions(spark):
    """Spark joins few rows back into one partition; here they stay where the hash puts them."""
    spark.conf.set("spark.sql.adaptive.coalescePartitions.enabled", "false")
    yield
    spark.conf.unset("spark.sql.adaptive.coalescePartitions.enabled")


@pytest.mark.usefixtures("kept_partitions")
@pytest.mark.parametrize("n_partitions", [1, 2, 7])
def test_partitioning_changes_no_bit(spark, labelled, n_partitions):
    """Rows come in another order too, and the first partition is empty."""
    assert found(spark, LABELLED, spread=lambda df: df.where(F.lit(False)).coalesce(1).union(df.repartition(n_partitions))) == labelled


@pytest.mark.parametrize("slice_rows", [1, 17])
def test_slices_change_no_bit(labelled, spark, slice_rows):
    """In this process, as workers have modules of their own: the partition's cells do not depend on the slices."""
    from synalign_spark.alignment import witness as module

    real = LABELLED.real
    columns = [pa.array([f"={label}" for label in real.labels]), pa.array(real.cluster), pa.array(real.ids.tolist()), from_matrix(real.x)]
    batch = pa.RecordBatch.from_arrays(columns, names=["grp", "cluster_id", "doc_id", "embedding"])
    whole = next(module.partition_cells([batch], FEATURES, LABELLED.differences))
    old, module.SLICE_ROWS = module.SLICE_ROWS, slice_rows
    try:
        assert (
            next(module.partition_cells([batch.slice(300), batch.slice(0, 0), batch.slice(0, 300)], FEATURES, LABELLED.differences))
            == whole
        )
    finally:
        module.SLICE_ROWS = old
    assert whole.column("n").to_pylist() == [row["real_rows"] for row in labelled]


def test_rows_without_labels_have_one_group(spark):
    s = side({None: 300}, {None: 120})
    got = found(spark, s)
    assert_is(got, oracle(s))
    assert {row["label"] for row in got} == {None}


def test_one_mixture_gives_every_label_the_same_witness_function(spark):
    """align.per_label off: one mean difference under '', shares within the label all the same."""
    differences = {"": LABELLED.differences["=cat"]}
    assert_is(found(spark, LABELLED, differences), oracle(LABELLED, differences))


def test_what_cannot_be_used_is_named(spark):
    real, corpus, clusters, centroids, fake, weights = frames(spark, LABELLED)
    rest = (FEATURES, LABELLED.differences)
    one = LABELLED.real.ids[0]
    with pytest.raises(ValueError, match="differences: none for label dog, owl; give MeanDifference.of"):
        witness(real, corpus, clusters, centroids, fake, weights, FEATURES, {"=cat": LABELLED.differences["=cat"]})
    with pytest.raises(DataError, match="there are no real rows"):
        witness(real.where("false"), corpus, clusters, centroids, fake, weights, *rest)
    with pytest.raises(DataError, match="1 of 710 real rows have no cluster"):
        witness(real, corpus, clusters.where(F.col("doc_id") != one), centroids, fake, weights, *rest)
    with pytest.raises(DataError, match="ids 0 .. k-1, got 3"):
        witness(real, corpus, clusters, centroids.where("cluster_id <> 1"), fake, weights, *rest)
    with pytest.raises(DataError, match="12 real rows with embeddings are not in the corpus"):
        witness(real, corpus.where("label <> 'owl'"), clusters, centroids, fake, weights, *rest)
