"""The samples behind the certificate: what is drawn, how it counts, and what is left out. No Spark."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import synalign_spark as sa
from synalign_spark.alignment.checks import Drawn, _synthetic
from synalign_spark.core.holdout import held_out
from synalign_spark.core.keys import content_ids
from synalign_spark.udfs.arrow import from_matrix

OPTIONS = {"embedding": "vec", "text": None, "id": "id", "n_features": 64, "regularization": 0.02, "bandwidth": 2.5}


class Outcome:
    """As much of ``tables.Outcome`` as the samples ask for."""

    def __init__(self, largest_before, largest_after):
        before, after = type("M", (), {"max_weight": largest_before}), type("M", (), {"max_weight": largest_after})
        self.end = type("End", (), {"before": before, "solution": type("S", (), {"point": type("P", (), {"moments": after})})})


def drawn_table(u, w, q):
    n = len(u)
    columns = {
        "grp": ["=a"] * n,
        "doc_id": [f"{i:04}" for i in range(n)],
        "u": u,
        "u_whole": np.linspace(0.9, 0.1, n),
        "base_weight": q,
        "weight": w,
    }
    return pa.table({**columns, "embedding": from_matrix(np.zeros((n, 2), dtype=np.float32))})


def test_every_row_is_tested_once_at_most_and_in_proportion_to_its_weight():
    """Over many draws: a row is drawn for the test with the probability m w, and never without being in the sample."""
    rng, n, draws = np.random.default_rng(0), 50, 30.0
    w, q = rng.dirichlet(np.ones(n)), np.full(n, 1 / n)
    tested, counted, times = np.zeros(n), np.zeros(n), 3_000
    for _ in range(times):
        u = rng.random(n)
        here = np.flatnonzero(u < draws * (w + q) / 2)
        sample = _synthetic(drawn_table(u[here], w[here], q[here]), {"=a": Outcome(q.max(), w.max())}, draws)
        places = here[::-1]  # rising u_whole
        tested[places] += sample.in_weighted
        counted[places] += sample.weight
        assert len(sample.x) == len(here)
    m = min(draws / 2, 1 / w.max())
    np.testing.assert_allclose(tested / times, m * w, atol=0.04)
    np.testing.assert_allclose(counted / times, w, atol=0.1 * w.max() + 0.006)


def test_the_first_rows_of_a_group():
    rows = Drawn(
        np.zeros((5, 1), np.float32), np.array(["a", "b", "a", "a", "b"], dtype=object), *[np.ones(5)] * 2, *[np.ones(5, bool)] * 2
    )
    assert rows.first("a", 2).tolist() == [True, False, True, False, False]
    assert rows.first("b", 9).tolist() == [False, True, False, False, True]


def frame(n, centre, seed, label="a", **columns):
    x = np.random.default_rng(seed).standard_normal((n, 4)) + centre
    return pd.DataFrame({"id": [f"{seed}-{i}" for i in range(n)], "vec": x.tolist(), "label": label, **columns})


def test_weights_of_the_real_rows_count_in_the_certificate():
    """Half of the real rows lie elsewhere, and weigh nothing."""
    real = pd.concat([frame(300, 0.0, 1, prior=1.0), frame(300, 4.0, 2, prior=0.0)])
    synthetic = frame(300, 0.0, 3)
    apart = sa.align(real.drop(columns="prior"), synthetic, **OPTIONS).certificate
    together = sa.align(real, synthetic, weight="prior", **OPTIONS).certificate
    assert apart.mmd2_before_low > 0.05
    assert apart.p_value_before < 0.05
    assert together.mmd2_before_low == 0.0
    assert together.p_value_before > 0.05


def test_the_label_mix_of_the_synthetic_rows_is_no_distance():
    """Rows of two labels far apart, three to one on one side and one to three on the other, alike within labels."""
    real = pd.concat([frame(450, 0.0, 11, "a"), frame(150, 3.0, 12, "b")])
    synthetic = pd.concat([frame(150, 0.0, 13, "a"), frame(450, 3.0, 14, "b")])
    found = sa.align(real, synthetic, label="label", **OPTIONS).certificate
    assert found.mmd2_before_low == 0.0
    assert found.p_value_before > 0.05
    assert found.closed_share is None
    again = sa.align(real, synthetic, label="label", label_shares={"a": 0.1, "b": 0.9}, **OPTIONS).certificate
    assert again.mmd2_before_low == 0.0


def test_a_label_with_too_few_real_rows_is_left_out_and_named():
    real = pd.concat([frame(300, 0.0, 1, "a"), frame(8, 3.0, 2, "rare")])
    synthetic = pd.concat([frame(200, 0.3, 3, "a"), frame(100, 3.0, 4, "rare")])
    found = sa.align(real, synthetic, label="label", **OPTIONS).certificate
    assert "label rare not compared" in found.verdict
    assert found.by_label["rare"]["mmd2_after"] is None
    assert found.mmd2_before == pytest.approx(found.by_label["a"]["mmd2_before"], rel=0.2)


def test_one_row_with_all_the_weight_is_no_distribution():
    synthetic = frame(50, 0.0, 3, prior=[1e3] + [1.0] * 49)
    found = sa.align(frame(300, 0.0, 1, prior=1.0), synthetic, weight="prior", **OPTIONS).certificate
    assert (found.mmd2_after, found.p_value_after) == (None, None)
    assert "no test" in found.verdict


def test_vectors_that_are_nearly_constant_are_told_and_not_tested():
    real, synthetic = (
        rows.assign(vec=[[1.0 + 1e-6 * v for v in row] for row in rows.vec]) for rows in (frame(200, 0.0, 1), frame(100, 0.0, 2))
    )
    found = sa.align(real, synthetic, **{**OPTIONS, "bandwidth": "median"}).certificate
    assert (found.p_value_before, found.p_value_after, found.mmd2_before) == (None, None, None)
    assert found.verdict.startswith("do not use these rows yet: the vectors of its rows are nearly all the same")


def few_vectors(n, different, seed, labels="ab"):
    """Rows with texts of their own and so many different vectors."""
    vectors = np.random.default_rng(seed).normal(size=(different, 8)).astype(np.float32)
    rows = range(n)
    return pd.DataFrame(
        {
            "text": [f"row {i} of {seed}" for i in rows],
            "vec": [vectors[i % different] for i in rows],
            "label": [labels[i % len(labels)] for i in rows],
        }
    )


@pytest.mark.parametrize(
    ("real", "synthetic", "words"),
    [
        (few_vectors(200, 200, 1), few_vectors(150, 1, 2), "nearly all the same"),
        (few_vectors(200, 1, 1), few_vectors(150, 150, 2), "nearly all the same"),
        (few_vectors(200, 1, 1), few_vectors(150, 1, 1), "nearly all the same"),
        (few_vectors(200, 200, 1), few_vectors(150, 4, 2), "synthetic rows that were looked at have 4 different vectors"),
        (few_vectors(200, 4, 1), few_vectors(150, 150, 2), "real rows that were looked at have 4 different vectors"),
        (few_vectors(200, 4, 1), few_vectors(150, 4, 1), "have 4 different vectors"),
    ],
)
@pytest.mark.parametrize("label", ["label", None])
def test_degenerate_vectors_get_no_certificate_and_their_rows_keep_their_weights(real, synthetic, words, label):
    found = sa.align(real, synthetic, embedding="vec", label=label, n_features=64, permutations=99)
    assert found.certificate.verdict.startswith("do not use these rows yet: ")
    assert words in found.certificate.verdict
    assert "p = " not in found.certificate.verdict
    assert (found.certificate.mmd2_before, found.certificate.p_value_after) == (None, None)
    np.testing.assert_allclose(found.weights["weight"], 1 / 150, rtol=1e-6)
    assert found.certificate.mixing_weight == 0, "what is not to be used yet counts nothing"
    assert (found.weights["sample_weight"] == 0).all()
    assert "each sample_weight of the synthetic rows is 0" in found.certificate.verdict
    given = sa.align(real, synthetic, embedding="vec", label=label, n_features=64, permutations=99, mixing_weight=20)
    assert given.certificate.mixing_weight == 20, "but as configured"
    assert (given.weights["sample_weight"] > 0).all()


def test_held_out_rows_of_one_vector_make_no_weight_zero():
    """They decide nothing: what is lost is distance and test."""
    real, synthetic = few_vectors(200, 200, 1), few_vectors(150, 150, 2)
    held = held_out(0, content_ids(real["text"].tolist(), real["label"].tolist()), 0.2)
    alike = real.assign(vec=[real["vec"][0] if out else x for out, x in zip(held, real["vec"], strict=True)])
    options = {"embedding": "vec", "label": "label", "n_features": 64, "permutations": 99}
    usual, found = (sa.align(rows, synthetic, **options) for rows in (real, alike))
    assert "no distance and no test: the vectors of its rows are nearly all the same" in found.certificate.verdict
    assert "do not use these rows yet" not in found.certificate.verdict
    assert (found.certificate.mmd2_after, found.certificate.p_value_after) == (None, None)
    pd.testing.assert_series_equal(found.weights["sample_weight"], usual.weights["sample_weight"])


def test_a_label_of_few_vectors_is_left_out_and_the_others_are_tested():
    real = pd.concat([few_vectors(150, 1, 1, "a"), few_vectors(150, 150, 2, "b")])
    synthetic = pd.concat([few_vectors(100, 1, 1, "a").assign(text=[f"s {i}" for i in range(100)]), few_vectors(100, 100, 3, "b")])
    found = sa.align(real, synthetic, embedding="vec", label="label", n_features=64, permutations=99).certificate
    assert "label a not compared" in found.verdict
    assert found.by_label["a"]["mmd2_before"] is None
    assert found.mmd2_before == pytest.approx(found.by_label["b"]["mmd2_before"], rel=0.2)
