"""``sa.align``: the same weights for pandas and Spark, duplicates as one row, and clear errors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synalign_spark as sa
from synalign_spark.core.holdout import held_out
from synalign_spark.core.keys import content_ids
from synalign_spark.errors import ConfigError
from tests.api.review_rows import REAL, SMALL, SYNTHETIC, as_spark, by_text, reviews

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def whole():
    return sa.align(REAL, SYNTHETIC, label="label", embedding="vec", **SMALL)


def test_weights_stand_beside_the_rows_as_they_were_given(whole):
    frame = whole.weights
    pd.testing.assert_frame_equal(frame[list(SYNTHETIC.columns)], SYNTHETIC)
    assert frame["weight"].sum() == pytest.approx(1.0)
    for label in ("bad", "good"):
        of_label = frame[frame["label"] == label]
        assert of_label["weight_in_label"].sum() == pytest.approx(1.0)
        assert of_label["weight"].sum() == pytest.approx((REAL["label"] == label).mean())
    first_topic = frame["text"].str.contains("dull|warm")
    assert frame.loc[first_topic, "weight"].sum() > 0.65, "real rows have eight in ten of it, synthetic ones five"


@pytest.mark.parametrize("kind", ["pandas", pytest.param("spark", marks=pytest.mark.slow)])
def test_equal_texts_under_other_ids_fall_on_one_side(spark, kind):
    """A text that is held out tells nothing, however many rows hold it: a vector of its own for each of them changes no bandwidth and no weight."""
    held = held_out(0, content_ids(REAL["text"].tolist()), 0.2)
    copied = pd.concat([REAL[held]] * 3)
    rng = np.random.default_rng(5)
    found = []
    for vectors in (copied["vec"].tolist(), list(rng.normal(size=(len(copied), 12)).astype(np.float32))):
        real = pd.concat([REAL, copied.assign(vec=vectors)], ignore_index=True)
        frames = [real.assign(id=[f"real {i}" for i in range(len(real))]), SYNTHETIC.assign(id=SYNTHETIC["text"])]
        result = sa.align(
            *(frames if kind == "pandas" else [as_spark(spark, one) for one in frames]), label="label", embedding="vec", id="id", **SMALL
        )
        found.append((result.certificate.bandwidths, by_text(result.weights if kind == "pandas" else result.weights.toPandas(), "weight")))
        assert result.certificate.n_real_fit + result.certificate.n_real_holdout == len(real)
        assert result.certificate.n_real_holdout == 4 * held.sum()
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["pandas", pytest.param("spark", marks=pytest.mark.slow)])
def test_what_held_out_rows_say_changes_no_bandwidth_and_no_weight(spark, kind):
    real = REAL.assign(id=[f"real {i}" for i in range(len(REAL))])
    held = held_out(0, content_ids(real["text"].tolist()), 0.2)
    another = next(text for text in map("another {}".format, range(99)) if held_out(0, content_ids([text]), 0.2)[0])
    other = np.float32([0.6, 0.8, *[0.0] * 10])
    changed = real.assign(
        text=real["text"].where(~held, another), vec=[other if out else x for x, out in zip(real["vec"], held, strict=True)]
    )
    found = []
    for frame in (real, changed):
        frames = [frame, SYNTHETIC.assign(id=SYNTHETIC["text"])]
        result = sa.align(
            *(frames if kind == "pandas" else [as_spark(spark, one) for one in frames]), label="label", embedding="vec", id="id", **SMALL
        )
        found.append((result.certificate, by_text(result.weights if kind == "pandas" else result.weights.toPandas(), "sample_weight")))
    (before, weights), (after, again) = found
    assert after.bandwidths == before.bandwidths
    assert again == weights
    assert before.mmd2_after > 0
    assert after.mmd2_after is None, "one vector is no distribution: held-out rows are what the certificate looks at"


@pytest.mark.parametrize(("real", "synthetic"), [(1e-9, 1.0), (1.0, 1e-9), (330.0, 1e12), (1e-300, 1e300)])
def test_weights_of_rows_count_by_their_ratios_alone(real, synthetic):
    sides = [frame.assign(w=np.linspace(0.5, 1.5, len(frame))) for frame in (REAL, SYNTHETIC)]
    plain = sa.align(*sides, label="label", embedding="vec", weight="w", **SMALL)
    scaled = [frame.assign(w=frame["w"] * scale) for frame, scale in zip(sides, (real, synthetic), strict=True)]
    found = sa.align(*scaled, label="label", embedding="vec", weight="w", **SMALL)
    assert found.weights["weight"].to_numpy() == pytest.approx(plain.weights["weight"].to_numpy(), rel=1e-3)
    assert found.certificate.overall["ess"] == pytest.approx(plain.certificate.overall["ess"], rel=1e-3)


def test_sample_weights_have_mean_one_beside_real_rows():
    whole = sa.align(REAL, SYNTHETIC, label="label", embedding="vec", mixing_weight=70.0, **SMALL)
    real, synthetic = whole.real["sample_weight"], whole.weights["sample_weight"]
    assert (real.sum() + synthetic.sum()) / (len(REAL) + len(SYNTHETIC)) == pytest.approx(1.0)
    assert synthetic.sum() / real.mean() == pytest.approx(whole.certificate.mixing_weight)
    pd.testing.assert_frame_equal(whole.real[list(REAL.columns)], REAL)


@pytest.mark.parametrize(
    "options", [{"label_shares": {"good": 1.0}}, {"mixing_weight": 0}, {"label_shares": {"good": 1.0}, "mixing_weight": 0}]
)
def test_rows_that_are_not_used_are_outside_the_mean(options):
    whole = sa.align(REAL, SYNTHETIC, label="label", embedding="vec", **{**SMALL, "mixing_weight": 70.0, **options})
    every = pd.concat([whole.real.assign(made=False), whole.weights.assign(made=True)])
    used = (every["label"] == "good") | ("label_shares" not in options)
    used &= ~every["made"] | (options.get("mixing_weight") != 0)
    assert every.loc[used, "sample_weight"].mean() == pytest.approx(1.0)
    assert (every.loc[~used, "sample_weight"] == 0).all()


def shares_of(result):
    """Share of each label in the sample weights of both sides."""
    frames = [frame if isinstance(frame, pd.DataFrame) else frame.toPandas() for frame in (result.real, result.weights)]
    summed = pd.concat([frame[["label", "sample_weight"]] for frame in frames]).groupby("label")["sample_weight"].sum()
    return (summed / summed.sum()).to_dict()


ASKED = {"good": 0.9, "bad": 0.1}


@pytest.mark.parametrize(
    ("kind", "options"),
    [("pandas", {}), ("pandas", {"per_label": False}), ("pandas", {"mixing_weight": 0}), ("pandas", {"label_shares": ASKED}),
     pytest.param("spark", {}, marks=pytest.mark.slow), pytest.param("spark", {"per_label": False}, marks=pytest.mark.slow)],
)  # fmt: skip
def test_label_shares_survive_a_label_without_synthetic_rows(spark, kind, options):
    real = pd.concat([REAL, REAL[REAL["label"] == "bad"][:100].assign(text=lambda rows: rows["text"] + " again")], ignore_index=True)
    real = real.assign(w=np.random.default_rng(1).gamma(2.0, size=len(real)))
    synthetic = SYNTHETIC if options.get("label_shares") else SYNTHETIC[SYNTHETIC["label"] == "good"]
    frames = (real, synthetic) if kind == "pandas" else (as_spark(spark, real), as_spark(spark, synthetic))
    found = sa.align(*frames, label="label", embedding="vec", weight="w", **SMALL, **options)
    weight = real.groupby("label")["w"].sum()
    assert shares_of(found) == pytest.approx(options.get("label_shares") or (weight / weight.sum()).to_dict())


def test_a_label_of_five_rows_among_thousands_keeps_its_share():
    """The rows that candidates are judged on are drawn from more than there are: some of each label are among them."""
    many, few = reviews(6_000, 3), reviews(10, 4)
    real = pd.concat([many[many["label"] == "bad"], few[few["label"] == "good"]], ignore_index=True)
    found = sa.align(real, SYNTHETIC, label="label", embedding="vec", **SMALL)
    assert shares_of(found) == pytest.approx({"bad": 3_000 / 3_005, "good": 5 / 3_005})


def test_a_share_that_cannot_be_met_stops_the_call():
    only = SYNTHETIC[SYNTHETIC["label"] == "good"]
    with pytest.raises(ConfigError, match=r"align.label_shares cannot be met for label bad \(0.1: no synthetic rows\); leave it out"):
        sa.align(REAL, only, label="label", embedding="vec", label_shares=ASKED, **SMALL)
    found = sa.align(REAL, only, label="label", embedding="vec", label_shares={"good": 1.0, "bad": 0.0}, **SMALL)
    assert shares_of(found) == pytest.approx({"good": 1.0, "bad": 0.0})


def test_the_certificate_speaks_and_has_every_figure(whole):
    certificate = whole.certificate
    assert str(certificate).startswith("all rows: ")
    assert certificate.mmd2_after < certificate.mmd2_before
    assert certificate.by_label["good"]["n_synthetic"] == 120
    assert json.loads(json.dumps(certificate.to_dict()))["overall"]["verdict"] == certificate.verdict
    with pytest.raises(AttributeError, match="no figure 'essay'"):
        _ = certificate.essay


@pytest.mark.parametrize("settings", [{}, pytest.param({"regularization": 0.05}, marks=pytest.mark.slow)])
def test_pandas_and_spark_give_the_same_weights(spark, settings):
    options = {"label": "label", "embedding": "vec", **SMALL, **settings}
    in_pandas = sa.align(REAL, SYNTHETIC, **options)
    in_spark = sa.align(as_spark(spark, REAL, 7), as_spark(spark, SYNTHETIC), **options)
    found = in_spark.weights.toPandas()
    assert [name for name in found.columns if name not in SYNTHETIC] == [
        name for name in in_pandas.weights.columns if name not in SYNTHETIC
    ]
    for column in ("weight", "sample_weight", "label_confidence", "log_density_ratio", "log_embedding_ratio", "base_weight"):
        expected, got = by_text(in_pandas.weights, column), by_text(found, column)
        np.testing.assert_allclose([got[key] for key in expected], list(expected.values()), rtol=1e-6)
    assert in_spark.certificate.verdict == in_pandas.certificate.verdict
    expected, got = by_text(in_pandas.real, "sample_weight"), by_text(in_spark.real.toPandas(), "sample_weight")
    np.testing.assert_allclose([got[key] for key in expected], list(expected.values()), rtol=1e-6)


def test_the_order_of_rows_changes_nothing(whole):
    again = sa.align(REAL[::-1], SYNTHETIC.sample(frac=1, random_state=3), label="label", embedding="vec", **SMALL)
    expected, got = by_text(whole.weights), by_text(again.weights)
    assert got == expected
    assert again.certificate.verdict == whole.certificate.verdict


@pytest.mark.parametrize("kind", ["pandas", "spark"])
def test_equal_rows_share_the_weight_of_one(spark, kind):
    twice = pd.concat([SYNTHETIC, SYNTHETIC[:10]], ignore_index=True).assign(w=[3.0] * 10 + [1.0] * 240)
    single = SYNTHETIC.assign(w=[4.0] * 10 + [1.0] * 230)
    options = {"label": "label", "embedding": "vec", "weight": "w", "regularization": 0.1, **SMALL}
    expected = sa.align(REAL, single, **options).weights
    frames = (REAL, twice) if kind == "pandas" else (as_spark(spark, REAL), as_spark(spark, twice))
    found = sa.align(*frames, **options).weights
    found = found if kind == "pandas" else found.toPandas()
    assert len(found) == 250
    summed = found.groupby("text")["weight"].sum()
    np.testing.assert_allclose(summed[expected["text"]], expected["weight"], rtol=1e-6)
    pair = found[found["text"] == SYNTHETIC["text"][0]].sort_values("w")
    assert pair["weight"].tolist()[1] == pytest.approx(3 * pair["weight"].tolist()[0])


@pytest.mark.parametrize("kind", ["pandas", pytest.param("spark", marks=pytest.mark.slow)])
def test_vectors_alone_are_enough(spark, kind):
    options = {"text": None, "embedding": "vec", "label": "label", **SMALL}
    real, synthetic = REAL[["vec", "label"]], SYNTHETIC[["vec", "label"]]
    expected = sa.align(real, synthetic, **options)
    assert expected.weights["log_density_ratio"].isna().all()
    assert expected.weights["label_confidence"].notna().all()
    if kind == "spark":
        found = sa.align(as_spark(spark, real), as_spark(spark, synthetic), **options).weights.toPandas()
        np.testing.assert_allclose(np.sort(found["weight"]), np.sort(expected.weights["weight"]), rtol=1e-6)
        return
    assert sa.align(real, synthetic, embedding="vec", label="label", **SMALL).weights.equals(expected.weights), (
        "no text column: as text=None"
    )


def test_texts_are_embedded_where_there_are_no_vectors():
    found = sa.align(REAL[["text"]][:60], SYNTHETIC[["text"]][:40], **SMALL)
    assert found.weights["weight"].sum() == pytest.approx(1.0)
    assert found.certificate.rule == "mmd_rule"
    assert (found.real["sample_weight"] == 1.0).all()


def test_a_pandas_call_starts_no_java():
    code = """
