"""What an embedder makes of texts before any vector is computed: which of their tokens it knows, where it cuts them, which look the same to it."""

import functools
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synalign_spark.config import EmbedConfig
from synalign_spark.core.text import normalise
from synalign_spark.udfs.encoder import HASHING, encoder_info
from synalign_spark.udfs.model_files import find_model, transformer_folder

LETTERS_A_TOKEN = 1.3  # fewer: the text is spelled out. English has some 4, and a model that knows a language at least 1.5
FEWEST_LETTERS = 10  # of a text that is looked at for it


@dataclass(frozen=True)
class Reading:
    """Shares of what an embedder reads. texts: how many were looked at; unknown_tokens: of their tokens, the others of the texts."""

    texts: int
    unknown_tokens: float
    spelled_out: float
    identical: float
    cut: float
    max_tokens: int


def read_by(cfg: EmbedConfig, texts: Sequence[str]) -> Reading | None:
    """How the configured embedder reads distinct texts; its weights are not loaded. None where it has no tokenizer of the usual kind, or is behind an endpoint.

    Texts of the same tokens have the same vector. Raises ConfigError where there is no such model."""
    if cfg.model == HASHING or cfg.endpoint is not None:
        return None
    limit = encoder_info(cfg).forward.max_tokens
    tokenizer = _tokenizer(str(transformer_folder(find_model(cfg)[0])))
    distinct = list(dict.fromkeys(map(normalise, texts)))
    if tokenizer is None or not distinct:
        return None
    found = tokenizer(distinct, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    n_tokens = n_unknown = n_spelled = n_cut = 0
    kept: Counter[tuple[int, ...]] = Counter()
    for text, ids, offsets, special in zip(
        distinct, found["input_ids"], found["offset_mapping"], found["special_tokens_mask"], strict=True
    ):
        unknown = [token == tokenizer.unk_token_id for token in ids]
        words = [not mark or lost for mark, lost in zip(special, unknown, strict=True)]
        n_tokens += sum(words)
        n_unknown += sum(unknown)
        pieces = [text[a:b] for (a, b), word, lost in zip(offsets, words, unknown, strict=True) if word and not lost]
        n_spelled += is_spelled(pieces)
        n_cut += len(ids) > limit and cfg.long_texts == "truncate"
        kept[tuple(ids[:limit] if cfg.long_texts == "truncate" else ids)] += 1
    n = len(distinct)
    same = sum(count for count in kept.values() if count > 1)
    return Reading(n, n_unknown / max(n_tokens, 1), n_spelled / n, same / n, n_cut / n, limit)


def is_spelled(pieces: Sequence[str]) -> bool:
    """Whether tokens hold hardly more than a letter each. Han characters are words, and count as none.

    >>> is_spelled(list("spelledoutsentence")), is_spelled(["a", "fine", "sentence"]), is_spelled(list("\\u597d\\u7535\\u5f71" * 5))
    (True, False, False)
    """
    letters = [n for piece in pieces if (n := sum(char.isalpha() and not _is_han(char) for char in piece))]
    return sum(letters) >= FEWEST_LETTERS and sum(letters) < LETTERS_A_TOKEN * len(letters)


def _is_han(char: str) -> bool:
    return unicodedata.name(char, "").startswith("CJK ")


@functools.lru_cache(maxsize=2)
def _tokenizer(folder: str) -> Any:
    """The model's tokenizer; None where it has none that says which part of a text a token is."""
    from transformers import AutoTokenizer

    if not any(Path(folder).glob("tokenizer*")) and not (Path(folder) / "vocab.txt").exists():
        return None
    try:
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception:  # the library raises many kinds: the model itself may load all the same
        return None
    return found if getattr(found, "is_fast", False) and found.pad_token_id is not None else None
