"""What is on the disk when a call returns, told by the order of what the system is asked for."""

import os
from pathlib import Path

import pytest
from pyarrow import fs

from synalign_spark.storage import durable


@pytest.fixture
def asked(monkeypatch):
    """(what, name) of each fsync and each replacement, in order."""
    found, fsync, replace = [], os.fsync, os.replace

    def synced(file):
        found.append(("fsync", Path(os.readlink(f"/proc/self/fd/{file}")).name))
        fsync(file)

    def replaced(old, new):
        found.append(("replace", Path(new).name))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return found


def test_a_file_has_its_name_only_with_its_content_and_both_are_durable(asked, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for content in (b"old", b"new"):
        durable.write_whole(fs.LocalFileSystem(), str(folder / "file"), content)
        assert (folder / "file").read_bytes() == content
    assert asked == 2 * [("fsync", "file.part"), ("replace", "file"), ("fsync", "folder")]
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_folders_are_made_durable_up_to_one_that_was_there(asked, tmp_path):
    durable.make_folder(fs.LocalFileSystem(), str(tmp_path / "a" / "b" / "c"))
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert sorted(asked) == sorted([("fsync", "b"), ("fsync", "a"), ("fsync", tmp_path.name)])
    del asked[:]
    durable.make_folder(fs.LocalFileSystem(), str(tmp_path / "a" / "b" / "c"))
    assert asked == []
