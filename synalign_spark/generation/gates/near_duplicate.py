"""Near-duplicates of accepted rows: one edit away, or alike by most of their runs of three units.

Short rows are found by symmetric deletion (Garbe 2012): two rows that differ in one unit are equal once it is left out of both.
Longer ones by MinHash (Broder 1997) in bands of a locality-sensitive hash, and then compared by their exact Jaccard similarity.
"""

import numpy as np

from synalign_spark.core.grams import MULTIPLIER, UInt64Array, by_characters, runs, unit_hashes, units, whole
from synalign_spark.core.minhash import BANDS_SHARED, LEAST_SIMILAR, SHINGLE, band_keys
from synalign_spark.generation.seen import KeyTable, TextList

GATE = "near_duplicate"
FEWEST_WORDS, FEWEST_CHARACTERS = 6, 12  # a shorter row that differs in one unit is another row
LONGEST_BY_DELETION = 16  # units; one edit of a longer row leaves a Jaccard similarity above LEAST_SIMILAR or close to it
INVERSE = np.uint64(pow(MULTIPLIER, -1, 2**64))
_NONE = np.empty(0, dtype=np.uint64)
_Prepared = tuple[list[str], UInt64Array, UInt64Array]  # units, keys of rows one edit away, band keys


class NearDuplicates:
    """The accepted rows of a run, in their order. Texts and keys are on the disk, of these 456 bytes a row at most."""

    def __init__(self) -> None:
        self._texts = TextList()
        self._edits, self._bands = KeyTable(), KeyTable()
        self._last: tuple[str, _Prepared] = ("", ([], _NONE, _NONE))

    def find(self, text: str) -> tuple[str, str] | None:
        """(how it is alike, the earliest accepted row that it is alike to), None where there is none.

        >>> seen = NearDuplicates()
        >>> seen.add("a warm and witty film about growing up")
        >>> seen.find("a warm and witty film about growing old")
        ('differs in one word', 'a warm and witty film about growing up')
        """
        found, edits, bands = self._prepared(text)
        if not len(bands):
            return None
        edited, banded = self._edits.rows(edits), self._bands.rows(bands)
        for row in sorted(edited.keys() | {row for row, n in banded.items() if n >= BANDS_SHARED}):
            other = self._texts[row]
            if how := _alike(found, units(other)):
                return how, other
        return None

    def add(self, text: str) -> None:
        """Remembers an accepted row."""
        _, edits, bands = self._prepared(text)
        if len(bands):
            self._edits.add(edits, len(self._texts))
            self._bands.add(bands, len(self._texts))
            self._texts.append(text)

    def _prepared(self, text: str) -> _Prepared:
        """Kept for the next call: a row is looked for, and then remembered."""
        if self._last[0] != text:
            found = units(text)
            self._last = text, (found, *(_keys(unit_hashes(found)) if len(found) >= _fewest(found) else (_NONE, _NONE)))
        return self._last[1]


def _fewest(found: list[str]) -> int:
    return FEWEST_CHARACTERS if by_characters(found) else FEWEST_WORDS


def _keys(hashes: UInt64Array) -> tuple[UInt64Array, UInt64Array]:
    """(keys of which rows that are one edit apart share one, none for a long row; band keys). hashes: (n,) of the units."""
    bands = band_keys(runs(hashes, SHINGLE))
    if len(hashes) > LONGEST_BY_DELETION:
        return hashes[:0], bands
    return np.unique(np.append(deletions(hashes), np.uint64(whole(hashes)))), bands


def deletions(hashes: UInt64Array) -> UInt64Array:
    """The hash of the row without each of its units. hashes: (n,); returns (n,): what ``whole`` gives for the n - 1 that are left."""
    n = len(hashes)
    powers = np.cumprod(np.concatenate([np.ones(1, np.uint64), np.full(n, MULTIPLIER, np.uint64)]))  # MULTIPLIER^0 ... MULTIPLIER^n
    terms = hashes * powers[:n][::-1]  # (n,)
    before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms)])  # (n + 1,)
    length = powers[max(n - 1, 0) : n] * np.uint64(max(n - 1, 0))  # (1,): of arrays, whose products wrap around in silence
    without: UInt64Array = before[:n] * INVERSE + (before[n:] - before[1:]) + length
    return without


def _alike(a: list[str], b: list[str]) -> str | None:
    """How two rows are alike, in words."""
    if _one_edit(a, b):
        return "differs in one word" if not by_characters(a) else "differs in one character"
    one, other = (set(zip(*(found[i:] for i in range(SHINGLE)), strict=False)) for found in (a, b))
    shared = len(one & other) / max(len(one | other), 1)
    return f"{shared:.0%} of the runs of {SHINGLE} units are shared" if shared >= LEAST_SIMILAR else None


def _one_edit(a: list[str], b: list[str]) -> bool:
    """Whether one unit is put in, left out or replaced."""
    short, long = sorted((a, b), key=len)
    if len(long) - len(short) > 1:
        return False
    same = next((i for i, (x, y) in enumerate(zip(short, long, strict=False)) if x != y), len(short))
    return short[same + (len(short) == len(long)) :] == long[same + 1 :]
