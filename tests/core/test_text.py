"""The normal form by hand."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.core.text import near_names, normalise, shown_name


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  a\tb\r\n c ", "a b c"),
        ("e\u0301", "\u00e9"),
        ("\u212b", "\u00c5"),
        ("a\u00a0\u2003\u3000b", "a b"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("a\x00b\x07", "a b"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("e\u00ad\u0301", "\u00e9"),  # what is invisible goes first, else the accent would stand alone
        ("\u200d👩\u200d👩", "\u200d👩\u200d👩"),
        ("ﬁ ² Ⅳ", "ﬁ ² Ⅳ"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_known_texts(text, wanted):
    assert normalise(text) == wanted


def test_lone_surrogates_can_be_stored():
    assert normalise("a\ud800b").encode() == "a\ufffdb".encode()
    assert normalise("\ud83d\ude00") == "\U0001f600"  # a pair is a character


@given(st.text(st.characters(exclude_categories=())))
def test_a_normal_form_is_its_own(text):
    found = normalise(text)
    assert normalise(found) == found
    assert unicodedata.is_normalized("NFC", found)
    assert found.split(" ") == found.split() or not found


def test_names_that_look_alike_in_other_letters_are_near_and_shown_by_their_codes():
    pos = "\u0440\u043es"
    assert near_names(["neg", "pos", pos, "Pos\u200f", "\u0412\u0435\u0441", "\u0432\u0435\u0441", "mm", "\u00b5m"]) == [
        ["pos", pos, "Pos\u200f"],
        ["\u0412\u0435\u0441", "\u0432\u0435\u0441"],
    ]
    assert shown_name(pos) == f"'{pos}' ('\\u0440\\u043es')"
    assert shown_name("caf\u00e9") == "'caf\u00e9'"
