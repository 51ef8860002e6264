"""``sa.evaluate`` on frames: one answer for both kinds and every order, and clear errors."""

import re

import numpy as np
import pandas as pd
import pytest

import synalign_spark as sa
from synalign_spark.errors import ConfigError, DataError


def frame(seed, n, shift=0.0):
    rng = np.random.default_rng(seed)
    label = rng.choice(["bad", "good"], n)
    x = rng.standard_normal((n, 4)) + shift
    x[:, 0] += 2 * (label == "good")
    return pd.DataFrame(
        {
            "text": [f"{side} film number {i} of set {seed}" for i, side in enumerate(label)],
            "label": label,
            "vec": list(x.astype(np.float32)),
        }
    )


REAL, SYNTHETIC = frame(1, 300), frame(2, 120, 0.5).assign(w=np.random.default_rng(0).gamma(2.0, size=120))
ROLES = {"label": "label", "embedding": "vec"}


def test_the_order_of_rows_changes_nothing():
    first = sa.evaluate(REAL, SYNTHETIC, "w", **ROLES)
    second = sa.evaluate(REAL.sample(frac=1.0, random_state=0), SYNTHETIC.sample(frac=1.0, random_state=1), "w", **ROLES)
    assert first.to_dict() == second.to_dict()
    assert first.sizes["real"] + first.sizes["held_out"] == 300
    assert set(first.to_pandas()["group"]) == {"fidelity", "diversity", "copying", "utility"}
    assert "coverage" in str(first)


def test_pandas_and_spark_give_the_same_figures(spark):
    vectors = [side.assign(vec=[x.tolist() for x in side["vec"]]) for side in (REAL, SYNTHETIC)]
    frames = [spark.createDataFrame(side).repartition(3) for side in vectors]
    found, wanted = sa.evaluate(*frames, "w", max_rows=200, **ROLES), sa.evaluate(REAL, SYNTHETIC, "w", max_rows=200, **ROLES)
    assert found.sizes == wanted.sizes
    assert [row["value"] for row in found.rows] == pytest.approx([row["value"] for row in wanted.rows], rel=1e-5)


def test_without_weights_each_row_counts_once_and_vectors_alone_are_enough():
    found = sa.evaluate(REAL[["vec"]], SYNTHETIC[["vec"]], embedding="vec", text=None)
    assert found["coverage", "uniform"] == found["coverage", "weighted"]
    assert found.skipped == ("models: there are no labels",)
    with pytest.raises(KeyError, match="no figure 'covrage'"):
        found["covrage", "uniform"]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (DataError, {"weights": "weight"}, "weights='weight': the synthetic frame has no such column; it has text, label, vec, w"),
        (ConfigError, {"holdout": 0}, "holdout: must be above 0"),
        (ConfigError, {"max_rows": 5}, "max_rows: must be a whole number of at least 100, got 5"),
        (ConfigError, {"modle": "x"}, "evaluate: unknown option modle='x'; did you mean model?"),
        (DataError, {"holdout": 0.01}, "at least 20 of each are needed"),
    ],
)
def test_what_cannot_be_is_said(kind, options, words):
    with pytest.raises(kind, match=re.escape(words)):
        sa.evaluate(REAL, SYNTHETIC, **{**ROLES, **options})


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(DataError, match="no synthetic row has a weight above 0"):
        sa.evaluate(REAL, SYNTHETIC.assign(w=0.0), "w", **ROLES)


def test_half_of_a_surrogate_pair_in_a_label_is_said():
    torn = SYNTHETIC.assign(label=["\ud83d", *SYNTHETIC["label"][1:]])
    with pytest.raises(DataError, match="label='label': .*half of a surrogate pair, which is no text; clean it"):
        sa.evaluate(REAL, torn, **ROLES)
