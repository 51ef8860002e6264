"""Which precision is the fastest on this machine whose vectors are still those of float32."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from synalign_spark.core.defaults import PROBE_COSINE, PROBE_GAIN
from synalign_spark.udfs.encoder import Encoder, EncoderInfo, Float32Array, encoder
from synalign_spark.udfs.sentence_model import GPU_ROWS, SentenceModel

TRIAL = pa.schema([("precision", pa.string()), ("rate", pa.float64()), ("cosine", pa.float64())])
GPU_TRIES = 4  # the first prepares the kernels
WARM_UP = 4  # texts: the first pass prepares the kernels


@dataclass(frozen=True)
class Trial:
    """One precision on a sample. ``rate``: texts a second (of the processor's time, where there is no GPU); ``cosine``: mean, with float32."""

    precision: str
    rate: float
    cosine: float


def trials(texts: list[str], info: EncoderInfo) -> list[Trial]:
    """Float32 and each other precision that this process's device computes in hardware, on the same texts.

    Raises as the encoder does. A model that is not one of torch has float32 alone."""
    loaded = encoder(info)
    if not texts or not isinstance(loaded.model, SentenceModel):
        return [Trial("fp32", 1.0, 1.0)]
    model = loaded.model.model
    device = model.device.type
    exact, rate = _timed(loaded, texts, device)
    found = [Trial("fp32", rate, 1.0)]
    for precision in _in_hardware(device):
        other = Encoder(SentenceModel(model, replace(info.forward, precision=precision)))
        x, rate = _timed(other, texts, device)
        found.append(Trial(precision, rate, float(np.einsum("ij,ij->i", exact, x, dtype=np.float64).mean())))
    return found


def fastest(found: Sequence[Trial]) -> Trial:
    """The one to take: float32, unless another is faster by more than the timing varies, at a mean cosine that passes.

    >>> fastest([Trial("fp32", 80, 1), Trial("bf16", 220, 0.99998), Trial("fp16", 300, 0.999)]).precision
    'bf16'
    >>> fastest([Trial("fp32", 80, 1), Trial("bf16", 90, 0.99998)]).precision
    'fp32'
    """
    exact = next(trial for trial in found if trial.precision == "fp32")
    passing = [trial for trial in found if trial.cosine >= PROBE_COSINE and trial.rate >= PROBE_GAIN * exact.rate]
    return max(passing, key=lambda trial: trial.rate, default=exact)


def trials_in_arrow(batches: Iterator[pa.RecordBatch], info: EncoderInfo) -> Iterator[pa.RecordBatch]:
    """``trials`` over the column ``text`` of one partition, as rows of TRIAL; none for an empty partition."""
    texts = [text for batch in batches for text in batch.column("text").to_pylist()]
    if texts:
        yield pa.RecordBatch.from_pylist([asdict(trial) for trial in trials(texts, info)], TRIAL)


def _in_hardware(device: str) -> list[str]:
    import torch

    if device == "cpu":
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return ["bf16"] if known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16") else []
    return ["bf16", "fp16"] if device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else ["fp16"]


def _timed(loaded: Encoder, texts: list[str], device: str) -> tuple[Float32Array, float]:
    """Vectors and texts a second. On a processor its own time counts: a shared machine has no steady clock. A GPU is looked at with
    passes as full as those to come, since those of few texts take what their start takes."""
    if device != "cpu":
        many = texts * -(-GPU_ROWS // len(texts))
        return loaded.encode(texts), len(many) / min(_seconds(time.perf_counter, loaded.model.raw, many) for _ in range(GPU_TRIES))
    loaded.encode(texts[:WARM_UP])
    seconds = _seconds(time.process_time, loaded.encode, texts)
    return loaded.encode(texts), len(texts) / seconds


def _seconds(clock: Callable[[], float], encode: Callable[[list[str]], Float32Array], texts: list[str]) -> float:
    started = clock()
    encode(texts)
    return max(clock() - started, 1e-9)
