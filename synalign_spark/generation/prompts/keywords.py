"""Which words stand out in a demonstration set, against all that are shown."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

MOST, FEWEST_TEXTS, LEAST_TIMES, SHORTEST = 5, 2, 2, 3
WORD = re.compile(r"[^\W\d_]+")


def words_of(text: str) -> set[str]:
    """The distinct words of a text, case-folded, of at least three letters.

    >>> sorted(words_of("A fine, FINE film of 1999"))
    ['film', 'fine']
    """
    return {word for word in WORD.findall(text.casefold()) if len(word) >= SHORTEST}


def document_frequencies(texts: Iterable[str]) -> tuple[Counter[str], int]:
    """In how many of the texts each word stands, and how many texts there are."""
    counts: Counter[str] = Counter()
    n_texts = 0
    for text in texts:
        counts.update(words_of(text))
        n_texts += 1
    return counts, n_texts


def keywords(texts: Sequence[str], everywhere: Counter[str], n_everywhere: int) -> list[str]:
    """At most five words that at least two of the texts have and that are at least twice as common in them as everywhere.

    everywhere, n_everywhere: document frequencies over the texts to compare with. Best first, ties by the alphabet.

    >>> every = ["slow trains", "night trains", "slow food", "night shift"]
    >>> keywords(every[:2], *document_frequencies(every))
    ['trains']
    """
    here, n_here = document_frequencies(texts)
    scored = []
    for word, count in here.items():
        times = (count / n_here) / ((everywhere[word] + 0.5) / (n_everywhere + 1))
        if count >= FEWEST_TEXTS and n_everywhere and times >= LEAST_TIMES:
            scored.append((-count * math.log(times), word))
    return [word for _, word in sorted(scored)[:MOST]]
