"""Which words stand out in a demonstration set, against others of its label."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from synalign_spark.core.grams import units

# A line of words; those of one text are its own matter; what is less than twice as common is chance in sets of three to eight texts; words
# of one and two letters are those of grammar.
MOST, FEWEST_TEXTS, LEAST_TIMES, SHORTEST = 5, 2, 2, 3


def words_of(text: str) -> set[str]:
    """The distinct words of a text, case-folded, of at least three characters and without numbers; none where words are not set apart.

    >>> sorted(words_of("A fine, FINE film of 1999")), sorted(words_of("\u0939\u093f\u0928\u094d\u0926\u0940 \u597d\u7535\u5f71"))
    (['film', 'fine'], ['हिन्दी'])
    """
    return {word for word in units(text) if len(word) >= SHORTEST and any(map(str.isalpha, word)) and not any(map(str.isdigit, word))}


@dataclass
class DocumentFrequencies:
    """In how many texts each word stands, and how many texts there are."""

    counts: Counter[str] = field(default_factory=Counter)
    n_texts: int = 0

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.counts.update(words_of(text))
            self.n_texts += 1


def keywords(texts: Sequence[str], everywhere: DocumentFrequencies) -> list[str]:
    """At most five words that at least two of the texts have and that are at least twice as common in them as everywhere.

    everywhere: of the texts to compare with, these among them. Best first, ties by the alphabet.

    >>> every = ["slow trains", "night trains", "slow food", "night shift"]
    >>> frequencies = DocumentFrequencies()
    >>> frequencies.add(every)
    >>> keywords(every[:2], frequencies)
    ['trains']
    """
    here = DocumentFrequencies()
    here.add(texts)
    scored = []
    for word, count in here.counts.items():
        times = (count / here.n_texts) / ((everywhere.counts[word] + 0.5) / (everywhere.n_texts + 1))
        if count >= FEWEST_TEXTS and times >= LEAST_TIMES:
            scored.append((-count * math.log(times), word))
    return [word for _, word in sorted(scored)[:MOST]]
