"""Outliers gain no weight, from the solve to the tables, the certificate and a fitted model."""

import numpy as np
import pandas as pd
import pytest

import synalign_spark as sa
from synalign_spark.alignment.scoring import Scorer
from synalign_spark.core.holdout import deciding_ids, held_out

SMALL = {"label": "label", "embedding": "vec", "id": "id", "n_features": 64, "certificate_rows": 100, "permutations": 99}
STRONG = SMALL | {"regularization": 0.003, "density_ratio": 1.0}
WORDS = ("warm", "dull", "sharp", "slow", "bright", "tender", "weak")
MIDDLE = np.eye(24)[0] * 3.0


def rows(n, seed, side, aside=0.0):
    """n rows of two labels about one direction, or a little aside of it, with texts of the same few words."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 24)) + MIDDLE + np.where(np.arange(n)[:, None] % 2, 2.0, -2.0) * np.eye(24)[1] + aside * np.eye(24)[2]
    return pd.DataFrame(
        {
            "id": [f"{side} {i}" for i in range(n)], "label": [("bad", "good")[i % 2] for i in range(n)],
            "text": [f"a {WORDS[rng.integers(7)]} and {WORDS[rng.integers(7)]} film number{rng.integers(30)}" for i in range(n)],
            "vec": list((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)), "kind": "usual",
        }
    )  # fmt: skip


REAL = rows(400, 1, "real")


def planted():
    """200 usual rows, copies of real ones, rows on the other side of the sphere, and names that no real row has."""
    usual, shown = rows(200, 2, "usual", aside=1.5), REAL[~held_out(0, deciding_ids(REAL["id"].tolist(), REAL["text"].tolist(), True), 0.2)]
    copies = shown[:6].assign(kind="copy", id=[f"copy {i}" for i in range(6)])
    far = rows(10, 3, "far").assign(kind="far", vec=lambda frame: [-x for x in frame["vec"]])
    names = rows(6, 4, "name").assign(kind="name", text=[f"negative_text_{i}" for i in range(6)])
    return pd.concat([usual, copies, far, names], ignore_index=True)


@pytest.fixture(scope="module")
def aligned():
    return sa.align(REAL, planted(), **STRONG)


def test_planted_outliers_and_copies_keep_their_base_weight(aligned):
    found = aligned.weights
    gain = found["weight_in_label"] / found["base_weight"]
    for kind in ("copy", "far", "name"):
        assert (gain[found["kind"] == kind] <= 1 + 1e-9).all(), kind
    assert (gain[found["capped_by"].notna()] <= 1 + 1e-9).all()
    assert set(found.loc[found["kind"] == "copy", "capped_by"].dropna()) == {"near_copy"}
    assert set(found.loc[found["kind"] == "name", "capped_by"].dropna()) == {"unknown_words"}
    assert found.loc[found["kind"] == "usual", "capped_by"].isna().mean() > 0.85
    assert (found.nlargest(10, "weight")["kind"] == "usual").all()
    assert found.groupby("label")["weight_in_label"].sum().tolist() == pytest.approx([1.0, 1.0])


def test_rows_that_read_like_another_label_gain_no_weight():
    """Swapped labels are found, and rows of theirs that lie where a label's own rows are missing do not stand for them."""
    swapped = rows(240, 2, "usual", aside=1.5)
    swapped.loc[::8, "label"] = swapped.loc[::8, "label"].map({"bad": "good", "good": "bad"})
    found = sa.align(REAL, swapped, **STRONG, label_confidence=0.1).weights
    disputed = found["repaired_label"].notna()
    assert 20 <= disputed.sum() <= 40
    gain = found["weight_in_label"] / found["base_weight"]
    assert (gain[disputed] <= 1 + 1e-9).all()
    assert (gain[~disputed] > 1).any()
    assert "disputed_label" in set(found.loc[disputed, "capped_by"]) - set(found.loc[~disputed, "capped_by"])


def test_they_would_have_gained(aligned):
    free = sa.align(REAL, planted(), **STRONG, cap_outliers=False).weights
    assert free["capped_by"].isna().all()
    gain = (free["weight_in_label"] / free["base_weight"]).groupby(free["kind"]).max()
    assert gain[["copy", "far", "name"]].min() > 1.5
    cut = aligned.weights["capped_by"].notna()
    assert (free.loc[cut, "weight_in_label"] > free.loc[cut, "base_weight"]).all(), "only what a cap lowers is named"


