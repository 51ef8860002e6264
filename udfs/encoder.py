"""Text encoders: which one a configuration means, the key of its vectors, and the loaded model of a process."""

import contextlib
import functools
import gc
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from synalign_spark.config import EmbedConfig, EmbeddingEndpointConfig
from synalign_spark.core.solver.shard import usable_threads
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.udfs.int8 import int8_file, put_in_place
from synalign_spark.udfs.model_files import content_hash, declared_limit, declared_width, find_model, model_folder
from synalign_spark.udfs.sentence_model import Forward, SentenceModel

Float32Array = npt.NDArray[np.float32]
HASHING = "hashing"


@dataclass(frozen=True)
class EncoderInfo:
    """All that a worker needs to load an encoder, and the key under which its vectors are stored."""

    model: str  # as configured
    location: str  # a folder, or the name of a model in a hub
    hub_revision: str | None  # commit of the hub's model; None for a folder
    revision: str  # part of the vectors' key: hash of the weights or the configured revision, and what else shapes the numbers
    width: int  # numbers in a vector
    device: str
    forward: Forward
    trust_remote_code: bool = False
    int8: str | None = None  # the file of 8-bit weights, below the model's folder


def encoder_info(cfg: EmbedConfig, width: int | None = None) -> EncoderInfo:
    """Finds the configured encoder without loading its weights where the folder tells enough. ``precision: auto`` counts as fp32:
    the stage ``embed`` tries what is faster. width: of its vectors, where it is known.

    Raises ConfigError where there is no such model or it cannot be used, InstallationError where its package is missing."""
    if cfg.endpoint is not None:
        raise ConfigError(
            "embed.endpoint: only the stage `embed` of a run asks an endpoint, never a worker or a call of the library, whose retries would "
            "pay twice; use `synalign run`, give vectors instead of texts, or name a model of this machine"
        )
    precision = "fp32" if cfg.precision == "auto" else cfg.precision
    forward = Forward(cfg.batch_size, cfg.max_tokens, precision, cfg.deterministic, cfg.prompt, cfg.long_texts)
    if cfg.model == HASHING:
        return EncoderInfo(HASHING, HASHING, None, f"{cfg.revision or HASHING}-{cfg.hashing_width}", cfg.hashing_width, "cpu", forward)
    folder, hub_name = find_model(cfg)
    commit = folder.name if hub_name else None
    forward = replace(forward, max_tokens=min(cfg.max_tokens, declared_limit(folder) or cfg.max_tokens))
    revision = "-".join([cfg.revision or commit or content_hash(str(folder)), f"{forward.max_tokens}t", *_shaped_by(forward)])
    int8 = str(int8_file(folder, cfg.model).relative_to(folder)) if precision == "int8" else None
    info = EncoderInfo(cfg.model, hub_name or str(folder), commit, revision, 0, cfg.device, forward, cfg.trust_remote_code, int8)
    return replace(info, width=width or declared_width(folder) or encoder(info).width)


def endpoint_info(cfg: EmbedConfig) -> EncoderInfo:
    """The key of the vectors that ``cfg.endpoint`` gives: address without secrets, dimensions, and what is sent of a text. Nothing is asked.
    The width is 0 where only the endpoint tells it."""
    endpoint = cfg.endpoint or EmbeddingEndpointConfig()
    forward = Forward(None, cfg.max_tokens, prompt=cfg.prompt)
    cut = [f"{endpoint.max_chars}c"] if endpoint.max_chars else []
    short = [f"{endpoint.dimensions}d"] if endpoint.dimensions else []
    revision = "-".join([*([cfg.revision] if cfg.revision else []), endpoint.llm(cfg.model).public_url, *short, *cut, *_shaped_by(forward)])
    return EncoderInfo(cfg.model, "endpoint", None, revision, endpoint.dimensions or 0, "auto", forward)


def _shaped_by(forward: Forward) -> list[str]:
    """What else shapes a vector beyond its last bits. Fixed shapes do not, and a text's vector is then good for both."""
    prompt = [] if forward.prompt is None else [f"p{hashlib.sha256(forward.prompt.encode()).hexdigest()[:8]}"]
    return [
        *([forward.precision] if forward.precision != "fp32" else []),
        *prompt,
        *(["windows"] if forward.long_texts == "mean_of_windows" else []),
    ]


