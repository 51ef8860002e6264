"""Passes on a torch device against those in numpy. torch's CPU takes the same path as a GPU, which the last test needs."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import draw_feature_map
from synalign_spark.core.solver import device_shard
from synalign_spark.core.solver.device_shard import DeviceBuilder, DeviceFeatures, device_storage, exact_products, row_builder
from synalign_spark.core.solver.moments import Pass
from synalign_spark.core.solver.path import Sample, Settings
from synalign_spark.core.solver.row_shard import STORAGES
from synalign_spark.core.solver.shard import ShardBuilder, ShardRows
from synalign_spark.core.solver.solve import Problem, solve

WIDTH, D, BLOCK = 16, 256, 300
FEATURES = draw_feature_map(WIDTH, D, [1.0, 0.5], 0)
GROUPS = {"a": 1000, "b": 77, "pinned": 40, "one": 1}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Arrays are small: on a machine under load torch's threads wait for each other far longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def embeddings(seed, n, shift=0.0):
    x = np.random.default_rng(seed).standard_normal((n, WIDTH))
    x[:, 0] += shift
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def fill(builder, groups=GROUPS, step=90, seed=0):
    """Rows that come in steps; a third of them is pinned to 0, of the group ``pinned`` all, and of ``a`` the whole first block."""
    for place, (name, n) in enumerate(groups.items()):
        rng = np.random.default_rng([seed, place])
        x, log_base, log_prior = embeddings([seed, place], n), rng.normal(0, 2, n), rng.normal(0, 1, n)
        log_base[(rng.random(n) < 1 / 3) if name != "pinned" else slice(None)] = -np.inf
        log_base[: BLOCK if name == "a" else 0] = -np.inf
        if n == 1:
            log_base[:] = 0.5
        for start in range(0, n, step):
            rows = slice(start, start + step)
            builder.add(name, x[rows], log_base[rows], log_prior[rows])
    return builder.shard()


def pair(storage, single=False, device="cpu"):
    """The same rows in numpy and on the device."""
    ours, theirs = fill(ShardBuilder(FEATURES, storage)), fill(DeviceBuilder(FEATURES, storage, device, BLOCK))
    ours.kernel, theirs.single = "float32" if single else "float64", single
    return ours, theirs


def assert_same(got, want, rtol):
    assert set(got) == set(want)
    for name, expected in want.items():
        found = got[name]
        assert found.rows == expected.rows
        np.testing.assert_allclose(found.shift, expected.shift, rtol=rtol)
        for part in ("total", "squares"):
            np.testing.assert_allclose(getattr(found, part), getattr(expected, part), rtol=10 * rtol)
        size = max(1e-300, np.abs(expected.features).max())
        np.testing.assert_allclose(found.features, expected.features, rtol=0, atol=10 * rtol * size)
        assert (found.second is None) == (expected.second is None)
        if expected.second is not None:
            np.testing.assert_allclose(found.second, expected.second, rtol=0, atol=10 * rtol * max(1e-300, np.abs(expected.second).max()))


def assert_alike(storage, single, device="cpu"):
    ours, theirs = pair(storage, single, device)
    rng = np.random.default_rng(7)
    rtol = 3e-6 if single or storage == "recompute" or device != "cpu" else 1e-9  # 1e-9: cos of two libraries, in float32
    rtol = {"float32": max(rtol, 1e-7), "recompute": max(rtol, 1e-7), "int16": 3e-5}[storage]  # a rounding to 16 bits may fall otherwise
    for size in (0.0, 1.0, 30.0):
        theta = {name: size * rng.standard_normal(D) for name in (*GROUPS, "nobody")}
        for prior in (False, True):
            for second in (False, True):
                wanted = {name: Pass(theta[name], prior=prior, second=second) for name in theta}
                assert_same(theirs.evaluate(wanted), ours.evaluate(wanted), rtol * max(1.0, size))
        for name in theta:
            assert theirs.rows(name) == ours.rows(name)
            want = ours.log_weights(name, theta[name])
            np.testing.assert_allclose(theirs.log_weights(name, theta[name]), want, rtol=0, atol=rtol * 100 * max(1.0, size))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("storage", STORAGES)
def test_the_moments_are_those_of_numpy(storage, single):
    assert_alike(storage, single)


def test_exactly_the_same_features_give_the_same_moments_to_the_last_digits():
    """With numpy's features on the device what is left is the order of the sums."""
    ours, theirs = pair("float32")
    for name, blocks in theirs.groups.items():
        phi = torch.from_numpy(np.concatenate([chunk.values for chunk in ours.groups[name]]))
        start = 0
        for block in blocks:
            block.values.copy_(phi[start : start + len(block.values)])
            start += len(block.values)
    theta = np.random.default_rng(1).normal(0, 10, D)
    wanted = {name: Pass(theta, second=True) for name in (*GROUPS, "nobody")}
    assert_same(theirs.evaluate(wanted), ours.evaluate(wanted), 1e-13)


def test_a_block_is_cut_for_sums_and_products(monkeypatch):
    monkeypatch.setattr(device_shard, "SUM_ROWS", 64)
    monkeypatch.setattr(device_shard, "SECOND_ROWS", 100)
    assert_alike("float32", single=False)


