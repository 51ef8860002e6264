"""The saved state of a solve: whole or not at all, and never the reason that a solve fails."""

import os

import numpy as np
import pytest
from pyarrow import fs

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.distributed import checkpoint as module
from synalign_spark.distributed.checkpoint import Checkpoint, remove_checkpoint

STATE = bytes(range(256)) * 3 + np.array([np.nan, -0.0, 1e300]).tobytes()


class SecondRank(LocalCommunicator):
    """Rank 1 of two; hears from rank 0 what ``sent`` holds, call by call."""

    rank, size = 1, 2

    def __init__(self, *sent):
        self.sent = list(sent)

    def broadcast(self, values, root=0):
        sent = self.sent.pop(0)
        assert np.shape(values) == np.shape(sent)  # all ranks must give arrays of the same shape
        return sent


def local(path):
    return Checkpoint(path, LocalCommunicator())


@pytest.fixture(params=["disk", "uri", "store"])
def place(request, tmp_path, monkeypatch):
    """A path on a disk, the same as an address, and one in a file system that Arrow does not call local."""
    if request.param == "store":
        store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
        monkeypatch.setattr(module, "filesystem", lambda path: (store, path.removeprefix("store://")))
        return "store://deep/state", tmp_path / "deep" / "state"
    return f"{'file://' if request.param == 'uri' else ''}{tmp_path}/deep/state", tmp_path / "deep" / "state"


def test_what_was_saved_last_is_loaded_to_the_bit(place):
    path, file = place
    assert local(path).load() is None
    for state in (b"", b"first", STATE):
        local(path).save(state)
        assert local(path).load() == state
    assert os.listdir(file.parent) == ["state"]
    remove_checkpoint(path)
    assert os.listdir(file.parent) == []
    remove_checkpoint(path)  # nothing to remove is no fault
    assert local(path).load() is None


def test_without_a_path_nothing_is_kept():
    kept = local(None)
    kept.save(STATE)
    assert kept.load() is None
    assert kept.warnings == []


def test_other_ranks_do_not_write_and_hear_what_rank_0_read(tmp_path):
    path = str(tmp_path / "state")
    Checkpoint(path, SecondRank()).save(STATE)
    assert os.listdir(tmp_path) == []
    sent = [np.array([float(len(STATE))]), np.frombuffer(STATE, dtype=np.uint8).astype(np.float64)]
    assert Checkpoint(path, SecondRank(*sent)).load() == STATE
    assert Checkpoint(path, SecondRank(np.array([-1.0]))).load() is None


def test_a_save_that_breaks_off_leaves_the_older_state(tmp_path, monkeypatch):
    path = str(tmp_path / "state")
    local(path).save(b"older")
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        kept = local(path)
        kept.save(b"newer")
        kept.save(b"newest")
    assert len(kept.warnings) == 1
    assert "cannot be written (disk full)" in kept.warnings[0]
    assert local(path).load() == b"older"
    assert os.listdir(tmp_path) == ["state"]


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:5], lambda content: content[:-1] + b"?"])
def test_a_damaged_state_is_one_warning_and_a_new_start(tmp_path, damage):
    path = tmp_path / "state"
    local(str(path)).save(STATE)
    path.write_bytes(damage(path.read_bytes()))
    kept = local(str(path))
    assert kept.load() is None
    assert len(kept.warnings) == 1
    assert "is damaged" in kept.warnings[0]


@pytest.mark.parametrize("path", ["/proc/no/state", "nosuchscheme://x/state"])
def test_a_place_that_cannot_be_used_is_one_warning(path):
    kept = local(path)
    assert kept.load() is None
    kept.save(STATE)
    kept.save(STATE)
    assert len(kept.warnings) == 1
    assert path in kept.warnings[0]