class Model(Protocol):
    """What makes raw vectors of texts."""

    width: int

    def raw(self, texts: list[str]) -> Float32Array: ...


class Encoder:
    """A loaded model. Texts go in, unit vectors come out."""

    def __init__(self, model: Model) -> None:
        self.model, self.width = model, model.width

    def encode(self, texts: list[str]) -> Float32Array:
        """(n,) texts to (n, width) float32 unit vectors; equal texts are encoded once.

        Raises DataError for a text that is no Unicode, and for a vector that is not finite or zero."""
        if not texts:
            return np.empty((0, self.width), dtype=np.float32)
        place: dict[str, int] = {}
        for text in texts:
            place.setdefault(text, len(place))
        distinct = list(place)
        _refuse_surrogates(distinct)
        wide = self.model.raw(distinct).astype(np.float64)  # (distinct, width)
        norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))  # (distinct,)
        bad = ~(np.isfinite(norms) & (norms > 0))
        if bad.any():
            first = distinct[int(bad.argmax())][:80]
            raise DataError(
                f"embed.model gave {int(bad.sum())} of {len(distinct)} texts a zero, NaN or infinite vector, first {first!r}; use another model or reject such texts"
            )
        unit: Float32Array = (wide / norms[:, None]).astype(np.float32)
        return unit if len(distinct) == len(texts) else unit[[place[text] for text in texts]]


def _refuse_surrogates(texts: list[str]) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as err:
            raise DataError(
                f"text: {text[max(err.start - 20, 0) : err.end + 20]!r} holds half a surrogate pair, which is no character; repair such texts "
                "(text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')) or filter them out"
            ) from None


def encoder(info: EncoderInfo) -> Encoder:
    """The loaded encoder, kept for the life of the process. Raises ConfigError where it cannot be loaded."""
    width = info.width if info.location == HASHING else 0  # of a model it is found out
    return _kept(replace(info, model="", revision="", width=width, device=_device(info.device)))


@contextlib.contextmanager
def in_this_process(info: EncoderInfo) -> Iterator[Encoder]:
    """An encoder on all cores of this process, which has its threads and its memory back afterwards.

    Raises ConfigError where it cannot be loaded."""
    if info.location == HASHING:
        yield load(info)  # without torch, which need not be there
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(usable_threads())
    try:
        yield load(info)
    finally:
        torch.set_num_threads(threads)
        gc.collect()  # a model has cycles: without this it would stay until Python finds time


def _device(device: str) -> str:
    """The GPU that Spark's resource scheduling gave to the task, where it gave one and no other is named."""
    spark = sys.modules.get("pyspark")
    task = spark.TaskContext.get() if spark and device in ("auto", "cuda") else None
    given = task.resources().get("gpu") if task else None
    return f"cuda:{given.addresses[0]}" if given else device


def load(info: EncoderInfo) -> Encoder:
    """A newly loaded encoder. Raises ConfigError where it cannot be loaded."""
    if info.location == HASHING:
        from synalign_spark.core.hashing import HashingEncoder

        return Encoder(HashingEncoder(info.width))
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: Any = SentenceTransformer(
            info.location,
            revision=info.hub_revision,
            device="cpu" if info.int8 else None if info.device == "auto" else info.device,
            local_files_only=info.hub_revision is None,
            trust_remote_code=info.trust_remote_code,
        )
        if info.int8:
            put_in_place(model, model_folder(info.location, info.hub_revision) / info.int8)
    except Exception as err:  # damaged weights, unknown architecture, no such device: the library raises many kinds
        raise ConfigError(
            f"embed.model: {info.location!r} cannot be loaded on device {info.device!r} ({type(err).__name__}: {str(err)[:300]}); mend the model or embed.device"
        ) from err
    model.eval()
    if info.forward.precision == "fp16" and model.device.type == "cpu":
        raise ConfigError("embed.precision: fp16 needs a GPU, and there is none here; use bf16, fp32 or auto")
    return Encoder(SentenceModel(model, info.forward))


_kept = functools.lru_cache(maxsize=2)(load)