import sys
import numpy as np, pandas as pd
import synalign_spark as sa
assert not {"pyspark", "torch", "ray", "sklearn", "pydantic"} & set(sys.modules), sorted(sys.modules)
x = np.random.default_rng(0).standard_normal((400, 8))
frame = pd.DataFrame({"vec": list(x)})
print(sa.align(frame[:200], frame[200:], embedding="vec", n_features=64, permutations=99).weights["weight"].sum())
assert not {"pyspark", "torch", "sentence_transformers"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(1.0)


def test_the_import_takes_no_time():
    """Under 0.3 s, as Python's own clock of imports has it; the fastest of three, on a machine that does other things too."""
    code = [sys.executable, "-X", "importtime", "-c", "import synalign_spark"]
    runs = [subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True).stderr for _ in range(3)]
    assert min(int(run.splitlines()[-1].split("|")[1]) for run in runs) < 300_000, "microseconds"


@pytest.mark.parametrize(
    ("kind", "factor"), [("pandas", 1e6), ("pandas", 1e-6), ("spark", 1e6), pytest.param("spark", 1e-6, marks=pytest.mark.slow)]
)
def test_only_the_ratios_of_prior_weights_count(spark, kind, factor):
    prior = np.random.default_rng(4).integers(1, 5, len(REAL)).astype(float)
    options = {"label": "label", "embedding": "vec", "weight": "prior", "regularization": 0.1, **SMALL}
    expected = sa.align(REAL.assign(prior=prior), SYNTHETIC, **options)
    scaled = REAL.assign(prior=prior * factor)
    found = (
        sa.align(scaled, SYNTHETIC, **options)
        if kind == "pandas"
        else sa.align(as_spark(spark, scaled), as_spark(spark, SYNTHETIC), **options)
    )
    got = by_text(found.weights if kind == "pandas" else found.weights.toPandas())
    np.testing.assert_allclose([got[key] for key in expected.weights["text"]], expected.weights["weight"], rtol=1e-6)
    assert found.certificate.n_real_fit == expected.certificate.n_real_fit
    of_real = by_text(found.real if kind == "pandas" else found.real.toPandas(), "sample_weight")
    assert of_real == pytest.approx(by_text(expected.real, "sample_weight"))