def test_the_certificate_is_about_the_final_weights(aligned):
    for label, of_label in aligned.weights.groupby("label"):
        row = aligned.certificate.by_label[label]
        assert row["ess"] == pytest.approx(1 / np.sum(of_label["weight_in_label"] ** 2))
        assert row["max_weight"] == pytest.approx(of_label["weight_in_label"].max())
        assert row["relative_gap"] <= 1e-6
    features = aligned.scorer.features
    cats = aligned.weights[aligned.weights["label"] == "good"]
    shaping = REAL[(REAL["label"] == "good") & ~held_out(0, deciding_ids(REAL["id"].tolist(), REAL["text"].tolist(), True), 0.2)]
    mean = cats["weight_in_label"].to_numpy() @ features(np.stack(cats["vec"].tolist()))
    want = features(np.stack(shaping["vec"].tolist())).astype(np.float64).mean(axis=0)
    assert aligned.certificate.by_label["good"]["mmd2_fit_after"] == pytest.approx(np.sum((mean - want) ** 2), rel=1e-4)


def test_a_model_that_was_kept_caps_alike(aligned):
    import pyarrow as pa

    from synalign_spark.alignment.arrow_side import synthetic_side

    again = Scorer.from_bytes(aligned.scorer.to_bytes())
    frame = planted()[::-1]
    side = synthetic_side(
        frame["id"].tolist(),
        frame["label"].tolist(),
        pa.array(frame["text"]),
        np.ones(len(frame)),
        np.stack(frame["vec"].tolist()),
        True,
        0,
    )
    found = again.weights(side).to_pandas().set_index("doc_id")
    expected = aligned.weights.set_index("id")
    np.testing.assert_allclose(found.loc[expected.index, "weight"], expected["weight"], rtol=1e-9)
    assert found.loc[expected.index, "capped_by"].isna().tolist() == expected["capped_by"].isna().tolist()


def test_the_largest_weight_allowed_holds_after_the_caps():
    found = sa.align(REAL, planted(), **STRONG, max_weight=2.5).weights
    assert (found["weight_in_label"] / found["base_weight"]).max() <= 2.5 * (1 + 1e-9)
    assert found["capped_by"].notna().any()
    base_alone = sa.align(REAL, planted(), **SMALL, max_weight=2.5).weights  # no lambda mends what the base measure itself is
    assert (base_alone["weight_in_label"] / base_alone["base_weight"]).max() <= 2.5 * (1 + 1e-8)


def test_words_that_most_rows_have_are_no_outlier():
    foreign = rows(60, 3, "fake").assign(text=lambda frame: [f"zzz{i} qqq{i}" for i in range(len(frame))])
    foreign.loc[:9, "text"] = "a film about something"
    lines = []
    found = sa.align(REAL, foreign, **STRONG, report=lines.append)
    lifted = found.scorer.rules.lifted
    assert {reason for _, reason in lifted} == {"unknown_words"}
    assert any("are unknown_words: none is capped for it" in line for line in lines)
    assert "unknown_words" not in set(found.weights["capped_by"])
    assert Scorer.from_bytes(found.scorer.to_bytes()).rules.lifted == lifted


@pytest.mark.parametrize("labelled", [True, False])
def test_rows_that_are_all_foreign_gain_no_weight(labelled):
    """Most rows lie farther from every real row than real rows from each other; which of them gets more is noise."""
    near, far = rows(20, 4, "fake"), rows(60, 3, "far")
    moved = np.stack(far["vec"]) - np.float32(1.5) * np.eye(24, dtype=np.float32)[0]
    far["vec"] = list(moved / np.linalg.norm(moved, axis=1, keepdims=True))
    lines = []
    frames = [frame if labelled else frame.drop(columns="label") for frame in (REAL, pd.concat([near, far], ignore_index=True))]
    settings = STRONG if labelled else {**STRONG, "label": None}
    found = sa.align(*frames, **settings, report=lines.append)
    assert not found.scorer.rules.lifted
    assert any("are far_from_real: these gain no weight" in line for line in lines)
    foreign = found.weights[found.weights["id"].str.startswith("far")]
    growth = foreign["weight_in_label"] / foreign["base_weight"]
    assert growth.max() <= 1 + 1e-9
    free = sa.align(*frames, **settings, cap_outliers=False).weights
    free = free[free["id"].str.startswith("far")]
    assert (free["weight_in_label"] / free["base_weight"]).max() > 1.01


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["driver_loop", "barrier", "local"])
def test_every_runtime_caps_alike(spark, aligned, runtime):
    frames = [spark.createDataFrame(frame.assign(vec=[x.tolist() for x in frame["vec"]])).repartition(3) for frame in (REAL, planted())]
    found = sa.align(*frames, **STRONG, runtime=runtime).weights.toPandas().set_index("id")
    expected = aligned.weights.set_index("id")
    np.testing.assert_allclose(found.loc[expected.index, "weight"], expected["weight"], rtol=1e-6)
    assert found.loc[expected.index, "capped_by"].fillna("").tolist() == expected["capped_by"].fillna("").tolist()
