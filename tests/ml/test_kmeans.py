import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from synalign_spark.config import ClusterConfig
from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.ml import SynAlignKMeans, SynAlignKMeansModel

OPTIONS = {"embedding": "vec", "k": 5, "seed": 3, "sample_rows": 100}


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(7)
    return (3 * rng.normal(size=(4, 3))[rng.integers(4, size=160)] + rng.normal(size=(160, 3))).astype(np.float32)


@pytest.fixture(scope="module")
def frame(spark, x):
    return spark.createDataFrame([(f"row {i}", row.tolist()) for i, row in enumerate(x)], "name string, vec array<float>")


@pytest.fixture(scope="module")
def model(frame):
    return SynAlignKMeans(**OPTIONS).fit(frame)


def found(transformed):
    return {row["name"]: (row["cluster_id"], row["sq_distance"]) for row in transformed.collect()}


def test_rows_go_to_the_nearest_centroid(model, frame, x):
    assert model.centroids.shape == (5, 3)
    ids, sq_distance = nearest(x, model.centroids)
    got = found(model.transform(frame))
    assert [got[f"row {i}"] for i in range(len(x))] == list(zip(ids.tolist(), sq_distance.tolist(), strict=True))
    assert model.n_rows.tolist() == np.bincount(ids).tolist()
    np.testing.assert_array_equal(model.clusterCenters(), model.centroids)


@pytest.mark.parametrize("n_partitions", [1, 2, 7])
def test_partitioning_changes_nothing(model, frame, n_partitions):
    spread = frame.repartition(n_partitions).union(frame.where(F.lit(False)))
    np.testing.assert_array_equal(SynAlignKMeans(**OPTIONS).fit(spread).centroids, model.centroids)


def test_a_model_is_stored_and_read(model, frame, tmp_path):
    path = str(tmp_path / "model")
    model.save(path)
    again = SynAlignKMeansModel.load(path)
    assert again.uid == model.uid
    assert again.explainParams() == model.explainParams()
    np.testing.assert_array_equal(again.centroids, model.centroids)
    np.testing.assert_array_equal(again.n_rows, model.n_rows)
    assert found(again.transform(frame)) == found(model.transform(frame))
    model.write().overwrite().save(path)
    with pytest.raises(Exception, match="PATH_ALREADY_EXISTS"):
        model.save(path)


def test_an_estimator_is_stored_and_read(tmp_path):
    estimator = SynAlignKMeans(embedding="vec", k=7, tolerance=0.5)
    estimator.save(str(tmp_path / "estimator"))
    again = SynAlignKMeans.load(str(tmp_path / "estimator"))
    assert (again.getK(), again.getTolerance(), again.getEmbedding(), again.getId()) == (7, 0.5, "vec", None)
    assert again.explainParams() == estimator.explainParams()


def test_it_is_a_stage_of_a_pipeline(frame, model, tmp_path):
    stages = [SQLTransformer(statement="SELECT name, vec AS moved FROM __THIS__"), SynAlignKMeans(**OPTIONS | {"embedding": "moved"})]
    fitted = Pipeline(stages=stages).fit(frame)
    assert found(fitted.transform(frame)) == found(model.transform(frame))
    fitted.save(str(tmp_path / "pipeline"))
    assert found(PipelineModel.load(str(tmp_path / "pipeline")).transform(frame)) == found(model.transform(frame))


def test_parameters_are_those_of_the_configuration():
    estimator = SynAlignKMeans()
    for name, info in ClusterConfig.model_fields.items():
        assert estimator.getOrDefault(name) == info.default
        assert info.description in estimator.explainParam(name)
    assert estimator.setK(9).setSampleRows(50).getK() == 9
    assert estimator.getSampleRows() == 50
    assert estimator.copy({estimator.k: 4}).getK() == 4
    assert estimator.getK() == 9
    with pytest.raises(ConfigError, match=r"SynAlignKMeans: unknown parameter sample_row=5; did you mean sample_rows\?"):
        SynAlignKMeans(sample_row=5)
    with pytest.raises(ConfigError, match=r"cluster.k: got 0; .*greater than or equal to 1"):
        SynAlignKMeans(k=0)
    with pytest.raises(ConfigError, match="embedding: must be the name of a column, got 3"):
        SynAlignKMeans().setEmbedding(3)


def test_output_columns_and_vectors_of_spark_ml(spark, frame, model, x):
    dense = spark.createDataFrame([(f"row {i}", Vectors.dense(row)) for i, row in enumerate(x)], ["name", "vec"])
    renamed = SynAlignKMeans(**OPTIONS, cluster_id="at", sq_distance="far").fit(dense)
    np.testing.assert_array_equal(renamed.centroids, model.centroids)
    assert renamed.transform(dense).columns == ["name", "vec", "at", "far"]


def test_ids_key_the_sample(frame, model):
    by_name = SynAlignKMeans(**OPTIONS | {"sample_rows": 20}, id="name").fit(frame)
    by_content = SynAlignKMeans(**OPTIONS | {"sample_rows": 20}).fit(frame)
    assert by_name.centroids.tolist() != by_content.centroids.tolist()


def test_what_cannot_be_clustered(frame):
    with pytest.raises(DataError, match=r"cluster.k is 500 but the corpus has 160 rows"):
        SynAlignKMeans(embedding="vec", k=500).fit(frame)
    with pytest.raises(DataError, match="embedding column 'nothing': the frame has no such column; it has name, vec"):
        SynAlignKMeans(embedding="nothing").fit(frame)
    with pytest.raises(DataError, match="1 of 160 embeddings are null"):
        SynAlignKMeans(embedding="vec").fit(frame.withColumn("vec", F.when(F.col("name") != "row 3", F.col("vec"))))
