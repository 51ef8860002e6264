"""The embedder without a model: distances of words, in any script, the same everywhere."""

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.feature_extraction.text import HashingVectorizer

from synalign_spark.config import EmbedConfig
from synalign_spark.core.grams import units
from synalign_spark.core.hashing import FEATURES, tokens
from synalign_spark.errors import DataError
from synalign_spark.udfs.encoder import encoder, encoder_info

WORDS = [f"word{i}" for i in range(400)]


def test_cosines_are_those_of_the_hashed_words_within_the_error_of_the_projection():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 30)) + " common words here" for _ in range(60)] + ["😀 😀", "ไทย", "数据"]
    info = encoder_info(EmbedConfig(model="hashing", hashing_width=1_024))
    x = encoder(info).encode(texts)
    counts = HashingVectorizer(n_features=FEATURES, ngram_range=(1, 2), tokenizer=tokens, token_pattern=None, lowercase=False).transform(
        texts
    )
    assert x.shape == (63, 1_024)
    assert np.abs(x @ x.T - (counts @ counts.T).toarray()).max() < 6 / np.sqrt(1_024)
    assert (encoder(info).encode(texts[::-1])[::-1] == x).all()


def test_its_width_is_part_of_the_key_and_keys_of_models_are_refused():
    infos = [encoder_info(EmbedConfig(model="hashing", hashing_width=width)) for width in (64, 256)]
    assert [(info.model, info.revision, info.width) for info in infos] == [("hashing", "hashing-64", 64), ("hashing", "hashing-256", 256)]
    assert [encoder(info).encode(["a b"]).shape[1] for info in infos] == [64, 256]
    with pytest.raises(ValidationError, match="precision and prompt are for models"):
        EmbedConfig(model="hashing", precision="bf16")


@pytest.mark.parametrize(("one", "other"), [("数据很好", "数据很坏"), ("I love it 😀", "I love it 😡"), ("C++", "C#")])
def test_texts_that_differ_in_a_letter_or_symbol_have_other_vectors(one, other):
    x = encoder(encoder_info(EmbedConfig(model="hashing"))).encode([one, other])
    assert 0 < float(x[0] @ x[1]) < 0.99


def test_letters_that_bear_marks_stay_in_their_words_and_punctuation_alone_has_a_vector():
    assert tokens("\u092b\u093c\u093f\u0932\u094d\u092e \u0905\u091a\u094d\u091b\u0940") == units(
        "\u092b\u093c\u093f\u0932\u094d\u092e \u0905\u091a\u094d\u091b\u0940"
    )
    assert len(tokens("\u092b\u093c\u093f\u0932\u094d\u092e \u0905\u091a\u094d\u091b\u0940")) == 2
    assert np.isfinite(encoder(encoder_info(EmbedConfig(model="hashing"))).encode(["?!"])).all()


def test_a_text_without_anything_is_said():
    with pytest.raises(DataError, match="1 of 2 texts a zero, NaN or infinite vector"):
        encoder(encoder_info(EmbedConfig(model="hashing"))).encode(["a", " \n "])
