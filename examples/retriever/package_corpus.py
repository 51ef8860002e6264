"""A small corpus out of installed packages: the documentation of numpy, scipy and pandas.

A document describes a function. A query is how the page of another function refers to it under "See Also", in words that its own page
does not have: written by people, who wanted it to be found. Both depend on the installed versions.
"""

import hashlib
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from .beir import Judgements, Retrieval, held_out, part_queries, thinned

MODULES = (
    "numpy numpy.linalg numpy.fft numpy.ma scipy.linalg scipy.stats scipy.optimize scipy.signal scipy.interpolate scipy.sparse "
    "scipy.sparse.linalg scipy.spatial scipy.spatial.distance scipy.special scipy.ndimage scipy.integrate scipy.cluster.hierarchy scipy.fft "
    "pandas pandas.DataFrame pandas.Series"
)
SECTION = re.compile(r"^See Also\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^(\S+?) ?:\s+(.+(?:\n[ ]+.+)*)|^(\S+)\n((?:[ ]+.+\n?)+)", re.MULTILINE)  # name : words, on one line or two
FEWEST_CHARS, FEWEST_WORDS, MOST_WORDS = 200, 5, 120  # of a page, of a query, of a document


def package_corpus(n_real: int, n_documents: int, seed: int = 0) -> Retrieval:
    """About n_documents pages, and the queries that they answer; n_real of these are real ones to learn from, the others judge."""
    pages = dict(_pages())
    texts, judgements = _references(pages)
    documents = {name: " ".join(SECTION.sub("", page).split()[:MOST_WORDS]) for name, page in pages.items()}
    judged, train = part_queries(judgements, n_real, seed)
    return thinned(held_out(documents, texts, judged, train), n_documents)


def _pages() -> Iterator[tuple[str, str]]:
    """Name and docstring of each public function, class or method; one that has several names comes under the first."""
    seen = set()
    for module in MODULES.split():
        place = _imported(module)
        for name in sorted(getattr(place, "__all__", None) or dir(place)):
            found = getattr(place, name, None)
            page = inspect.getdoc(found) if callable(found) and not name.startswith("_") else None
            if page and len(page) >= FEWEST_CHARS and page not in seen:
                seen.add(page)
                yield f"{module}.{name}", page


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)


def _references(pages: dict[str, str]) -> tuple[dict[str, str], Judgements]:
    """The queries by id, and the pages that each refers to."""
    texts: dict[str, str] = {}
    judgements: Judgements = {}
    for name, page in pages.items():
        section = SECTION.search(page)
        for entry in ENTRY.finditer(section[1]) if section else ():
            target, words = (entry[1] or entry[3]).strip("`"), " ".join((entry[2] or entry[4]).split())
            known = next((full for full in (target, f"{name.rpartition('.')[0]}.{target}") if full in pages), None)
            if known and len(words.split()) >= FEWEST_WORDS and not _says(pages[known], words):
                key = hashlib.sha256(words.casefold().encode()).hexdigest()[:16]
                texts.setdefault(key, words)
                judgements.setdefault(key, {})[known] = 1
    return texts, judgements


def _says(page: str, words: str) -> bool:
    """Whether the page has these very words."""
    return words.casefold().strip(" .") in " ".join(page.casefold().split())
