"""How varied rows are: in their words, among themselves, and in length and labels beside the real ones."""

from collections.abc import Sequence

import numpy as np

from synalign_spark.core.grams import units
from synalign_spark.evaluation.rows import Float32Array, Rows

BLEU_ROWS = 50  # of a set: each is compared with all others, which takes a second for so many
VENDI_ROWS = 500  # whose kernel's eigenvalues are found


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Distinct runs of n words over all of them (Li et al. 2016); NaN where no text has so many. It falls with the number of texts.

    >>> distinct_n(["a fine film", "a fine day"], 2)
    0.75
    """
    runs = [tuple(found[i : i + n]) for found in map(units, texts) for i in range(len(found) - n + 1)]
    return len(set(runs)) / len(runs) if runs else float("nan")


def self_bleu(texts: Sequence[str]) -> float:
    """The mean BLEU of each text against the others (Zhu et al. 2018), 0 to 1: high where the texts repeat each other. NaN for one text.

    Of the first BLEU_ROWS texts; by sacrebleu, with its own tokenisation.

    >>> self_bleu(["the film is a joy to see", "the film is a joy to see"]), self_bleu(["one", "two"])
    (1.0, 0.0)
    """
    from sacrebleu.metrics.bleu import BLEU

    texts = texts[:BLEU_ROWS]
    if len(texts) < 2:
        return float("nan")
    metric = BLEU(effective_order=True)
    scores = [metric.sentence_score(text, [*texts[:place], *texts[place + 1 :]]).score for place, text in enumerate(texts)]
    return float(np.round(np.mean(scores) / 100.0, 6))


def vendi(x: Float32Array) -> float:
    """The Vendi score (Friedman & Dieng 2023, arXiv 2210.02410), of cosines: how many unlike rows there are in effect, 1 to n.

    x: (n, d), of which the first VENDI_ROWS are looked at.

    >>> vendi(np.eye(4, dtype=np.float32)), vendi(np.ones((4, 2), np.float32))
    (4.0, 1.0)
    """
    x = x[:VENDI_ROWS].astype(np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    spectrum = np.linalg.eigvalsh(x @ x.T / len(x) if len(x) <= x.shape[1] else x.T @ x / len(x))
    spectrum = spectrum[spectrum > 1e-12]
    return float(np.round(np.exp(-np.sum(spectrum * np.log(spectrum))), 6))


def length_distance(texts: Sequence[str], real: Sequence[str]) -> float:
    """How far the lengths are from those of real texts, in words: the mean shift from one to the other (Wasserstein distance).

    >>> length_distance(["a b c", "a"], ["a b c d", "a b"])
    1.0
    """
    from scipy.stats import wasserstein_distance

    first, second = ([len(units(text)) for text in some] for some in (texts, real))
    return float(wasserstein_distance(first, second))


def label_distance(rows: Rows, real: Rows) -> float:
    """Total variation between the label shares of both, by their weights: the share of rows that would have to change.

    >>> ones = np.ones(2)
    >>> label_distance(Rows(np.zeros((2, 1), np.float32), ones, None, ["a", "b"]), Rows(np.zeros((2, 1), np.float32), ones, None, ["a", "a"]))
    0.5
    """
    names = sorted({*(rows.labels or ()), *(real.labels or ())})
    place = {name: i for i, name in enumerate(names)}
    shares = [
        np.bincount([place[label] for label in side.labels or ()], weights=side.weight, minlength=len(names)) for side in (rows, real)
    ]
    return float(0.5 * np.abs(shares[0] / shares[0].sum() - shares[1] / shares[1].sum()).sum())
