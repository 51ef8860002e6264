"""The normal form of columns: that of single texts, whatever the array."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.core.text import normalise as normalise_text
from synalign_spark.udfs.text import normalise

# Characters that every Unicode table of the last ten years knows: Python's and Arrow's need not be of one version.
KNOWN = st.characters(exclude_categories=["Cs", "Cn"], max_codepoint=0x2FFF)
TEXTS = st.none() | st.text(KNOWN | st.sampled_from(" \t\n\x00\x85\xa0\xad\u0301\u200b\u2028\u3000\ufeff"))


def one(text):
    return normalise(pa.array([text], pa.string()))[0].as_py()


@pytest.mark.parametrize("text", ["  a\tb\r\n c ", "a\x00b\x07", "\u200d👩\u200d👩", "ﬁ ² Ⅳ", "", " \n "])
def test_known_texts(text):
    assert one(text) == normalise_text(text)


@given(st.lists(TEXTS, max_size=6))
def test_columns_and_single_texts_have_one_normal_form(texts):
    column = normalise(pa.array(texts, pa.string()))
    assert column.to_pylist() == [None if text is None else normalise_text(text) for text in texts]
    assert normalise(column).equals(column)
    assert normalise(pa.chunked_array([pa.array(texts, pa.string())]).combine_chunks()[1:]).equals(column[1:])
