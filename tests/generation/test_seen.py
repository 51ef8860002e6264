"""What a run remembers of every row: exact, on the disk, and without a byte of memory for each."""

import collections
import errno
import hashlib
import tracemalloc

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.config import GenerateConfig
from synalign_spark.errors import LakeError
from synalign_spark.generation.acceptance import Acceptor, Verdict
from synalign_spark.generation.gates.profile import RealProfile
from synalign_spark.generation.seen import KeySet, KeyTable, TextList

MB = 2**20


@given(st.lists(st.binary(max_size=3)))
def test_keys_are_those_of_a_set(keys):
    """Oracle: Python's set."""
    found, oracle = KeySet(), set()
    for key in keys:
        assert (key in found) == (key in oracle)
        assert found.add(key) == (key not in oracle)
        oracle.add(key)
    assert len(found) == len(oracle)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_are_those_of_a_list(texts):
    found = TextList()
    for text in texts:
        found.append(text)
    assert [found[i] for i in range(len(found))] == texts
    with pytest.raises(IndexError):
        found[len(texts)]


def test_memory_does_not_grow_with_the_keys():
    found = KeySet()
    for i in range(30_000):
        found.add(hashlib.sha256(str(i).encode()).digest())
    before = psutil.Process().memory_info().rss
    for i in range(30_000, 130_000):
        found.add(hashlib.sha256(str(i).encode()).digest())
    assert psutil.Process().memory_info().rss - before < 3 * MB  # of some 12 in a set
    assert len(found) == 130_000


def test_memory_does_not_grow_with_the_rows_that_are_accepted():
    acceptor = Acceptor(GenerateConfig(gates=[]), [None], RealProfile.of([]))
    tracemalloc.start()
    for i in range(20_000):
        acceptor.accept(Verdict(f"row {i} of an answer"))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 0.1 * MB  # it was 2.6
    assert acceptor.check("row 7 of an answer").reason == "duplicate"


@pytest.mark.parametrize("most_keys", [300, 2])
def test_a_table_of_keys_holds_what_a_dict_holds(most_keys, monkeypatch):
    """Two keys: each has hundreds of rows, in all blocks that are merged."""
    monkeypatch.setattr(KeyTable, "NEW", 50)
    monkeypatch.setattr(KeyTable, "BLOCK", 7)
    rng, table, expected = np.random.default_rng(1), KeyTable(), {}
    for row in range(500):
        keys = np.unique(rng.integers(0, most_keys, 5, dtype=np.uint64))
        table.add(keys, row)
        for key in keys.tolist():
            expected.setdefault(key, []).append(row)
    assert 1 < len(table._sorted) < 6
    assert all((keys[1:] >= keys[:-1]).all() for keys, _ in table._sorted)
    for key in range(most_keys):
        assert sorted(table.rows(np.array([key], np.uint64)).elements()) == expected.get(key, [])


def test_memory_does_not_grow_with_the_rows_that_others_are_compared_with(monkeypatch):
    """Of the pages of files too, where the system wants none back: they are not the process's own."""
    rng, table = np.random.default_rng(0), KeyTable()

    def fill(n_rows):
        for row in range(n_rows):
            table.add(rng.integers(0, 2**63, 20, dtype=np.uint64), row)
        of = psutil.Process().memory_info()
        return of.rss - of.shared

    before = fill(10_000)
    assert fill(100_000) - before < 16 * MB  # 24 MB of keys
    assert sum(len(keys) for keys, _ in table._sorted) > 2_000_000


def test_a_full_disk_under_the_keys_is_named(monkeypatch):
    monkeypatch.setattr(KeyTable, "NEW", 50)
    monkeypatch.setattr("synalign_spark.generation.seen._mapped", full)
    with pytest.raises(LakeError, match=r"generate: what it remembers of rows cannot be kept in .* \(.*No space left.*TMPDIR"):
        KeyTable().add(np.arange(50, dtype=np.uint64), 0)


def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_named():
    found = KeySet()
    found._db.execute("PRAGMA max_page_count = 3")
    keys = (hashlib.sha256(str(i).encode()).digest() for i in range(10_000))
    with pytest.raises(LakeError, match=r"generate: what it remembers of rows cannot be kept in .* \(database or disk is full\).*TMPDIR"):
        collections.deque(map(found.add, keys), maxlen=0)
