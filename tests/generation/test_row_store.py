"""Rows that lie on the disk: the same table, memory that does not grow, and nothing left behind."""

import gc
import tempfile
import tracemalloc

import pytest

from synalign_spark.errors import LakeError
from synalign_spark.generation import row_store
from synalign_spark.generation.row_store import RowStore
from synalign_spark.storage.tables import REFUSALS


def rows(n, size=1):
    return [
        {"request_id": f"r{i}", "row_index": i, "label": None if i % 3 else "good", "text": "x" * size, "reason": "form", "detail": None}
        for i in range(n)
    ]


@pytest.mark.parametrize("n", [0, 1, 9, 10, 11, 35])
def test_the_table_has_all_rows_in_their_order(n, monkeypatch, tmp_path):
    monkeypatch.setattr(row_store, "BATCH_ROWS", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = RowStore(REFUSALS)
    for row in rows(n):
        store.add(row)
    assert len(store) == n
    found = store.table()
    assert found.schema == REFUSALS.arrow
    assert found.to_pylist() == rows(n)
    assert len(store) == 0
    assert bool(list(tmp_path.iterdir())) == (n >= 10)
    del found
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_left_takes_its_file_along(monkeypatch, tmp_path):
    monkeypatch.setattr(row_store, "BATCH_ROWS", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = RowStore(REFUSALS)
    for row in rows(25):
        store.add(row)
    assert list(tmp_path.iterdir())
    del store
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_rows():
    store = RowStore(REFUSALS)
    for row in rows(2_000, 5_000):
        store.add(row)
    tracemalloc.start()
    for i in range(18_000):
        store.add({"request_id": f"s{i}", "row_index": i, "label": None, "text": f"{i}" * 2_000, "reason": "form", "detail": None})
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 15e6  # of some 150 MB


def test_a_folder_without_room_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(row_store, "BATCH_ROWS", 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    store = RowStore(REFUSALS)
    first, second, _ = rows(3)
    store.add(first)
    with pytest.raises(LakeError, match=r"rows of refusals cannot be kept in '.*gone'.*TMPDIR"):
        store.add(second)
