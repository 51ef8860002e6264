"""Units, grams and copies, against answers by hand and a naive form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synalign_spark.core.copy_index import CopyIndex
from synalign_spark.core.grams import MULTIPLIER, grams, runs, unit_hashes, units, whole

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f"]), max_size=20).map(" ".join)


def test_units_by_hand():
    assert units("Don't  stop: caf\u00e9 (1st)!") == ["don", "t", "stop", "caf\u00e9", "1st"]
    assert units("C++ C# R&D snake_case") == ["c++", "c#", "r&d", "snake", "case"]
    assert units("good\U0001f600\U0001f44e") == ["good", "\U0001f600", "\U0001f44e"]
    assert units("\u6211\u559c\u6b22iPhone") == ["\u6211", "\u559c", "\u6b22", "iphone"]
    assert units("\u0939\u093f\u0902\u0926\u0940") == ["\u0939\u093f\u0902\u0926\u0940"]  # a Hindi word with its vowel signs


def test_hashes_by_hand():
    a, b, c = (int(value) for value in unit_hashes(["a", "b", "c"]))
    assert runs(unit_hashes(["a", "b", "c"]), 2).tolist() == [(a * MULTIPLIER + b) % 2**64, (b * MULTIPLIER + c) % 2**64]
    assert whole(unit_hashes(["a", "b"])) == (2 * MULTIPLIER**2 + a * MULTIPLIER + b) % 2**64


@given(WORDS, WORDS)
def test_the_same_whole_is_the_same_units(one, other):
    same = whole(unit_hashes(units(one))) == whole(unit_hashes(units(other)))
    assert same == (one.split() == other.split())


def naive(text, others):
    """Shared word 5-grams by sets of tuples, of texts of fewer than eight words only as a whole; of those of 6 to 16 words their 3-grams too."""

    def of(words):
        return {tuple(words[i : i + 5]) for i in range(len(words) - 4)} if len(words) >= 8 else {("whole", *words)} if words else set()

    def short(words):
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)} if 6 <= len(words) <= 16 else set()

    def share(sets):
        found = sets(text.split())
        return max((len(found & sets(other.split())) / len(found) for other in others), default=0.0) if found else 0.0

    return max(share(of), share(short))


def test_a_short_text_with_one_changed_word_is_a_near_copy():
    index = CopyIndex.of_texts(["ms seigner and mr serrault bring fresh , unforced naturalism to their characters"])
    changed = "ms seigner and mr serrault bring purple , unforced naturalism to their characters"
    assert index.overlaps([changed])[0] == pytest.approx(7 / 10)
    assert CopyIndex.of_texts([changed]).covered(["ms seigner and mr serrault bring fresh , unforced naturalism to their characters"])[
        0
    ] == pytest.approx(7 / 10)
    assert index.overlaps(["ms seigner and mr serrault bring purple , unforced joy to their characters"])[0] < 0.6


@settings(max_examples=200, deadline=None)
@given(WORDS, st.lists(WORDS, max_size=6))
def test_overlap_is_that_of_sets_either_way_round(text, others):
    expected = naive(text, others)
    assert CopyIndex.of_texts(others).overlaps([text])[0] == pytest.approx(expected)
    assert CopyIndex.of_texts([text]).covered(others)[0] == pytest.approx(expected)


def test_a_chinese_sentence_with_one_changed_character_is_a_near_copy():
    sentence = "\u8fd9\u90e8\u7535\u5f71\u7684\u6545\u4e8b\u975e\u5e38\u611f\u4eba\u6f14\u5458\u4eec\u7684\u8868\u6f14\u4e5f\u5341\u5206\u51fa\u8272\u6211\u4f1a\u63a8\u8350\u7ed9\u6240\u6709\u7684\u670b\u53cb\u53bb\u770b\u771f\u7684\u597d"
    assert len(sentence) == 37
    index = CopyIndex.of_texts([sentence])
    for place in range(37):
        assert index.overlaps([sentence[:place] + "\u5927" + sentence[place + 1 :]])[0] >= 26 / 32


def test_no_texts_and_texts_without_units():
    assert CopyIndex.of_texts([]).overlaps(["one two three"]) == [0.0]
    assert CopyIndex.of_texts(["?!"]).overlaps(["?!", ""]) == [0.0, 0.0]
    assert CopyIndex.of_texts([]).covered(["one two"]).tolist() == []
    assert np.array_equal(grams("?!"), np.empty(0, np.uint64))
