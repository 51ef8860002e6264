"""Near-duplicates against a naive comparison of all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synalign_spark.core.grams import unit_hashes, units, whole
from synalign_spark.generation.gates.near_duplicate import NearDuplicates, _alike, _one_edit, deletions

LONG = "this film has a slow start but the last half hour is worth the wait and the actors are all very good in it"


def taken(rows):
    """Rows that are accepted, one after the other."""
    seen, kept = NearDuplicates(), []
    for row in rows:
        if seen.find(row) is None:
            seen.add(row)
            kept.append(row)
    return kept


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("a warm and witty film about love", "a warm and clever film about love", True),  # seven words, one of them another
        ("a warm and witty film about love", "a warm and truly witty film about love", True),
        ("a warm and witty film about love", "a warm witty film about love", True),
        ("a warm and witty film about love", "a cold and dull film about love", False),
        ("one of a kind film", "one of a kind book", False),  # five words: another row
        (LONG, LONG.replace("slow start", "bad opening"), True),
        (LONG, LONG.replace("slow", "bad").replace("hour", "part").replace("wait", "time").replace("good", "bad"), False),
        ("\u6211\u4eec\u6628\u5929\u665a\u4e0a\u770b\u4e86\u4e00\u90e8\u7535\u5f71", "\u6211\u4eec\u6628\u5929\u665a\u4e0a\u770b\u4e86\u4e24\u90e8\u7535\u5f71", True),
        ("\u6211\u559c\u6b22\u8fd9\u90e8\u7535\u5f71", "\u6211\u559c\u6b22\u8fd9\u672c\u7535\u5f71", False),  # seven characters: another row
    ],
)  # fmt: skip
def test_by_hand(one, other, alike):
    assert (len(taken([one, other])) == 1) == alike


@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=16))
def test_deletions_are_the_wholes_of_what_is_left(found):
    hashes = unit_hashes(found)
    assert deletions(hashes).tolist() == [whole(np.delete(hashes, i)) for i in range(len(found))]


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_one_edit_against_levenshtein(a, b):
    distance = np.add.outer(np.arange(len(a) + 1), np.arange(len(b) + 1))
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            distance[i, j] = min(distance[i - 1, j] + 1, distance[i, j - 1] + 1, distance[i - 1, j - 1] + (x != y))
    assert _one_edit(a, b) == (distance[-1, -1] <= 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=6, max_size=9).map(" ".join), max_size=12))
def test_short_rows_one_edit_apart_are_all_found(rows):
    kept = taken(rows)
    assert all(not _one_edit(units(a), units(b)) for i, a in enumerate(kept) for b in kept[:i])
    assert all(row in kept or any(_alike(units(row), units(other)) for other in kept) for row in rows)


def test_long_rows_are_found_as_often_as_the_bands_promise():
    rng = np.random.default_rng(0)
    rows = [" ".join(map(str, rng.integers(0, 5_000, 30))) for _ in range(400)]
    changed = [row.split() for row in rows]
    for words in changed:
        words[7] = words[20] = "other"  # similarity 22 / 34 = 0.65
    seen = NearDuplicates()
    for row in rows:
        seen.add(row)
    found = [seen.find(" ".join(words)) for words in changed]
    assert sum(hit is not None for hit in found) >= 0.96 * 400
    assert all(hit[1] == row for hit, row in zip(found, rows, strict=True) if hit)
    assert not any(seen.find(" ".join(map(str, rng.integers(0, 5_000, 30)))) for _ in range(400))


def test_alike_says_how():
    assert _alike(units(LONG), units(LONG.replace("slow", "bad"))) == "differs in one word"
    assert _alike(units("a b c d"), units("x y z w")) is None
