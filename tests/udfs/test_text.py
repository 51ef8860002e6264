"""The normal form against Python's own unicodedata."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.udfs.text import normalise


def plain(text):
    """The same rule, character by character."""
    seen = "".join(c for c in text if c not in "\u200b\u2060\ufeff\u00ad")
    spaced = "".join(" " if unicodedata.category(c) in ("Zs", "Zl", "Zp", "Cc") else c for c in unicodedata.normalize("NFC", seen))
    return " ".join(part for part in spaced.split(" ") if part)


def one(text):
    return normalise(pa.array([text], pa.string()))[0].as_py()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  a\tb\r\n c ", "a b c"),
        ("e\u0301", "\u00e9"),
        ("\u212b", "\u00c5"),
        ("a\u00a0\u2003\u3000b", "a b"),
        ("a\x00b\x07", "a b"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("\u200d👩\u200d👩", "\u200d👩\u200d👩"),
        ("ﬁ ² Ⅳ", "ﬁ ² Ⅳ"),
        ("", ""),
        (" \n ", ""),
        (None, None),
    ],
)
def test_known_texts(text, wanted):
    assert one(text) == wanted


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs", "Cn"])), max_size=6))
def test_it_agrees_with_unicodedata_and_changes_nothing_the_second_time(texts):
    got = normalise(pa.array(texts, pa.string()))
    assert got.to_pylist() == [None if text is None else plain(text) for text in texts]
    assert normalise(got).equals(got)
    assert normalise(pa.chunked_array([pa.array(texts, pa.string())]).combine_chunks()[1:]).equals(got[1:])
