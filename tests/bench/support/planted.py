"""Rows with a fault or a bias that is known, made from rows that have none."""

import dataclasses

import numpy as np
import numpy.typing as npt

from tests.bench.support.corpora import Corpus

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]

LATIN, CYRILLIC = "abcdefghijklmnopqrstuvwxyz", "цитвевгохжкмлноидпсрзфщтыю"  # no word of English is left


def relabelled(rows: Corpus, labels: Labels) -> Corpus:
    """The rows with other labels."""
    return dataclasses.replace(rows, labels=labels)


def shuffled(labels: Labels, share: float, seed: int) -> Labels:
    """Labels of which this share, chosen by the seed, is permuted: some get their own label back, and the label shares stay."""
    rng, result = np.random.default_rng([seed, 0x5F1]), labels.copy()
    chosen = rng.permutation(len(labels))[: round(share * len(labels))]
    result[chosen] = labels[rng.permutation(chosen)]
    return result


def flipped(labels: Labels, share: float, seed: int) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Labels of which this share is another one, any of the others alike, and a mask of these."""
    rng, result = np.random.default_rng([seed, 0xF11]), labels.copy()
    names, place = np.unique(labels, return_inverse=True)
    wrong = np.zeros(len(labels), dtype=bool)
    wrong[rng.permutation(len(labels))[: round(share * len(labels))]] = True
    shift = rng.integers(1, len(names), size=len(labels))
    result[wrong] = names[(place + shift) % len(names)][wrong]
    return result, wrong


def kept(probability: Float64Array, seed: int) -> Int64Array:
    """Places of the rows that are kept, each by its own probability: the right weight of a kept row is one over it. probability: (n,)."""
    return np.flatnonzero(np.random.default_rng([seed, 0x6EE]).random(len(probability)) < probability)


def class_mix(labels: Labels, least: float) -> Float64Array:
    """(n,) probabilities of keeping a row that fall evenly over the sorted labels, from 1 to ``least``.

    >>> class_mix(np.array(["a", "b", "c"]), 0.2).round(1).tolist()
    [1.0, 0.6, 0.2]"""
    names, place = np.unique(labels, return_inverse=True)
    falling: Float64Array = np.linspace(1.0, least, len(names))[place]
    return falling


def in_other_letters(text: str) -> str:
    """The text with every Latin letter replaced by a Cyrillic one: words as long and as frequent, but of no language that is known here.

    >>> in_other_letters("A bad film")
    'Ц ицв ехмл'"""
    return text.translate(str.maketrans(LATIN + LATIN.upper(), CYRILLIC + CYRILLIC.upper()))
