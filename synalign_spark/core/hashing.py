"""Vectors without a model: hashed words and pairs of words, projected at random to a few hundred numbers.

For tests, first looks and millions of rows. The distance of two texts is that of their words (Johnson and
Lindenstrauss 1984; sparse projections: Achlioptas 2003), not that of their meaning.
"""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.core.grams import units

FEATURES = 2**16
SEED = 0
NONZEROS = 16  # of each hashed feature, so that no word is lost


def tokens(text: str) -> list[str]:
    """The units of a text (see ``core.grams``); of one without any, such as "?!", its characters.

    >>> tokens("Good film 😀"), tokens("?!")
    (['good', 'film', '😀'], ['?', '!'])
    """
    return units(text) or list("".join(text.split()))


class HashingEncoder:
    """Texts go in, vectors come out; the same on every machine, alone or in company."""

    def __init__(self, width: int) -> None:
        """width: numbers in a vector."""
        from sklearn.feature_extraction.text import HashingVectorizer

        self.width = width
        self._words = HashingVectorizer(n_features=FEATURES, ngram_range=(1, 2), tokenizer=tokens, token_pattern=None, lowercase=False)
        self._projection = _projection(width)

    def raw(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """(n,) texts to (n, width) float32; a text without a word has the vector zero.

        >>> x = HashingEncoder(64).raw(["good film", "good film", "another thing"])
        >>> x.shape, bool((x[0] == x[1]).all()), bool((x[0] == x[2]).all())
        ((3, 64), True, False)
        """
        counts = self._words.transform(texts)  # (n, FEATURES) sparse, rows of unit norm
        dense: npt.NDArray[np.float32] = (counts @ self._projection).toarray().astype(np.float32)
        return dense


@functools.lru_cache(maxsize=2)
def _projection(width: int) -> Any:
    """(FEATURES, width) sparse, the same for a width on every machine."""
    from sklearn.random_projection import SparseRandomProjection

    density = min(1.0, NONZEROS / width)
    model = SparseRandomProjection(n_components=width, density=density, random_state=SEED)
    model.fit(np.zeros((1, FEATURES), dtype=np.float32))
    return model.components_.T.tocsr()
