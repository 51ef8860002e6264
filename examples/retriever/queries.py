"""Synthetic queries for documents: written by a language model through sa.generate, or read from a file of pairs."""

import hashlib
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import synalign_spark as sa

from .beir import Retrieval, read_lines

PROMPTS = Path(__file__).parent / "prompts"
SHOWN, WORDS = 3, 60  # pairs shown before the document, and words of a document in a prompt
SPARE = 2.0  # documents asked about, for each that is needed: the gates refuse some queries
GATES = ["meta", "pii", "language", "copied", "near_duplicate"]  # the others hold a row against what is shown, and that is no query here
# The embedded model continues what it is shown. Its queries to one document are as many answers to one prompt.
EMBEDDED: dict[str, Any] = {"temperature": 0.9, "top_p": 0.95, "max_output_tokens": 40, "concurrency": 8}


def read_pairs(path: Path, data: Retrieval) -> pd.DataFrame:
    """Pairs that were generated before, JSON lines (also .gz) with doc_id and query. Raises ValueError where none names a document."""
    pairs = pd.DataFrame(list(read_lines(path)), columns=["doc_id", "query"]).astype(str).drop_duplicates()
    pairs = pairs[pairs["doc_id"].isin(list(data.documents))].reset_index(drop=True)
    if pairs.empty:
        raise ValueError(f"{path}: no line has a doc_id of the corpus and a query; give JSON lines with both")
    return pairs


def generate(data: Retrieval, llm: str, model: str | None, n: int, ledger: Path, per_document: int = 2, seed: int = 0) -> pd.DataFrame:
    """n queries by a language model, columns doc_id and query, about documents chosen by hash.

    llm: address of an endpoint, or 'embedded'. The gates of sa.generate refuse what copies its document, repeats or is no text.
    Answers stay in the folder ``ledger``; called again, nothing is asked twice."""
    written = [name for name, text in data.documents.items() if text]
    chosen = sorted(written, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())[: math.ceil(SPARE * n / per_document)]
    shown = demonstrations(data, chosen)
    rows = sa.generate(
        shown,
        llm=llm,
        model=model,
        n=n,
        task="a search query",
        prompts=str(PROMPTS),
        strategy="fewshot",
        rows_per_request=per_document,
        max_rows_per_set=per_document,  # one prompt a document, whose texts stand in their order
        gates=GATES,
        max_chars=300,
        ledger=ledger,
        seed=seed,
        **(EMBEDDED if llm == "embedded" else {}),
    )
    document = dict(enumerate(chosen))
    return pd.DataFrame({"doc_id": rows["set_rank"].map(document), "query": rows["text"]})


def demonstrations(data: Retrieval, chosen: list[str]) -> pd.DataFrame:
    """What the model sees, a set a document: real pairs of a document and its query, then the document without one.

    Which pairs are shown changes from set to set. Without judged real queries, none are."""
    pairs = [(best_document(found), data.real[name]) for name, found in data.real_judgements.items() if found]
    ring: Iterator[tuple[str, str]] = itertools.cycle(pairs)
    rows = []
    for rank, name in enumerate(chosen):
        texts = [f"{about(data.documents[document])} {query}" for document, query in itertools.islice(ring, min(SHOWN, len(pairs)))]
        texts.append(about(data.documents[name]))
        rows += [(0, None, rank, rank, place, f"{name}:{place}", text) for place, text in enumerate(texts)]
    return pd.DataFrame(rows, columns=["round", "label", "set_rank", "cluster_id", "rank_in_set", "doc_id", "text"])


def best_document(found: dict[str, int]) -> str:
    """The document of the highest grade, the first by id of equals."""
    return min(found, key=lambda name: (-found[name], name))


def about(document: str) -> str:
    """The beginning of a document, up to the place where a query is to stand."""
    return f"Document: {' '.join(document.split()[:WORDS])} Query:"
