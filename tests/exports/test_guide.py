"""The code of the guide to exports runs as it stands."""

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "export.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run_blocks(blocks, lake, **names):
    """Runs blocks in order on a lake. Returns what they leave."""
    run = {"source": {"path": "unused"}, "lake": {"path": str(lake[0]), "format": lake[1]}, "run": {"id": "done"}}
    names |= {"run": run}
    exec(compile("\n".join(blocks), "<guide>", "exec"), names)
    return names


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_the_loader_for_scikit_learn(lake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left = run_blocks(BLOCKS[:2], lake)
    assert (left["done"].rows, len(left["train"]), len(left["model"].classes_)) == (80, 80, 4)


@pytest.mark.slow
@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_every_loader(lake, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from synalign_spark.config import EmbedConfig
    from synalign_spark.udfs.encoder import encoder_info

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    left = run_blocks(BLOCKS, lake, encoder_folder=encoder_info(EmbedConfig()).location)
    batch = left["batch"]
    assert (len(batch["text"]), batch["label"].shape, batch["sample_weight"].shape) == (32, (32,), (32,))
    assert len(next(iter(left["loader"]))["text"]) == 32
    assert len(left["head"].classes_) == 4
    assert len(left["train_dataset"]) == 80
