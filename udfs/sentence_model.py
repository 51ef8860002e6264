"""The forward passes of a sentence-transformers model: texts to raw vectors, pooled as the model says."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from synalign_spark.errors import ConfigError
from synalign_spark.udfs.batches import IntArray, batches

Float32Array = npt.NDArray[np.float32]
# Rows of a pass where none are configured. On an H100 MiniLM embeds sentences twice to three times as fast with 1,024 as with 32 rows
# (tests/bench/embed_device.py); the slots keep a pass of long texts within what it takes of a GPU's memory.
CPU_ROWS, GPU_ROWS, GPU_SLOTS = 32, 1_024, 2**16


@dataclass(frozen=True)
class Forward:
    """How texts go through a model. ``batch_size``: rows of a pass, None for as many as the device is fast with; ``max_tokens``: of a
    pass; ``prompt``: stands before each text, None for the model's own."""

    batch_size: int | None
    max_tokens: int
    precision: str = "fp32"
    fixed_shapes: bool = False
    prompt: str | None = None
    long_texts: Literal["truncate", "mean_of_windows"] = "truncate"


class SentenceModel:
    """A loaded model and the way texts go through it."""

    def __init__(self, model: Any, forward: Forward) -> None:
        """model: a SentenceTransformer."""
        self.model, self._forward = model, forward
        self.width = int(model.get_embedding_dimension())
        own = (model.prompts or {}).get(model.default_prompt_name, "") if model.default_prompt_name else ""
        self._prompt = own if forward.prompt is None else forward.prompt
        on_gpu = str(getattr(model, "device", "cpu")).startswith("cuda")
        self._rows = forward.batch_size or (GPU_ROWS if on_gpu else CPU_ROWS)
        self._slots = GPU_SLOTS if on_gpu and forward.batch_size is None else None
        self._tokenizer: Any = getattr(model, "tokenizer", None)
        # Models without a transformer (static word vectors) have no such tokenizer; they take the texts as they are.
        self._by_tokens = callable(self._tokenizer) and getattr(self._tokenizer, "pad_token_id", None) is not None
        limits = [forward.max_tokens, getattr(model, "max_seq_length", None), getattr(self._tokenizer, "model_max_length", None)]
        self.max_tokens = min(int(limit) for limit in limits if limit)
        self._leading, self._prompt_ids = self._prompt_tokens() if self._by_tokens and self._prompt else (0, [])
        without_prompt = any(getattr(module, "include_prompt", True) is False for module in getattr(model, "modules", list)())
        self._unpooled = self._leading + len(self._prompt_ids) if without_prompt and self._prompt else 0

    def raw(self, texts: list[str]) -> Float32Array:
        """(n,) texts to (n, width) float32, not yet of unit length."""
        if not self._by_tokens:
            return self._whole(texts)
        ids, owner = self._pieces(texts)  # token ids of each pass's rows; (pieces,) the text of each
        lengths = np.fromiter((len(row) for row in ids), dtype=np.int64, count=len(ids))
        vectors = np.empty((len(ids), self.width), dtype=np.float32)
        with _one_thread() if self._forward.fixed_shapes else contextlib.nullcontext():
            for batch in batches(lengths, self._rows, self._forward.fixed_shapes, self._slots):
                vectors[batch.texts] = self._fitting([ids[i] for i in batch.texts], batch.rows, batch.width)[: len(batch.texts)]
        return vectors if len(ids) == len(texts) else _mean(vectors, lengths, owner, len(texts))

    def _prompt_tokens(self) -> tuple[int, list[int]]:
        """Special tokens that lead every text, and the prompt's own tokens."""
        marked = self._tokenizer(self._prompt, return_special_tokens_mask=True)
        mask = list(marked["special_tokens_mask"])
        leading = mask.index(0) if 0 in mask else 0
        return leading, [token for token, special in zip(marked["input_ids"], mask, strict=True) if not special]

    def _pieces(self, texts: list[str]) -> tuple[list[list[int]], IntArray]:
        """Token ids of one piece a text, or of all windows of a long one; and the text of each piece."""
        whole = [self._prompt + text for text in texts]
        if self._forward.long_texts == "truncate":
            return self._tokenizer(whole, truncation=True, max_length=self.max_tokens)["input_ids"], np.arange(len(texts))
        ids = self._tokenizer(whole, truncation=False, verbose=False)["input_ids"]
        long = [i for i, row in enumerate(ids) if len(row) > self.max_tokens]
        pieces, owner = [row for row in ids if len(row) <= self.max_tokens], [i for i, row in enumerate(ids) if len(row) <= self.max_tokens]
        if long:
            room = max(self.max_tokens - len(self._prompt_ids), self._leading + 2)
            cut = self._tokenizer([texts[i] for i in long], truncation=True, max_length=room, return_overflowing_tokens=True)
            for row, text in zip(cut["input_ids"], cut["overflow_to_sample_mapping"], strict=True):
                pieces.append([*row[: self._leading], *self._prompt_ids, *row[self._leading :]])
                owner.append(long[text])
        return pieces, np.array(owner, dtype=np.int64)

    def _fitting(self, ids: list[list[int]], rows: int, width: int) -> Float32Array:
        """A pass, or two of half the rows where the GPU's memory is too small for it. Raises ConfigError where it cannot be halved."""
        import torch

        try:
            return self._pass(ids, rows, width)
        except torch.OutOfMemoryError as err:
            if rows == 1 or self._forward.fixed_shapes:
                raise ConfigError(
                    f"embed.batch_size: the GPU's memory is too small for {rows} rows of {width} tokens; lower embed.batch_size or "
                    "embed.max_tokens, or set embed.device to cpu"
                ) from err
        torch.cuda.empty_cache()
        half = -(-len(ids) // 2)
        return np.concatenate([self._fitting(part, len(part), width) for part in (ids[:half], ids[half:])])

    def _pass(self, ids: list[list[int]], rows: int, width: int) -> Float32Array:
        """(rows, d) vectors; the rows beyond ``ids`` are dummies of one visible token."""
        import torch

        tokens = np.full((rows, width), self._tokenizer.pad_token_id, dtype=np.int64)
        mask = np.zeros((rows, width), dtype=np.int64)
        mask[:, 0] = 1
        for i, row in enumerate(ids):
            tokens[i, : len(row)] = row
            mask[i, : len(row)] = 1
        features: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask}
        if "token_type_ids" in self._tokenizer.model_input_names:
            features["token_type_ids"] = np.zeros_like(tokens)
        with torch.inference_mode(), self._numbers():
            on_device: dict[str, Any] = {name: torch.from_numpy(values).to(self.model.device) for name, values in features.items()}
            if self._unpooled:
                on_device["prompt_length"] = self._unpooled
            vectors: Float32Array = self.model.forward(on_device)["sentence_embedding"].float().cpu().numpy()
        return vectors

    def _numbers(self) -> contextlib.AbstractContextManager[Any]:
        """Matrix products in the configured precision; norms and softmax stay in float32."""
        import torch

        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        if self._forward.precision not in kinds:
            return contextlib.nullcontext()
        return torch.autocast(self.model.device.type, dtype=kinds[self._forward.precision])

    def _whole(self, texts: list[str]) -> Float32Array:
        size = 1 if self._forward.fixed_shapes else self._rows
        starts = range(0, len(texts), size)
        parts = [[self._prompt + text for text in texts[start : start + size]] for start in starts]
        found = [self.model.encode(part, batch_size=size, show_progress_bar=False, convert_to_numpy=True) for part in parts]
        return np.concatenate(found).astype(np.float32)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """How many threads share a matrix product decides in which order it is summed, and so its last bits on some processors."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _mean(vectors: Float32Array, tokens: IntArray, owner: IntArray, n_texts: int) -> Float32Array:
    """Mean of each text's windows, by tokens. vectors: (pieces, d); tokens and owner: (pieces,). Returns (n_texts, d)."""
    wide = vectors.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    total = np.zeros((n_texts, vectors.shape[1]))
    np.add.at(total, owner, wide / np.where(norms > 0, norms, 1) * tokens[:, None])
    return total.astype(np.float32)
