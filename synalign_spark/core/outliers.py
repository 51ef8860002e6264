"""Synthetic rows that must not gain weight: too far from every real row, nearly one of them, of words that no real row has, or of a label
that the real rows dispute.

A kernel and a classifier of words say little of such rows, and yet both can raise them: far from all real rows the features are noise, a
text of unknown words gets the classifier's intercept, a copy of a real row matches it best of all, and a row of another label may lie
where rows of its own are missing. So these rows keep at most the weight that they came with. What is usual is measured on the real rows themselves, each against the others (leave one out).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from synalign_spark.core.defaults import (
    COPY_COSINE,
    COPY_QUANTILE,
    FAR_QUANTILE,
    FEWEST_REFERENCE_ROWS,
    MOST_KNOWN_WORDS,
    UNKNOWN_WORDS_QUANTILE,
)
from synalign_spark.core.grams import lexical_tokens
from synalign_spark.core.sampling.neighbours import nearest

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Strings = npt.NDArray[np.object_]

FAR, COPY, WORDS, RATIO, DISPUTED = "far_from_real", "near_copy", "unknown_words", "density_ratio", "disputed_label"
ANY = ""  # the neighbourhood of rows whose label has too few real rows for one of its own
WORD_BUCKETS = 2**18


@dataclass(frozen=True)
class Neighbourhood:
    """Some real rows and how near they usually are to each other. x: (m, d); far, copy: distances to the nearest real row, above and
    below which a row is none of them."""

    x: Float32Array
    far: float
    copy: float

    @classmethod
    def of(cls, x: Float32Array) -> "Neighbourhood":
        """x: (m, d), two rows at least."""
        with threadpool_limits(1):  # else the number of cores changes the last digits
            distance = (
                NearestNeighbors(n_neighbors=2, algorithm="brute").fit(x.astype(np.float64)).kneighbors()[0][:, 0]
            )  # (m,), to another
        far, copy = np.quantile(distance, [FAR_QUANTILE, COPY_QUANTILE])
        return cls(x, float(far), float(copy))

    def reasons(self, x: Float32Array) -> Strings:
        """FAR, COPY or None for each row. x: (n, d)."""
        place, sq_distance = nearest(x, self.x.astype(np.float64))
        distance, near = np.sqrt(sq_distance), self.x[place].astype(np.float64)
        norms = np.sqrt(np.square(x, dtype=np.float64).sum(axis=1) * np.square(near).sum(axis=1))
        alike = (x * near).sum(axis=1) >= COPY_COSINE * norms
        found = np.full(len(x), None, dtype=object)
        found[distance > self.far] = FAR
        found[alike & (distance <= self.copy)] = COPY
        return found


@dataclass(frozen=True)
class KnownWords:
    """Words of the real rows. known: (buckets,) whether one has a word of that hash; least: smallest share of known words that is usual."""

    known: npt.NDArray[np.bool_]
    least: float

    @classmethod
    def of(cls, texts: Sequence[str]) -> "KnownWords":
        """Of real texts; a word counts as known to a row where another row has it too."""
        words = _words(texts)
        rows_with = np.asarray(words.sum(axis=0)).ravel()
        usual = float(np.quantile(_share(words, rows_with > 1), UNKNOWN_WORDS_QUANTILE))
        return cls(rows_with > 0, min(usual, MOST_KNOWN_WORDS))

    def unknown(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether fewer words of each text are known than is usual, (n,)."""
        found: npt.NDArray[np.bool_] = _share(_words(texts), self.known) < self.least
        return found


@dataclass(frozen=True)
class OutlierRules:
    """What keeps a row from gaining weight. neighbourhoods: by group, ANY for groups that have none of their own; words: None without
    texts; largest_ratio: by group, the largest log density ratio of a real row; lifted: (group, reason) of which most rows would be outliers."""

    neighbourhoods: Mapping[str, Neighbourhood]
    words: KnownWords | None
    largest_ratio: Mapping[str, float]
    lifted: frozenset[tuple[str, str]] = frozenset()

    def reasons(
        self, x: Float32Array, group: Strings, texts: Sequence[str] | None, log_ratio: Float64Array, disputed: npt.NDArray[np.bool_]
    ) -> Strings:
        """Why each row must not gain weight, None for most. x: (n, d); group: (n,); log_ratio: (n,) of densities, NaN where there is none;
        disputed: (n,) whether the real rows' classifier would change the label."""
        found = np.full(len(x), None, dtype=object)
        found[disputed] = DISPUTED
        largest = np.array([self.largest_ratio.get(name, np.inf) for name in group], dtype=np.float64)
        found[log_ratio > largest] = RATIO
        if self.words is not None and texts is not None and len(x):
            found[self.words.unknown(texts)] = WORDS
        for name in sorted(set(group)):
            around = self.neighbourhoods.get(name, self.neighbourhoods.get(ANY))
            if around is not None:
                rows = np.flatnonzero(group == name)
                by_distance = around.reasons(x[rows])
                told = by_distance != None  # noqa: E711  (element by element)
                found[rows[told]] = by_distance[told]
        for name, reason in self.lifted:
            found[(group == name) & (found == reason)] = None
        return found


def fit_outlier_rules(x: Float32Array, group: Strings, texts: Sequence[str] | None, largest_ratio: Mapping[str, float]) -> OutlierRules:
    """From a bounded sample of the real rows that are not held out. x: (n, d); group: (n,); texts: n, or None.

    A group with fewer than FEWEST_REFERENCE_ROWS rows is compared with the rows of all; where these are too few, nothing is an outlier."""
    if len(x) < FEWEST_REFERENCE_ROWS:
        return OutlierRules({}, None, largest_ratio)
    names, counts = np.unique(group.astype(str), return_counts=True)
    own = {str(name): Neighbourhood.of(x[group == name]) for name, n in zip(names, counts, strict=True) if n >= FEWEST_REFERENCE_ROWS}
    if len(own) < len(names):
        own.setdefault(ANY, Neighbourhood.of(x))
    return OutlierRules(own, None if texts is None else KnownWords.of(texts), largest_ratio)


def _words(texts: Sequence[str]) -> sparse.csr_matrix:
    """(n, buckets) ones where a text has a word of that hash."""
    hasher = HashingVectorizer(
        n_features=WORD_BUCKETS,
        norm=None,
        alternate_sign=False,
        binary=True,
        dtype=np.float32,
        tokenizer=lexical_tokens,
        token_pattern=None,
    )
    return hasher.transform(list(texts))


def _share(words: sparse.csr_matrix, known: npt.NDArray[np.bool_]) -> Float64Array:
    """Share of the words of each text that are known, 0 for a text without words. words: (n, buckets)."""
    count = np.asarray(words.sum(axis=1), dtype=np.float64).ravel()
    found: Float64Array = np.asarray(words @ known.astype(np.float64)).ravel() / np.maximum(count, 1.0)
    return found
