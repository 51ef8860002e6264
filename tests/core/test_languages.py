"""Word-based steps on scripts without spaces, on letters with marks, on mixed texts and on code."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from synalign_spark.core.copy_index import CopyIndex
from synalign_spark.core.grams import by_characters, grams, lexical_tokens, units
from synalign_spark.core.outliers import KnownWords
from synalign_spark.core.sampling.lengths import LONGEST_WORD, text_lengths
from synalign_spark.core.strength.classifiers import NGRAM_BUCKETS, hashed_ngrams
from synalign_spark.core.text import normalise
from synalign_spark.generation.gates import length
from synalign_spark.generation.gates.near_duplicate import FEWEST_CHARACTERS, FEWEST_WORDS, NearDuplicates
from tests.languages import LANGUAGES

EVERY = pytest.mark.parametrize("language", LANGUAGES)
UNSPACED = ("zh", "ja", "th")
COPY = 0.6  # generate.copy_overlap
OTHER_UNIT = {"zh": "鱼", "ja": "魚", "th": "ฮ", "ar": "كلمة", "hi": "शब्द"}
OPERATORS = "unsigned mask = (1u >> bits) - 1;"  # differs from another row in one sign


def texts(language):
    return [normalise(text) for text, _ in LANGUAGES[language]]


def with_one_unit_changed(language, text):
    """The middle unit of a text is another one; none where the text has no units of its own to replace."""
    found = units(text)
    found[len(found) // 2] = OTHER_UNIT.get(language, "otherword")
    return ("" if language in UNSPACED else " ").join(found)


@EVERY
def test_what_is_written_with_other_signs_is_a_copy_and_another_text_is_none(language):
    rows = texts(language)
    assert CopyIndex.of_texts(rows).overlaps([f"  ({text.upper()})!!" for text in rows]) == [1.0] * len(rows)
    others = [CopyIndex.of_texts(rows[:i] + rows[i + 1 :]).overlaps([text])[0] for i, text in enumerate(rows)]
    assert max(others) < COPY


@pytest.mark.parametrize("language", UNSPACED)
def test_two_sentences_with_one_character_changed_are_a_copy(language):
    """Some 37 characters, as in a report of a tool that compared words and found one word, and it was another."""
    rows = [one + two for one, two in zip(texts(language)[::2], texts(language)[1::2], strict=True)]
    changed = [with_one_unit_changed(language, text) for text in rows]
    assert all(len(grams(text)) > 10 for text in rows)
    assert min(CopyIndex.of_texts(rows).overlaps(changed)) >= COPY


@EVERY
def test_rows_that_differ_in_one_unit_are_near_duplicates_and_others_are_not(language):
    seen = NearDuplicates()
    for text in texts(language):
        found = seen.find(text)
        assert (found is None) or text == OPERATORS, found
        seen.add(text)
    long = [text for text in texts(language) if len(units(text)) >= (FEWEST_CHARACTERS if by_characters(units(text)) else FEWEST_WORDS)]
    missed = [text for text in long if seen.find(with_one_unit_changed(language, text)) is None]
    assert len(missed) <= 1  # rows of 17 to 20 units go by hashes that miss one in 200
    assert len(long) >= 10


@EVERY
def test_every_text_has_features_of_its_own_and_shares_some(language):
    rows = texts(language)
    counts = hashed_ngrams(rows)
    by_text = [tuple(row.indices) for row in counts]
    emoji = language == "mixed"  # one row with two emoji; words alone do not tell them apart
    assert len(set(by_text)) >= len(rows) - emoji - (language == "code") * 2  # and two pairs of code that differ in a sign
    assert np.median([len(row) for row in by_text]) >= 7
    shared = np.asarray((counts > 0).sum(axis=0)).ravel()
    assert (shared > 1).sum() >= 4


@pytest.mark.parametrize("language", ["zh", "th", "hi"])
def test_a_classifier_of_words_learns_a_word_in_any_script(language):
    """Half of the texts hold one word more, within the sentence where no spaces are set: it must be found in texts that were not seen."""
    word = {"zh": "免费", "th": "ฟรี", "hi": "मुफ़्त"}[language]
    rows = texts(language)
    space = "" if language in UNSPACED else " "
    marked = [text[: len(text) // 2] + word + text[len(text) // 2 :] if space == "" else f"{word} {text}" for text in rows]
    x, y = hashed_ngrams(rows + marked), np.repeat([0, 1], len(rows))
    seen = np.tile(np.arange(len(rows)) % 2 == 0, 2)
    model = LogisticRegression(C=100.0).fit(x[seen], y[seen])
    assert model.score(x[~seen], y[~seen]) >= 0.9


def test_words_are_those_of_scikit_learn_where_letters_have_no_marks():
    rows = ["It's a FINE film, isn't it?", "C++ is 20 years old", "naïve café – straße", *texts("code"), *texts("ar")]
    library = HashingVectorizer(n_features=NGRAM_BUCKETS, ngram_range=(1, 2), norm=None, alternate_sign=False, dtype=np.float32)
    assert (hashed_ngrams(rows) != library.transform(rows)).nnz == 0


def test_letters_keep_their_marks():
    assert lexical_tokens("खाना अच्छी") == ["खाना", "अच्छी"]
    assert lexical_tokens("ดีมาก") == list("ดีมาก")


@pytest.mark.parametrize("language", ["zh", "ja", "th", "hi", "ar"])
def test_words_that_no_real_row_has_are_seen_in_any_script(language):
    other = {"zh": "ar", "ja": "hi", "th": "zh", "hi": "th", "ar": "ja"}[language]
    known = KnownWords.of(texts(language) * 2)  # a word counts that two rows have
    assert not known.unknown(texts(language)).any()
    assert known.unknown(texts(other)).all()


@EVERY
def test_lengths_are_in_words_or_characters_and_odd_rows_are_seen(language):
    found = text_lengths(texts(language))
    assert (found["chars_p90"] > LONGEST_WORD * found["words_p90"]) == (language in UNSPACED)
    rows = [(text, None) for text in texts(language)] * 5
    (check,) = length.checks(rows)
    assert not any(check.find(text, None) for text, _ in rows)
    assert check.find(rows[0][0] * 20, None)


def test_symbols_tell_texts_apart():
    seen = NearDuplicates()
    for text in ("I love this place 😀", "I love this place 😡", "C++", "C#", "C"):
        assert seen.find(text) is None
        seen.add(text)
    assert len({tuple(grams(text)) for text in ("I love this place 😀", "I love this place 😡", "C++", "C#", "C")}) == 5
