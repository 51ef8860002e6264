"""Labelled text for benchmarks, with its embeddings kept on disk.

The sets lie under the folder that SYNALIGN_DATA names (gzip JSON lines with `text` and `label`); none of them is part of
this project. Public sources: AG News (github.com/mhjabreel/CharCnn_Keras; rows written by Llama-3.1-8B:
github.com/kinit-sk/selec-strats-for-aug), SST-2 (github.com/clairett/pytorch-sentiment-classification and
github.com/forest-snow/alps; synthetic: github.com/yumeng5/FewGen, github.com/kinit-sk/llms_vs_nlpaug_data_aug), IMDb
(ai.stanford.edu/~amaas/data/sentiment; synthetic: github.com/LindaLydia/FuseGen).
"""

import gzip
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synalign_spark.config import EmbedConfig
from synalign_spark.udfs.encoder import encoder, encoder_info

STEP_ROWS = 2_000


@dataclass(frozen=True)
class Corpus:
    """Distinct texts in the order of their hashes. ids, labels: (n,) strings; x: (n, d) unit vectors."""

    ids: npt.NDArray[np.str_]
    texts: list[str]
    labels: npt.NDArray[np.str_]
    x: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: npt.NDArray[np.integer] | slice) -> "Corpus":
        """The rows at these places."""
        places = np.arange(len(self))[rows]
        return Corpus(self.ids[places], [self.texts[i] for i in places], self.labels[places], self.x[places])


def data_folder() -> Path:
    """The folder that SYNALIGN_DATA names. Raises SystemExit with what to do where it is missing."""
    folder = os.environ.get("SYNALIGN_DATA", "")
    if not folder or not Path(folder).is_dir():
        raise SystemExit(f"SYNALIGN_DATA must name the folder with the corpora (see {__file__} for their sources), got {folder!r}")
    return Path(folder)


def load(paths: Sequence[Path], most: int | None = None, text_column: str = "text", label_column: str = "label") -> Corpus:
    """The distinct rows of all files. most: keep so many, those with the smallest hashes.

    A text that comes with several labels keeps the label it had first."""
    rows: dict[str, tuple[str, str]] = {}
    for path in paths:
        for row in read_rows(path):
            text = " ".join(str(row[text_column]).split())
            if text:
                rows.setdefault(hashlib.sha256(text.encode()).hexdigest(), (text, str(row[label_column])))
    ids = sorted(rows)[:most]
    texts, labels = [rows[key][0] for key in ids], [rows[key][1] for key in ids]
    return Corpus(np.array(ids), texts, np.array(labels), embedded(ids, texts))


def read_rows(path: Path) -> Iterator[dict[str, object]]:
    """Rows of a JSON lines (also .gz), CSV or Parquet file."""
    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        with (gzip.open if name.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)
        return
    import pandas as pd

    frame = pd.read_parquet(path) if name.endswith(".parquet") else pd.read_csv(path, sep="\t" if ".tsv" in name else ",")
    yield from frame.to_dict("records")


def embedded(ids: Sequence[str], texts: list[str]) -> npt.NDArray[np.float32]:
    """(n, 384) vectors of the embedded encoder; computed once, then read from the cache (SYNALIGN_BENCH_CACHE)."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    cache = Path(os.environ.get("SYNALIGN_BENCH_CACHE", Path(tempfile.gettempdir()) / "synalign-bench"))
    cache.mkdir(parents=True, exist_ok=True)
    info = encoder_info(EmbedConfig())
    kept = cache / (hashlib.sha256("\n".join([info.revision, *ids]).encode()).hexdigest()[:24] + ".npy")
    if kept.exists():
        return np.load(kept)
    parts = []
    for start in range(0, len(texts), STEP_ROWS):
        parts.append(encoder(info).encode(texts[start : start + STEP_ROWS]))
        print(f"embedding: {min(start + STEP_ROWS, len(texts)):,} of {len(texts):,} rows", file=sys.stderr, flush=True)
    x = np.concatenate(parts) if parts else np.empty((0, info.width), dtype=np.float32)
    np.save(kept.with_suffix(".part.npy"), x)
    os.replace(kept.with_suffix(".part.npy"), kept)
    return x