@pytest.mark.parametrize("kind", ["pandas", pytest.param("spark", marks=pytest.mark.slow)])
def test_of_equal_rows_with_other_vectors_the_order_does_not_show(spark, kind):
    twice = pd.concat([SYNTHETIC[:60], SYNTHETIC[:20].assign(vec=SYNTHETIC["vec"][60:80].tolist())], ignore_index=True)
    options = {"label": "label", "embedding": "vec", "regularization": 0.1, **SMALL}
    expected = sa.align(REAL, twice, **options).weights.groupby("text")["weight"].sum()
    again = (
        sa.align(REAL, twice[::-1], **options).weights
        if kind == "pandas"
        else sa.align(as_spark(spark, REAL), as_spark(spark, twice), **options).weights
    )
    found = (again if kind == "pandas" else again.toPandas()).groupby("text")["weight"].sum()
    np.testing.assert_allclose(found[expected.index], expected, rtol=1e-6)


NUMBERS = ({"bad": 1.0, "good": 2.0}, {"1", "2"})
BOOLEANS = ({"bad": False, "good": True}, {"false", "true"})
INTEGERS = ({"bad": 7, "good": 8}, {"7", "8"})


@pytest.mark.parametrize(
    ("labels", "names", "texts"),
    [
        (*NUMBERS, True),
        *(
            pytest.param(*classes, texts, marks=pytest.mark.slow)
            for classes, texts in ((NUMBERS, False), (BOOLEANS, True), (BOOLEANS, False), (INTEGERS, True), (INTEGERS, False))
        ),
    ],
)
def test_numbers_and_booleans_are_classes_in_both_kinds(spark, labels, names, texts):
    real, synthetic = (
        frame.assign(label=frame["label"].map(labels)).drop(columns=[] if texts else ["text"]) for frame in (REAL, SYNTHETIC)
    )
    in_pandas = sa.align(real, synthetic, label="label", embedding="vec", regularization=0.1, **SMALL)
    spark_result = sa.align(as_spark(spark, real), as_spark(spark, synthetic), label="label", embedding="vec", regularization=0.1, **SMALL)
    assert set(in_pandas.certificate.by_label) == set(spark_result.certificate.by_label) == names
    np.testing.assert_allclose(np.sort(spark_result.weights.toPandas()["weight"]), np.sort(in_pandas.weights["weight"]), rtol=1e-6)


