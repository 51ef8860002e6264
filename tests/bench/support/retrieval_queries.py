"""Queries made from documents by rule, without a language model: each rule has a style of its own, and real queries are in none of them."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

N_KEYWORDS, FEWEST_WORDS = 6, 5
QUESTIONS = ("what is known about {}", "which methods are there for {}", "what are the results on {}", "how is this explained: {}")


def ruled_pairs(documents: dict[str, str], rules: Sequence[str] = (), seed: int = 0) -> pd.DataFrame:
    """Columns doc_id, query and rule: one query a document by each rule, in the order of the documents. rules: of RULES, () for all."""
    words = keywords(documents)
    rows = []
    for name, text in ((name, text) for name, text in documents.items() if text):
        title, *rest = (part.strip() for part in text.split(" . "))
        parts = [title, *(part for part in rest if len(part.split()) >= FEWEST_WORDS)]
        for rule in rules or RULES:
            rows.append((name, RULES[rule](parts, words[name], _drawn(f"{seed}:{rule}:{name}")), rule))
    return pd.DataFrame(rows, columns=["doc_id", "query", "rule"]).drop_duplicates(["doc_id", "query"], ignore_index=True)


def keywords(documents: dict[str, str]) -> dict[str, list[str]]:
    """The words of each document with the largest TF-IDF, the largest first."""
    model = TfidfVectorizer(stop_words="english", token_pattern=r"(?u)\b[a-z][a-z-]+\b")
    table = model.fit_transform(documents.values())
    names = model.get_feature_names_out()
    order = [row.indices[np.argsort(-row.data, kind="stable")][:N_KEYWORDS] for row in table]
    return {name: names[best].tolist() for name, best in zip(documents, order, strict=True)}


def _drawn(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")


Rule = Callable[[list[str], list[str], int], str]
RULES: dict[str, Rule] = {  # from a document's sentences, the title first, its keywords, and a number drawn for it
    "title": lambda parts, words, drawn: parts[0],
    "sentence": lambda parts, words, drawn: (parts[1:] or parts)[drawn % max(1, len(parts) - 1)],
    "keywords": lambda parts, words, drawn: " ".join(words),
    "question": lambda parts, words, drawn: QUESTIONS[drawn % len(QUESTIONS)].format(parts[0]),
}


def weight_parts(pairs: pd.DataFrame, weight: npt.NDArray[np.float64], seed: int = 0) -> dict[str, npt.NDArray[np.float64]]:
    """What weights consist of: how much each rule (a style) weighs, how queries of one rule differ (above all their topics), and, as a
    control, the same weights on other queries. weight: (n,) of mean 1; each part, too.

    >>> made = pd.DataFrame({"rule": ["a", "a", "b", "b"]})
    >>> parts = weight_parts(made, np.array([0.3, 0.1, 1.8, 1.8]))
    >>> parts["by_rule"].round(3).tolist(), parts["in_rule"].round(3).tolist()
    ([0.2, 0.2, 1.8, 1.8], [1.5, 0.5, 1.0, 1.0])
    """
    by_rule = pd.Series(weight).groupby(pairs["rule"].to_numpy()).transform("mean").to_numpy()
    return {"by_rule": by_rule, "in_rule": weight / by_rule, "shuffled": np.random.default_rng(seed).permutation(weight)}
