"""A corpus in BEIR layout: corpus.jsonl, queries.jsonl (both also .gz) and judgements as TSV with a header.

Judgements are qrels/test.tsv and qrels/train.tsv, as BEIR has them, or one qrels.tsv, whose queries are parted by a hash.
"""

import csv
import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

Judgements = dict[str, dict[str, int]]  # query id -> document id -> grade, above 0 where relevant


@dataclass(frozen=True)
class Retrieval:
    """documents, queries, real: text by id. queries: those that retrievers are judged by, and judged documents of each;
    real: other real queries, judged where some of them are. No text is in both: what is learnt and weighed sees ``real`` alone."""

    documents: dict[str, str]
    queries: dict[str, str]
    judgements: Judgements
    real: dict[str, str]
    real_judgements: Judgements


def read(folder: Path, n_real: int, seed: int = 0) -> Retrieval:
    """The corpus in a folder. n_real: queries of a single qrels.tsv that are real ones to learn from; the others judge.

    Raises ValueError for a folder that lacks a file, and for one whose judgements name no known query."""
    documents = {row["_id"]: " ".join(f"{row.get('title') or ''} {row['text']}".split()) for row in _rows(folder, "corpus.jsonl")}
    texts = {row["_id"]: " ".join(row["text"].split()) for row in _rows(folder, "queries.jsonl")}
    if (folder / "qrels" / "test.tsv").is_file():
        judged, train = (_judgements(folder / "qrels" / f"{part}.tsv") for part in ("test", "train"))
    elif (folder / "qrels.tsv").is_file():
        judged, train = part_queries(_judgements(folder / "qrels.tsv"), n_real, seed)
    else:
        raise ValueError(f"{folder}: neither qrels/test.tsv nor qrels.tsv is there; give the judgements")
    return held_out(documents, texts, judged, train)


def part_queries(judgements: Judgements, n_real: int, seed: int = 0) -> tuple[Judgements, Judgements]:
    """The judgements of the queries that judge, and those of n_real others, chosen by a hash of their ids.

    >>> judged, real = part_queries({"a": {}, "b": {}, "c": {}}, 1)
    >>> len(judged), len(real), set(judged) & set(real)
    (2, 1, set())
    """
    order = sorted(judgements, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())
    return {name: judgements[name] for name in order[n_real:]}, {name: judgements[name] for name in order[:n_real]}


def held_out(documents: dict[str, str], texts: dict[str, str], judged: Judgements, train: Judgements) -> Retrieval:
    """Real queries are all that do not judge, and whose words are not those of one that does.

    texts: of all queries; judged: judgements that retrievers are scored by; train: of real queries, {} where there are none."""
    usable = {name: relevant for name, found in judged.items() if name in texts and (relevant := _known(found, documents))}
    if not usable:
        raise ValueError("no judgement names a known query and a relevant document that is there; check the ids")
    queries = {name: texts[name] for name in sorted(usable)}
    words = {text.casefold() for text in (*queries.values(), *(texts[name] for name in judged if name in texts))}
    real = {name: texts[name] for name in sorted(texts) if name not in judged and texts[name].casefold() not in words}
    return Retrieval(documents, queries, usable, real, {name: _known(train[name], documents) for name in sorted(train) if name in real})


def _known(found: dict[str, int], documents: dict[str, str]) -> dict[str, int]:
    """The relevant documents of a query that the corpus has."""
    return {document: grade for document, grade in found.items() if grade > 0 and document in documents}


def thinned(data: Retrieval, n_documents: int) -> Retrieval:
    """About n_documents of the corpus: those that are relevant to queries, query by query, and others by hash in the last quarter."""
    kept: set[str] = set()
    for _name, found in (*data.real_judgements.items(), *data.judgements.items()):
        if len(kept) >= 3 * n_documents // 4:
            break
        kept |= set(found)
    rest = sorted(set(data.documents) - kept, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    kept |= set(rest[: max(0, n_documents - len(kept))])
    documents = {name: text for name, text in data.documents.items() if name in kept}
    judgements = {name: known for name, found in data.judgements.items() if (known := _known(found, documents))}
    real_judgements = {name: _known(found, documents) for name, found in data.real_judgements.items()}
    queries = {name: data.queries[name] for name in judgements}
    return replace(data, documents=documents, queries=queries, judgements=judgements, real_judgements=real_judgements)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON lines file, packed (.gz) or not."""
    with (gzip.open if path.name.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _rows(folder: Path, name: str) -> Iterable[dict[str, Any]]:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return read_lines(path)
    raise ValueError(f"{folder}: neither {name} nor {name}.gz is there; give a folder in BEIR layout")


def _judgements(path: Path) -> Judgements:
    """query-id, corpus-id, score under a header; {} where there is no such file."""
    found: Judgements = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as lines:
            for query, document, score in list(csv.reader(lines, delimiter="\t"))[1:]:
                found.setdefault(query, {})[document] = int(score)
    return found