@settings(max_examples=25, deadline=None)
@example(n=10, block=1, step=1, size=28.0, seed=5, second=False)
@given(
    n=st.integers(1, 40), block=st.integers(1, 41), step=st.integers(1, 41), size=st.floats(0, 50), seed=st.integers(0, 99),
    second=st.booleans(),
)  # fmt: skip
def test_blocks_and_steps_change_nothing(n, block, step, size, seed, second):
    whole = fill(DeviceBuilder(FEATURES, "float32", "cpu", n), {"x": n}, n, seed)
    cut = fill(DeviceBuilder(FEATURES, "float32", "cpu", block), {"x": n}, step, seed)
    assert max(len(b.log_base) for b in cut.groups["x"]) <= block
    asked = {"x": Pass(size * np.random.default_rng(seed).standard_normal(D), second=second)}
    # A product of one row and one of many may differ in the last bit of a feature: a logit moves by that times the size of theta.
    assert_same(cut.evaluate(asked), whole.evaluate(asked), 1e-6 * max(1.0, size))


def test_sums_beyond_a_run_of_rows_are_float64(monkeypatch):
    """Equal rows, whose roundings do not average out."""
    x = np.repeat(embeddings(3, 1), 40_000, axis=0)
    builder, nothing = DeviceBuilder(FEATURES, "float32", "cpu"), np.zeros(len(x))
    builder.add("a", x, nothing, nothing)
    shard, exact = builder.shard(), FEATURES(x[:1])[0].astype(np.float64)
    shard.single = True

    def error():
        return np.abs(shard.evaluate({"a": Pass(np.zeros(D))})["a"].mean / exact - 1.0).max()

    assert error() < 1e-5
    monkeypatch.setattr(device_shard, "SUM_ROWS", 40_000)
    assert error() > 5e-5


def test_no_float32_product_is_cut_to_fewer_bits():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with exact_products():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("storage", STORAGES)
def test_the_solver_ends_at_the_same_weights(storage):
    rows = {"a": 3000, "b": 2000}
    problems = {}
    for place, name in enumerate(rows):
        halves = [Sample(400, FEATURES(embeddings(seed + place, 400, 0.8)).astype(np.float64).mean(axis=0)) for seed in (50, 60)]
        problems[name] = Problem(halves[0], halves[1], Sample(0, np.zeros(D)), Settings("fixed", 1e-3, 0.1, 1e-12, 500), 1.0)
    weights = []
    for device in (None, "cpu"):
        shard = fill(row_builder(FEATURES, storage, device), rows, 700)
        answers = solve(problems, ShardRows(shard, shard, LocalCommunicator()).evaluate)
        points = {name: answer.finished.solution.point for name, answer in answers.items()}
        weights.append([np.exp(shard.log_weights(name, p.theta) - p.moments.log_partition) for name, p in points.items()])
        assert all(answer.finished.solution.converged for answer in answers.values())
    for want, got in zip(*weights, strict=True):
        assert want.sum() == pytest.approx(1.0, abs=1e-9)
        assert want.max() > 5 / len(want)
        np.testing.assert_allclose(got, want, rtol=5e-5 if storage == "int16" else 1e-6)  # 16 bits may round the other way


def test_what_is_kept():
    kept = {storage: fill(DeviceBuilder(FEATURES, storage, "cpu", BLOCK)).groups["a"] for storage in STORAGES}
    assert [len(block.log_base) for block in kept["float32"]] == [300, 300, 300, 100]
    assert (kept["float32"][0].values.dtype, kept["int16"][0].values.dtype) == (torch.float32, torch.int16)
    assert kept["recompute"][0].values is None
    assert kept["recompute"][0].x.shape == (300, WIDTH)


def test_many_labels_do_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(device_shard, "WAITING_NUMBERS", 20 * WIDTH)
    builder = DeviceBuilder(FEATURES, "float32", "cpu", 15)
    for place in range(30):
        name, nothing = "abc"[place % 3], np.zeros(3)
        builder.add(name, embeddings(place, 3), nothing, nothing)
        assert builder.waiting_rows <= 20
    assert [builder.shard().rows(name) for name in "abc"] == [30, 30, 30]


def test_after_release_there_are_no_rows():
    shard = fill(DeviceBuilder(FEATURES, "float32", "cpu", BLOCK))
    shard.release()
    assert shard.rows("a") == 0


@pytest.mark.parametrize(("free_gb", "storage"), [(77, "float32"), (45, "int16"), (22, "recompute"), (10, None)])
def test_storage_goes_by_the_free_memory_of_the_device(free_gb, storage):
    """Ten million rows of 384: 61 GB of 1,638 features, 31 GB in 16 bits, 14 GB of embeddings."""
    chosen, why = device_storage(10_000_000, 1_638, 384, free_gb * 2**30)
    assert chosen == storage
    assert "10,000,000 rows x 1,638 features" in why


def test_ten_million_rows_of_2048_features_fit_in_80_gb():
    assert device_storage(10_000_000, 2_048, 384, 79 * 2**30)[0] == "int16"


@pytest.mark.parametrize(("storage", "rows", "message"), [("float16", None, "storage must be one of float32.*'float16'"), ("int16", 0, "at least 1, got 0")])  # fmt: skip
def test_wrong_arguments_are_named(storage, rows, message):
    with pytest.raises(ValueError, match=message):
        DeviceBuilder(FEATURES, storage, "cpu", rows)


def test_features_of_the_device_are_those_of_numpy():
    x = embeddings(4, 700)
    np.testing.assert_allclose(DeviceFeatures(FEATURES, "cpu")(torch.from_numpy(x)).numpy(), FEATURES(x), rtol=0, atol=3e-7)


def test_importing_does_not_import_torch():
    code = "import sys, synalign_spark.core.solver.device_shard, synalign_spark.distributed.devices; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("storage", STORAGES)
def test_the_moments_on_a_gpu_are_those_of_numpy(storage, single):
    assert_alike(storage, single, "cuda")
