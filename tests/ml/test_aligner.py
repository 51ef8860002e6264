"""The alignment as an estimator: parameters, the weights of ``align``, models that are kept and weigh other rows."""

import numpy as np
import pandas as pd
import pytest
from pyspark.ml import Pipeline

import synalign_spark as sa
from synalign_spark.alignment.scoring import Scorer
from synalign_spark.errors import ConfigError, DataError
from tests.api.test_align import REAL, SMALL, SYNTHETIC, as_spark, by_text

OPTIONS = {"label": "label", "embedding": "vec", **SMALL}
ONE_COLUMN = ["weight", "weight_in_label", "base_weight", "label_confidence", "log_density_ratio", "log_embedding_ratio", "sample_weight"]


@pytest.fixture(scope="module")
def model():
    return sa.Aligner(**OPTIONS).fit(REAL, SYNTHETIC)


def test_parameters_have_getters_setters_and_limits():
    aligner = sa.Aligner(n_features=2048, regularization="auto").setLabel("label").setRegularization(0.5)
    assert (aligner.getNFeatures(), aligner.getRegularization(), aligner.getLabel()) == (2048, 0.5, "label")
    assert "Strength lambda" in aligner.explainParam("regularization")
    with pytest.raises(ConfigError, match="did you mean regularization"):
        sa.Aligner(regularisation=1.0)
    with pytest.raises(ConfigError, match="holdout"):
        aligner.setHoldout(0.9)
    with pytest.raises(ConfigError, match="give real and synthetic rows, or name the column"):
        aligner.fit(REAL)


def test_the_weights_are_those_of_align(model):
    expected = sa.align(REAL, SYNTHETIC, **OPTIONS)
    pd.testing.assert_frame_equal(model.weights, expected.weights)
    assert model.certificate.verdict == expected.certificate.verdict
    pd.testing.assert_frame_equal(model.alignment.real, expected.real)


def test_a_model_gives_the_rows_it_was_fitted_on_their_weights_again(model):
    again = model.transform(SYNTHETIC.sample(frac=1, random_state=1)).loc[SYNTHETIC.index]
    np.testing.assert_allclose(again[ONE_COLUMN], model.weights[ONE_COLUMN], rtol=1e-9)
    part = model.transform(SYNTHETIC[:30])
    np.testing.assert_allclose(part["weight"], model.weights["weight"][:30], rtol=1e-9)


def test_a_model_without_labels_has_no_base_measure_and_is_kept_all_the_same():
    scorer = sa.align(REAL, SYNTHETIC, **OPTIONS | {"label": None}).scorer
    again = Scorer.from_bytes(scorer.to_bytes())
    assert again.base.components == scorer.base.components == ()
    assert again.solved.keys() == scorer.solved.keys()


@pytest.mark.slow  # the next test fits on Spark too
@pytest.mark.parametrize("settings", [{}, {"label": None}])
def test_spark_rows_get_the_weights_of_pandas_rows_before_and_after_a_disk(spark, tmp_path, settings):
    options = OPTIONS | settings
    from_pandas = sa.Aligner(**options).fit(REAL, SYNTHETIC)
    rows = as_spark(spark, SYNTHETIC, 3)
    from_spark = sa.Aligner(**options).fit(as_spark(spark, REAL, 2), rows)
    from_pandas.write().overwrite().save(str(tmp_path / "model"))
    loaded = type(from_pandas).load(str(tmp_path / "model"))
    assert loaded.getLabel() == options["label"]
    assert loaded.certificate.verdict == from_pandas.certificate.verdict
    expected = by_text(from_pandas.weights)
    for found in (from_spark.weights, from_spark.transform(rows), from_pandas.transform(rows), loaded.transform(rows)):
        got = by_text(found.toPandas())
        np.testing.assert_allclose([got[key] for key in expected], list(expected.values()), rtol=1e-6)
    np.testing.assert_array_equal(loaded.transform(SYNTHETIC)["sample_weight"], from_pandas.transform(SYNTHETIC)["sample_weight"])
    with pytest.raises(ValueError, match=r"use transform\(rows\)"):
        _ = loaded.weights


@pytest.mark.parametrize("kind", ["pandas", "spark"])
def test_one_frame_with_both_sides_and_estimators_on_disk(spark, tmp_path, kind, model):
    both = pd.concat([REAL.assign(side="real"), SYNTHETIC.assign(side="synthetic")], ignore_index=True)
    sa.Aligner(origin="side", **OPTIONS).save(str(tmp_path / "aligner"))
    aligner = sa.Aligner.load(str(tmp_path / "aligner"))
    if kind == "pandas":
        found = aligner.fit(both).weights
    else:
        pipeline = Pipeline(stages=[aligner]).fit(as_spark(spark, both, 5))
        found = pipeline.stages[0].weights.drop("side")
        assert pipeline.transform(as_spark(spark, SYNTHETIC.assign(side="synthetic"))).count() == len(SYNTHETIC)
    expected, got = by_text(model.weights), by_text(found if kind == "pandas" else found.toPandas())
    np.testing.assert_allclose([got[key] for key in expected], list(expected.values()), rtol=1e-6)


@pytest.mark.parametrize("kind", ["pandas", "spark"])
def test_labels_that_were_not_aligned_are_refused(spark, model, kind):
    rows = SYNTHETIC[:5].assign(label="ugly")
    with pytest.raises(DataError, match="label: ugly was not among the aligned rows; the model knows bad, good"):
        model.transform(rows if kind == "pandas" else as_spark(spark, rows))


@pytest.mark.parametrize("kind", ["pandas", "spark"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns="text"), "text: the model weighs words, but these rows have no text column"),
        (lambda rows: rows.assign(vec=[x[:5] for x in rows["vec"]]), "vectors have the width 5, and the model was fitted on 12"),
    ],
)
def test_rows_that_the_model_cannot_weigh_are_refused(spark, kind, change, words, model):
    rows = change(SYNTHETIC[:5])
    with pytest.raises(DataError, match=words):
        model.transform(rows if kind == "pandas" else as_spark(spark, rows))


def test_no_rows_have_no_weights(model):
    found = model.transform(SYNTHETIC[:0])
    assert len(found) == 0
    assert set(ONE_COLUMN) <= set(found.columns)
