"""Rows are accepted or refused by rules that can be checked by hand."""

import pytest

from synalign_spark.generation.acceptance import Acceptor, CopyIndex, ngrams, overlap, without_label

SHOWN = CopyIndex.of(["The quick brown fox jumps over the lazy dog today", "A fine film."])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A film about trains that never stop.", None),
        ("   \n ", "empty"),
        ("?!... --", "empty"),
        ("1. 1. 2. 3. 3. 3. 3.", "empty"),
        ("Short", "too_short"),
        ("x" * 101, "too_long"),
        ("THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG today!", "copied"),
        ("I say the quick brown fox jumps over it", "copied"),  # 2 of 5 five-grams
        ("I say quick brown fox jumps over it all the time", None),  # 1 of 7
        ("a fine film", "copied"),  # fewer than five words: equal to a demonstration
        ("a fine film!!", "copied"),
        ("fine old film", None),
    ],
)
def test_verdicts(text, reason):
    assert Acceptor(10, 100, 0.4).check(text, SHOWN).reason == reason


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Positive: a fine film", "a fine film"),
        ("positive review: A fine film.", "A fine film."),
        ("[Label: POSITIVE] - not an announcement", "[Label: POSITIVE] - not an announcement"),
        ("Positive! The film has a story.", "The film has a story."),
        ("POSITIVE \u2013 a fine film", "a fine film"),
        ("Positive-minded people will like it.", "Positive-minded people will like it."),
        ("Positively splendid: a film.", "Positively splendid: a film."),
        ("A positive film: see it.", "A positive film: see it."),
        ("Positive Review:", ""),
        ("Positive Psychology: a film", "Positive Psychology: a film"),
    ],
)
def test_an_announced_label_is_no_part_of_the_text(text, left):
    assert without_label(text, "positive") == left
    assert without_label(text, None) == text


def test_a_row_that_is_only_its_label_is_empty():
    assert Acceptor(1, 100, 0.6).check("Positive Review:", label="positive").reason == "empty"


def test_duplicates_but_for_case_and_punctuation():
    acceptor = Acceptor(1, 100, 0.6)
    acceptor.accept(acceptor.check("Great film, truly!"))
    assert acceptor.check("great FILM... truly").reason == "duplicate"
    assert acceptor.check("great film, barely").reason is None
    assert Acceptor(1, 100, 0.6).check("great film truly").reason is None


def test_overlap_by_hand():
    grams = ngrams("a b c d e f")
    assert grams == {("a", "b", "c", "d", "e"), ("b", "c", "d", "e", "f")}
    assert overlap("a b c d e x", grams) == 0.5
    assert overlap("a b c d", grams) == 0.0


def test_overlap_of_zero_never_refuses():
    assert Acceptor(1, 100, 0.0).check("one two three four five six", SHOWN).reason is None
