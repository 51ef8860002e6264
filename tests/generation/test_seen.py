"""What a run remembers of every row: exact, on the disk, and without a byte of memory for each."""

import collections
import hashlib
import tracemalloc

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.config import GenerateConfig
from synalign_spark.errors import LakeError
from synalign_spark.generation.acceptance import Acceptor, Verdict
from synalign_spark.generation.gates.profile import RealProfile
from synalign_spark.generation.seen import KeySet, TextList

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


def test_a_full_disk_is_named():
    found = KeySet()
    found._db.execute("PRAGMA max_page_count = 3")
    keys = (hashlib.sha256(str(i).encode()).digest() for i in range(10_000))
    with pytest.raises(LakeError, match=r"generate: what it remembers of rows cannot be kept in .* \(database or disk is full\).*TMPDIR"):
        collections.deque(map(found.add, keys), maxlen=0)
