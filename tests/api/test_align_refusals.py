"""What ``sa.align`` refuses, and what it counts as lost, with the field and the fix."""

import datetime
import re
from decimal import Decimal

import numpy as np
import pytest

import synalign_spark as sa
from synalign_spark.api.frames import frame_kind
from synalign_spark.errors import ConfigError, DataError
from tests.api.review_rows import REAL, SMALL, SYNTHETIC, as_spark


@pytest.mark.parametrize("kind", ["pandas", "spark"])
@pytest.mark.parametrize(
    ("prior", "words"),
    [([-1.0, 1.0], "weight='w': 1 of 50 synthetic rows have a negative or infinite weight"), ([float("inf"), 1.0], "1 of 50 synthetic"),
     ([1e-320, 1e-321], "weight='w': the largest of the synthetic rows is 1e-320; only ratios count, so multiply all")],
)  # fmt: skip
def test_prior_weights_that_are_none_are_refused(spark, kind, prior, words):
    rows = SYNTHETIC[:50].assign(w=prior[:1] + prior[1:] * 49)
    frames = (REAL, rows) if kind == "pandas" else (as_spark(spark, REAL), as_spark(spark, rows))
    with pytest.raises(DataError, match=re.escape(words)):
        sa.align(*frames, label="label", embedding="vec", weight="w", **SMALL)


@pytest.mark.parametrize(("vector", "said"), [(["1", "2"], "lists of strings and not of numbers"), ([True, False], "lists of bools")])
def test_vectors_of_words_or_truths_are_no_vectors(vector, said):
    with pytest.raises(DataError, match=f"embedding='vec': holds {said}"):
        sa.align(REAL, SYNTHETIC.assign(vec=[vector] * len(SYNTHETIC)), embedding="vec", **SMALL)


@pytest.mark.parametrize("kind", ["pandas", "spark"])
@pytest.mark.parametrize("call", [sa.align, sa.evaluate, sa.select])
def test_vectors_of_zeros_are_refused_in_both_kinds_of_frames(spark, kind, call):
    rows = SYNTHETIC[:20].assign(vec=[np.full(12, -0.0, dtype=np.float32)] * 2 + SYNTHETIC["vec"].tolist()[2:20])
    frames = [frame if kind == "pandas" else as_spark(spark, frame) for frame in (REAL, rows)]
    options = {sa.align: SMALL, sa.evaluate: {}, sa.select: {"n": 3, "holdout": 0}}[call]
    with pytest.raises(
        DataError, match="embedding='vec': 2 of 20 rows have a vector of zeros, which has no direction; compute them again, or"
    ):
        call(*(frames[1:] if call is sa.select else frames), embedding="vec", **options)


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, None, "x"])
def test_a_seed_that_not_every_engine_takes_is_refused(seed):
    for call in (lambda: sa.align(REAL, SYNTHETIC, embedding="vec", seed=seed), lambda: sa.select(REAL, n=3, embedding="vec", seed=seed)):
        with pytest.raises(ConfigError, match="seed: "):
            call()


def test_bad_vectors_and_columns_of_one_name_are_said_by_spark_too(spark):
    rows = as_spark(spark, SYNTHETIC[:20])
    with pytest.raises(DataError, match="1 of 20 rows are null|vectors of width"):
        sa.align(
            as_spark(spark, REAL),
            rows.selectExpr("CASE WHEN text LIKE '% 3' THEN array(1f) ELSE vec END AS vec"),
            text=None,
            embedding="vec",
            **SMALL,
        )
    with pytest.raises(DataError, match="the synthetic frame has more than one column label"):
        sa.align(as_spark(spark, REAL), rows.selectExpr("*", "label"), label="label", embedding="vec", **SMALL)
    with pytest.raises(DataError, match="_synalign_id, a name that is used here"):
        sa.align(as_spark(spark, REAL), rows.withColumnRenamed("label", "_synalign_id"), embedding="vec", **SMALL)
    with pytest.raises(DataError, match="the synthetic frame has a column Weight, a name that the result's own columns have"):
        sa.align(as_spark(spark, REAL), rows.selectExpr("*", "1 AS Weight"), embedding="vec", **SMALL)


