"""Storage of features: what is kept, in how many bits, and that weights do not notice."""

import numpy as np
import pytest

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import draw_feature_map
from synalign_spark.core.solver.dual import Curvature, Goal, Target, maximise_through_sample, run_together
from synalign_spark.core.solver.moments import Pass
from synalign_spark.core.solver.path import Sample
from synalign_spark.core.solver.shard import CHUNK_ROWS, Shard, ShardBuilder, ShardRows, choose_kernel, choose_storage

FEATURES = draw_feature_map(16, 256, [1.0, 0.5], 0)


def embeddings(seed, n, shift=0.0):
    x = np.random.default_rng(seed).standard_normal((n, 16))
    x[:, 0] += shift
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def built(x, storage, step, groups=("a",)):
    """A shard of rows that came in steps, each row in the group of its place."""
    builder, log_base = ShardBuilder(FEATURES, storage), np.linspace(-1.0, 1.0, len(x))
    for start in range(0, len(x), step):
        for place, name in enumerate(groups):
            rows = np.arange(start, min(start + step, len(x)))
            rows = rows[rows % len(groups) == place]
            builder.add(name, x[rows], log_base[rows], np.zeros(len(rows)))
    return builder.shard()


def weights(shard, lam=1e-3):
    theta = np.zeros(256)
    mu = FEATURES(embeddings(9, 500, shift=0.8)).astype(np.float64).mean(axis=0)
    rows = ShardRows(shard, shard, LocalCommunicator())
    start = rows.evaluate({"a": Pass(theta)})["a"]
    target = Target(mu, start.log_partition)
    end = run_together({"a": maximise_through_sample(target, lam, theta, Curvature(), Goal(1e-10, 300))}, rows.evaluate)["a"].point
    return np.exp(shard.log_weights("a", end.theta) - end.moments.log_partition)


def test_rows_that_come_in_any_steps_make_the_same_chunks():
    x, theta = embeddings(1, 2 * CHUNK_ROWS + 77), np.random.default_rng(1).standard_normal(256)
    whole = built(x, "float32", len(x))
    assert [len(chunk.log_base) for chunk in whole.groups["a"]] == [CHUNK_ROWS, CHUNK_ROWS, 77]
    for step in (1000, CHUNK_ROWS, 5000):
        np.testing.assert_array_equal(built(x, "float32", step).log_weights("a", theta), whole.log_weights("a", theta))
    two = built(x, "float32", 1000, groups=("a", "b"))
    assert (two.rows("a"), two.rows("b"), two.rows("c")) == (CHUNK_ROWS + 39, CHUNK_ROWS + 38, 0)


def test_sixteen_bits_change_no_weight_by_a_ten_thousandth():
    x = embeddings(2, 6000)
    exact, half, again = (weights(built(x, storage, 6000)) for storage in ("float32", "int16", "recompute"))
    assert exact.max() > 5 / 6000  # the weights are far from uniform
    np.testing.assert_allclose(half, exact, rtol=1e-4)
    np.testing.assert_allclose(again, exact, rtol=1e-7)


def test_half_the_memory_and_none():
    x = embeddings(3, 100)
    kinds = {storage: built(x, storage, 100).groups["a"][0] for storage in ("float32", "int16", "recompute")}
    assert kinds["float32"].values.nbytes == 2 * kinds["int16"].values.nbytes == 100 * 256 * 4
    assert kinds["recompute"].values is None


@pytest.mark.parametrize(("rows", "storage"), [(1000, "float32"), (1001, "int16"), (2000, "int16"), (2001, "recompute")])
def test_storage_goes_by_the_budget(rows, storage):
    chosen, why = choose_storage(rows, 256, 1000 * 256 * 4)
    assert chosen == storage
    assert f"{rows:,} rows x 256 features" in why


def test_second_moments_are_the_covariance():
    x, theta = embeddings(4, 3000), np.random.default_rng(4).standard_normal(256)
    shard = built(x, "int16", 700)
    found = shard.evaluate({"a": Pass(theta, second=True)})["a"]
    phi = np.concatenate([chunk.values * chunk.scale for chunk in shard.groups["a"]])
    w = np.exp(shard.log_weights("a", theta) - found.log_partition)
    centred = phi - w @ phi
    np.testing.assert_allclose(found.covariance, (centred * w[:, None]).T @ centred, atol=1e-12)
    with pytest.raises(ValueError, match="no second moments"):
        _ = shard.evaluate({"a": Pass(theta)})["a"].covariance


def test_prior_weights_are_asked_for_by_the_pass():
    shard = built(embeddings(5, 50), "float32", 50)
    base, prior = (shard.evaluate({"a": Pass(np.zeros(256), prior=prior)})["a"] for prior in (False, True))
    assert prior.ess == pytest.approx(50)
    assert base.ess < 49


def test_a_group_without_rows_has_no_moments():
    empty = Shard({}, 256).evaluate({"a": Pass(np.zeros(256)), "b": Pass(np.zeros(256), second=True)})
    assert empty["a"].rows == empty["b"].rows == 0
    assert empty["b"].second.shape == (256, 256)


def test_the_sample_saves_passes_over_all_rows():
    """40,000 rows, a sample of a tenth: the end over all rows takes a handful of passes, and is the optimum."""
    x = embeddings(6, 40_000)
    everything, sample = built(x, "float32", 40_000), built(x[::10], "float32", 4_000)
    mu = FEATURES(embeddings(9, 500, shift=0.8)).astype(np.float64).mean(axis=0)
    rows, target = ShardRows(everything, sample, LocalCommunicator()), Target(mu, 0.0)
    calls = []

    def counted(wanted):
        calls.extend(asked.everywhere for asked in wanted.values())
        return rows.evaluate(wanted)

    found = run_together({"a": maximise_through_sample(target, 1e-2, np.zeros(256), Curvature(), Goal(1e-8, 200))}, counted)["a"]
    assert found.converged
    assert found.passes == sum(calls) <= 8
    assert found.sample_passes == len(calls) - sum(calls)
    alone = ShardRows(everything, everything, LocalCommunicator())
    exact = run_together({"a": maximise_through_sample(target, 1e-2, np.zeros(256), Curvature(), Goal(1e-12, 500))}, alone.evaluate)["a"]
    assert found.point.value == pytest.approx(exact.point.value, rel=1e-8)


def test_a_sample_that_says_nothing_still_ends_at_the_optimum():
    x = embeddings(7, 5000)
    everything, sample = built(x, "float32", 5000), built(embeddings(8, 12, shift=-9.0), "float32", 12)
    mu = Sample(500, FEATURES(embeddings(9, 500, shift=0.8)).astype(np.float64).mean(axis=0)).mean
    rows = ShardRows(everything, sample, LocalCommunicator())
    found = run_together({"a": maximise_through_sample(Target(mu, 0.0), 1e-2, np.zeros(256), Curvature(), Goal(1e-9, 300))}, rows.evaluate)
    assert found["a"].converged


def test_the_kernel_goes_by_the_numbers_of_the_whole_shard():
    assert [choose_kernel(numbers) for numbers in (0, 2**24 - 1, 2**24, 2**27 - 1, 2**27)] == [
        "numpy",
        "numpy",
        "float64",
        "float64",
        "float32",
    ]
    rows = np.zeros((CHUNK_ROWS + 1, 256), dtype=np.float32)
    assert Shard.of({name: (rows, np.zeros(len(rows))) for name in "abcdefghijklmnop"}).kernel == "float64"