def test_names_with_dots_vectors_of_spark_ml_and_names_that_we_use(spark):
    from pyspark.ml.functions import array_to_vector

    rename = {"text": "the.text", "label": "a label", "vec": "x.y"}
    frames = [as_spark(spark, frame.assign(prior=2.0, grp="mine", split=1)) for frame in (REAL, SYNTHETIC)]
    frames = [frame.withColumn("vec", array_to_vector("vec")).withColumnsRenamed(rename) for frame in frames]
    found = sa.align(*frames, text="the.text", label="a label", embedding="x.y", weight="prior", regularization=0.1, **SMALL)
    expected = sa.align(REAL, SYNTHETIC, label="label", embedding="vec", regularization=0.1, **SMALL)
    got = found.weights.toPandas()
    assert {"prior", "grp", "split"} <= set(got.columns)
    by_name = dict(zip(got["the.text"], got["weight"], strict=True))
    np.testing.assert_allclose([by_name[key] for key in SYNTHETIC["text"]], expected.weights["weight"], rtol=1e-6)
    alone = sa.align(*(frame.select("`x.y`") for frame in frames), text=None, embedding="x.y", **SMALL)
    assert alone.weights.count() == len(SYNTHETIC)


def test_what_is_persisted_is_given_back(spark):
    """All but the weights, which are the caller's; after an error everything."""
    frames, options = (as_spark(spark, REAL), as_spark(spark, SYNTHETIC)), {"label": "label", "embedding": "vec", **SMALL}
    spark.catalog.clearCache()
    held = spark.sparkContext._jsc.sc().getPersistentRDDs
    before = held().size()
    found = sa.align(*frames, regularization=0.1, **options)
    assert held().size() == before + 1
    found.weights.unpersist()
    with pytest.raises(ConfigError, match="cannot be met for label ugly"):
        sa.align(*frames, label_shares={"ugly": 1.0}, **options)
    assert held().size() == before
