"""A student that is no classifier on top of given vectors: the embedded encoder, trained with a layer for the labels."""

from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.config import EmbedConfig
from synalign_spark.udfs.encoder import encoder_info
from tests.bench.support.classifiers import Stack
from tests.bench.support.summary import REAL_ALONE
from tests.bench.support.training import TrainingSet

FINETUNED, WAYS_FINETUNED = "finetuned", (REAL_ALONE, "with_real")
STEPS, BATCH, RATE, HEAD_RATE, WARM_UP, MOST_TOKENS = 200, 16, 5e-5, 1e-3, 0.1, 128  # as many steps for few rows as for many


def by_finetuning(data: Stack, training: TrainingSet, test: npt.NDArray[np.int64]) -> npt.NDArray[np.str_]:
    """Labels of the test rows, (test,): batches are drawn by the sample weights, so that these need no place in the loss.

    On a CUDA device where there is one. Which rows are drawn and what the head begins with are the same there."""
    import torch

    names, y = np.unique(data.labels[training.rows], return_inverse=True)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder, head = _encoder(device), torch.nn.Linear(data.x.shape[1], len(names)).to(device)
    groups = [{"params": encoder.parameters(), "lr": RATE}, {"params": head.parameters(), "lr": HEAD_RATE}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate)
    rng, share = np.random.default_rng(0), training.weight / training.weight.sum()
    encoder.train()
    for _ in range(STEPS):
        rows = rng.choice(len(share), size=BATCH, p=share)
        logits = head(_vectors(encoder, [data.texts[i] for i in training.rows[rows]]))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y[rows]).to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    encoder.eval()
    with torch.inference_mode():
        parts = [head(_vectors(encoder, [data.texts[i] for i in part])).argmax(dim=1).cpu().numpy() for part in _batches(data, test)]
    order = np.concatenate(_batches(data, test))
    said = dict(zip(order.tolist(), np.concatenate(parts).tolist(), strict=True))
    return names[[said[i] for i in test.tolist()]]


def _rate(step: int) -> float:
    """The factor of the rates: up over the first tenth of the steps, then down to nothing."""
    warm = WARM_UP * STEPS
    return min((step + 1) / warm, (STEPS - step) / (STEPS - warm))


def _batches(data: Stack, rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """The rows, those of one length together, which saves padding."""
    order = rows[np.argsort([len(data.texts[i]) for i in rows], kind="stable")]
    return np.split(order, range(64, len(order), 64))


def _encoder(device: str) -> Any:
    """A fresh copy of the embedded encoder."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = SentenceTransformer(encoder_info(EmbedConfig()).location, device=device, local_files_only=True)
    model.max_seq_length = MOST_TOKENS
    return model


def _vectors(encoder: Any, texts: list[str]) -> Any:
    """(n, d) vectors that a loss can be traced back through, on the encoder's device."""
    from sentence_transformers.util import batch_to_device

    return encoder(batch_to_device(encoder.preprocess(texts), encoder.device))["sentence_embedding"]