@pytest.mark.parametrize(
    ("side", "name"),
    [("real", "sample_weight"), *(("synthetic", name) for name in ("weight", "sample_weight", "base_weight", "capped_by"))],
)
def test_no_column_of_the_user_is_replaced(side, name):
    frames = {"real": REAL[:50], "synthetic": SYNTHETIC[:50]}
    frames[side] = frames[side].assign(**{name: 7.0})
    with pytest.raises(
        DataError, match=f"the {side} frame has a column {name}, a name that the result's own columns have; rename or drop it"
    ):
        sa.align(frames["real"], frames["synthetic"], label="label", embedding="vec", weight=name, **SMALL)


def test_labels_that_may_be_one_are_said():
    names = {"bad": "a", "good": "A "}
    frames = [frame.assign(label=frame["label"].map(names)) for frame in (REAL, SYNTHETIC)]
    verdict = sa.align(*frames, label="label", embedding="vec", mixing_weight=10, **SMALL).certificate.verdict
    assert "labels 'A ', 'a' are matched as different ones: make them one if they are" in verdict
    mixed = REAL.assign(label=[1, "1"] * (len(REAL) // 2))
    with pytest.raises(DataError, match="label='label': '1' stands there as a number, or a boolean, and as text; cast the column"):
        sa.align(mixed, mixed, label="label", embedding="vec", **SMALL)


@pytest.mark.parametrize("empty", ["real", "synthetic"])
def test_an_empty_side_is_said_without_a_model(empty):
    frames = {"real": REAL, "synthetic": SYNTHETIC} | {empty: REAL[:0]}
    with pytest.raises(DataError, match=f"{empty}: the frame has no rows"):
        sa.align(frames["real"], frames["synthetic"], label="label", embedding="vec", **SMALL)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"label": "lable"}, DataError, "label='lable': the real frame has no such column; did you mean 'label'?"),
        ({"embedding": None, "text": None}, DataError, "text and embedding are both None"),
        ({"regularisation": 1.0}, ConfigError, "did you mean regularization?"),
        ({"holdout": 0.9}, ConfigError, "align.holdout"),
        ({"weight": "w"}, DataError, "weight='w': the real or synthetic frame has no such column"),
        ({"runtime": "barrier"}, ConfigError, "align.runtime is barrier, which needs Spark DataFrames"),
        ({"text": None, "density_ratio": 1.0}, ConfigError, "align.density_ratio is 1, but it reads words"),
        (
            {"bandwidth": 1e9},
            ConfigError,
            "align.bandwidth is 1e+09 (bandwidth_scales [1.0, 0.5]), which makes a bandwidth of 1e+09, but real rows are 1.4",
        ),
        ({"bandwidth": 1e-300}, ConfigError, "keep within a factor of 100 of that"),
        ({"bandwidth_scales": [1.0, 1e-3]}, ConfigError, "align.bandwidth_scales is [1.0, 0.001], which makes a bandwidth of 0.0014"),
    ],
)
def test_what_is_wrong_is_named_with_the_fix(change, error, words):
    with pytest.raises(error, match=re.escape(words)):
        sa.align(REAL[:50], SYNTHETIC[:50], **{"label": "label", "embedding": "vec", **SMALL, **change})


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_vectors_of_a_length_that_sums_do_not_bear_are_refused(factor):
    frames = [frame.assign(vec=[x * np.float32(factor) for x in frame["vec"]]) for frame in (REAL, SYNTHETIC)]
    with pytest.raises(DataError, match="the embeddings of real rows are .* apart in the median; divide all vectors"):
        sa.align(*frames, label="label", embedding="vec", **SMALL)


@pytest.mark.parametrize("heavy", [1e6, 1e9])
def test_one_real_row_of_far_more_weight_than_the_others_is_one_row(heavy):
    """The squares of the others' weights are below a step of the sums."""
    found = sa.align(REAL.assign(w=[heavy, *[1.0] * (len(REAL) - 1)]), SYNTHETIC, label="label", embedding="vec", weight="w", **SMALL)
    assert np.isfinite(found.weights["sample_weight"]).all()
    assert found.weights["weight"].sum() == pytest.approx(1.0)
    assert found.certificate.by_label["good"]["n_real_fit"] + found.certificate.by_label["good"]["n_real_holdout"] == 250


