"""Partial sums: they merge to those of the union, in any order, over threads and over ranks."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.solver.moments import Pass, merge, no_rows, reduce_moments, row_moments
from synalign_spark.core.solver.shard import CHUNK_ROWS, Shard


def problem(seed, n=50, width=6, scale=3.0):
    rng = np.random.default_rng(seed)
    phi = rng.standard_normal((n, width)).astype(np.float32)
    return phi, np.log(rng.random(n)), scale * rng.standard_normal(width)


def direct(phi, log_base, theta):
    """Total, sum of squares and feature sum as one would write them."""
    a = np.exp(log_base + phi.astype(np.float64) @ theta)
    return a.sum(), (a**2).sum(), a @ phi.astype(np.float64)


def assert_same(got, want, rtol=1e-12):
    assert got.rows == want.rows
    np.testing.assert_allclose(got.log_partition, want.log_partition, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(got.mean, want.mean, rtol=rtol, atol=1e-13)
    np.testing.assert_allclose([got.ess, got.max_weight], [want.ess, want.max_weight], rtol=rtol)


def test_moments_are_the_sums_that_they_name():
    phi, log_base, theta = problem(0, n=300)
    got, (total, squares, features) = row_moments(phi, log_base, theta), direct(phi, log_base, theta)
    assert got.log_partition == pytest.approx(np.log(total), rel=1e-13)
    np.testing.assert_allclose(got.mean, features / total, rtol=1e-12)
    assert got.ess == pytest.approx(total**2 / squares, rel=1e-12)
    a = np.exp(log_base + phi.astype(np.float64) @ theta)
    assert got.max_weight == pytest.approx(a.max() / total, rel=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.lists(st.integers(0, 200), min_size=0, max_size=6), st.sampled_from([0.0, 1.0, 300.0]))
def test_parts_merge_to_the_whole_in_any_order(seed, cuts, scale):
    phi, log_base, theta = problem(seed, n=200, scale=scale)
    edges = [0, *sorted(cuts), 200]
    parts = [row_moments(phi[a:b], log_base[a:b], theta) for a, b in itertools.pairwise(edges)]
    whole = row_moments(phi, log_base, theta)
    assert_same(merge(parts), whole)
    assert_same(merge(parts[::-1]), whole)
    assert_same(merge([parts[0], merge([*parts[1:], no_rows(6)])]), whole)


def test_logits_of_any_size_do_not_overflow():
    phi, log_base, theta = problem(1, scale=1e5)
    got = row_moments(phi, log_base, theta)
    assert np.isfinite(got.log_partition)
    assert np.isfinite(got.mean).all()


def test_rows_pinned_to_zero_do_not_count():
    phi, log_base, theta = problem(2)
    log_base[::3] = -np.inf
    kept = np.isfinite(log_base)
    assert_same(row_moments(phi, log_base, theta), row_moments(phi[kept], log_base[kept], theta))
    nothing = row_moments(phi[~kept], log_base[~kept], theta)
    assert nothing.rows == 0
    assert nothing.log_partition == -np.inf


def test_threads_change_no_bit():
    phi, log_base, theta = problem(3, n=2 * CHUNK_ROWS + 11)
    groups = {"a": (phi, log_base), "b": (phi[:9], log_base[:9])}
    one, three = (Shard.of(groups, threads=threads).evaluate({"a": Pass(theta), "b": Pass(theta)}) for threads in (1, 3))
    for name in groups:
        np.testing.assert_array_equal(one[name].features, three[name].features)
        assert (one[name].shift, one[name].total) == (three[name].shift, three[name].total)
    assert list(Shard.of(groups).evaluate({"b": Pass(theta)})) == ["b"]


class ThreadCommunicator:
    """Ranks are threads of this process."""

    def __init__(self, rank, size, barrier, box):
        self.rank, self.size, self._barrier, self._box = rank, size, barrier, box

    def _all(self, values):
        self._box[self.rank] = values
        self._barrier.wait()
        held = [self._box[rank] for rank in range(self.size)]
        self._barrier.wait()
        return held

    def all_reduce(self, values):
        return sum(self._all(values))

    def all_reduce_max(self, values):
        return np.max(self._all(values), axis=0)


def test_ranks_reduce_to_the_whole():
    phi, log_base, theta = problem(4, n=90)
    whole = row_moments(phi, log_base, theta)
    assert_same(reduce_moments({"a": whole}, LocalCommunicator())["a"], whole)
    edges = [0, 20, 20, 90]  # one rank has no rows
    barrier, box, results = threading.Barrier(3), {}, {}

    def work(rank):
        rows = slice(edges[rank], edges[rank + 1])
        local = {"a": row_moments(phi[rows], log_base[rows], theta)}
        results[rank] = reduce_moments(local, ThreadCommunicator(rank, 3, barrier, box))["a"]

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rank in range(3):
        assert_same(results[rank], whole)


def test_merge_needs_a_part():
    with pytest.raises(ValueError, match="at least one part"):
        merge([])


@pytest.mark.parametrize("stored", ["float32", "int16"])
@pytest.mark.parametrize("kernel", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 3000])
def test_compiled_passes_give_the_same_sums(stored, kernel, n):
    phi, log_base, theta = problem(5, n=n, width=300, scale=1.0)
    log_base[::5] = -np.inf
    phi /= np.linalg.norm(phi, axis=1, keepdims=True)
    scale = 1.0 if stored == "float32" else 1.0 / 32767
    values = phi if stored == "float32" else np.rint(phi / scale).astype(np.int16)
    exact, fast = (row_moments(values, log_base, theta, scale, name) for name in ("numpy", kernel))
    assert fast.rows == exact.rows
    if not exact.rows:
        return
    if kernel == "float64":
        assert_same(fast, exact)
    else:
        assert fast.log_partition == pytest.approx(exact.log_partition, abs=1e-6)
        np.testing.assert_allclose(fast.mean, exact.mean, atol=2e-8)


def test_a_compiled_pass_takes_large_logits_and_arrays_that_may_not_be_written():
    phi, log_base, theta = problem(1, scale=1e5)
    for array in (phi, log_base):
        array.flags.writeable = False
    assert_same(row_moments(phi, log_base, theta, kernel="float64"), row_moments(phi, log_base, theta), rtol=1e-9)


def test_the_kernel_compiles_from_a_zip_where_nothing_can_be_kept(tmp_path):
    """As on an executor that got the code as an archive and has no home to write to: numba refuses to cache there."""
    import os
    import subprocess
    import sys
    import zipfile
    from pathlib import Path

    from synalign_spark.core.solver import fused_pass as kernel

    with zipfile.ZipFile(tmp_path / "code.zip", "w") as code:
        code.write(Path(kernel.__file__), "shipped_kernel.py")
    job = (
        "import numpy as np, shipped_kernel as k; f = np.zeros(2); x = np.array([[1, 2], [3, 4]], dtype=np.float32); t = np.zeros(2)\n"
        "assert k.fused(x, np.zeros(2), t, t, f) == (0.0, 2.0, 2.0, 2) and f.tolist() == [4.0, 6.0]"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "code.zip"), "HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"}
    found = subprocess.run([sys.executable, "-c", job], env=env, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
