"""A language model out of rows that one wrote: it answers a prompt with rows of a pool that are near what the prompt shows."""

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

SHOWN, ASKED, LABEL = (
    re.compile(r'^\d+\. "(.*)"$', re.MULTILINE),
    re.compile(r"list of (\d+) texts"),
    re.compile(r'with the label "([^"]*)"'),
)
AMONG = 5  # times as many rows as are asked for, the nearest ones, are drawn from: a model does not say the same again


def labelled_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a corpus of the data folder."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


class Pool:
    """Answers of a server, as ``Behaviour.fault`` takes them: a function of the prompt alone. calls: that were answered."""

    def __init__(self, rows: Sequence[dict[str, str]]) -> None:
        self._texts = [row["text"] for row in rows]
        self._labels = np.array([row["label"] for row in rows])
        self._words = TfidfVectorizer(sublinear_tf=True)
        self._x = self._words.fit_transform(self._texts)  # (n, v)
        self.calls = 0

    def __call__(self, request_id: str, body: dict[str, Any], n: int) -> tuple[int, dict[str, str], str] | None:
        if not request_id:
            return None  # a probe
        said = body["messages"][-1]["content"]
        asked = int(found[1]) if (found := ASKED.search(said)) else 1
        self.calls += 1
        return 200, {}, json.dumps({"rows": self.near(SHOWN.findall(said), LABEL.search(said)[1], asked, said)})

    def near(self, shown: Sequence[str], label: str, count: int, seed: str) -> list[str]:
        """So many rows of the label, drawn from those nearest the texts shown."""
        middle = np.asarray(self._words.transform(shown).mean(axis=0)).ravel()
        rows = np.flatnonzero(self._labels == label)
        nearest = rows[np.argsort(-(self._x[rows] @ middle), kind="stable")[: AMONG * count]]
        rng = random.Random(hashlib.sha256(seed.encode()).digest())
        return [self._texts[i] for i in rng.sample(nearest.tolist(), min(count, len(nearest)))]