@pytest.mark.parametrize("kind", ["pandas", "spark"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": ["", *SYNTHETIC["text"][1:50]]}, "text='text': 1 of 50 synthetic rows hold no text"),
        ({"label": [None, *SYNTHETIC["label"][1:50]]}, "label='label': 1 of 50 synthetic rows have no label"),
        ({"label": ["ugly", *SYNTHETIC["label"][1:50]]}, "synthetic rows have labels without any real row: ugly"),
        ({"key": ["a", "a", *map(str, range(48))]}, "id='key': 1 of 50 synthetic rows have no id, or that of another row"),
    ],
)
def test_rows_that_cannot_be_used_are_counted(spark, kind, change, words):
    real, synthetic = REAL[:80].assign(key=range(80)), SYNTHETIC[:50].assign(key=range(50)).assign(**change)
    frames = (
        (real, synthetic)
        if kind == "pandas"
        else (as_spark(spark, real.astype({"key": str})), as_spark(spark, synthetic.astype({"key": str})))
    )
    options = {"label": "label", "embedding": "vec", **SMALL} | ({"id": "key"} if "key" in change else {})
    with pytest.raises(DataError) as caught:
        sa.align(*frames, **options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("pandas.core.frame", "pandas"),
        ("pandas", "pandas"),
        ("pyspark.sql.classic.dataframe", "spark"),
        ("pyspark.sql.connect.dataframe", "spark"),
    ],
)
def test_frames_are_told_by_where_their_class_says_it_is(module, kind):
    """Release 3 of pandas says "pandas"."""
    frame = type("DataFrame", (), {"__module__": module})()
    assert frame_kind(frame, "real") == kind


@pytest.mark.parametrize("module", ["pandasql", "pyspark.pandas.frame", "polars.dataframe.frame"])
def test_frames_of_other_libraries_are_refused(module):
    with pytest.raises(DataError, match=f"real: must be a pandas or a Spark DataFrame, got {module}.DataFrame"):
        frame_kind(type("DataFrame", (), {"__module__": module})(), "real")


def test_frames_of_two_kinds_or_none_are_refused(spark):
    with pytest.raises(DataError, match="synthetic: is a spark DataFrame and real a pandas one"):
        sa.align(REAL, as_spark(spark, SYNTHETIC[:5]), embedding="vec")
    with pytest.raises(DataError, match="real: must be a pandas or a Spark DataFrame, got builtins.list"):
        sa.align([1], SYNTHETIC, embedding="vec")


@pytest.mark.parametrize("label", [["a"], ("a",), {"a": 1}, b"a", datetime.date(2026, 1, 1), Decimal("0.5")])
def test_what_is_no_class_is_never_made_one_by_its_text(label):
    odd = REAL.assign(label=[label] * len(REAL))
    for call in (
        lambda: sa.align(odd, odd, label="label", embedding="vec", **SMALL),
        lambda: sa.select(odd, label="label", n=3, embedding="vec"),
    ):
        with pytest.raises(DataError, match="label='label': holds .*, which is no class"):
            call()


def test_columns_of_spark_that_are_no_class_and_no_text_are_refused_by_type(spark):
    real, synthetic = as_spark(spark, REAL[:50]), as_spark(spark, SYNTHETIC[:50])
    for label, kind in (("array(label)", "array<string>"), ("binary(label)", "binary"), ("current_date()", "date")):
        rows = real.selectExpr("text", "vec", f"{label} AS label")
        with pytest.raises(DataError, match=f"label='label': is {kind}, which is no class"):
            sa.align(rows, synthetic, label="label", embedding="vec", **SMALL)
    rows = real.selectExpr("array(text) AS text", "vec", "label")
    for call in (lambda: sa.align(rows, synthetic, embedding="vec", **SMALL), lambda: sa.select(rows, n=3, embedding="vec")):
        with pytest.raises(DataError, match="text='text': is array<string>, not text"):
            call()
