"""The transformer of a model in 8-bit integers: an ONNX file beside its weights, run by onnxruntime where that is installed."""

import importlib.util
from pathlib import Path
from typing import Any

from synalign_spark.errors import ConfigError, InstallationError

INT8_FILES = "onnx/*int8*.onnx"  # as models in the hub and sentence-transformers name them


def int8_file(folder: Path, model: str) -> Path:
    """The model's file of 8-bit weights; of several the last by name, so that all machines take the same.

    Raises InstallationError without onnxruntime, ConfigError for a model that has no such file."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise InstallationError("embed.precision: int8 needs the package onnxruntime; pip install onnxruntime, or use bf16 or auto")
    found = sorted(folder.glob(INT8_FILES))
    if not found:
        raise ConfigError(
            f"embed.precision: {model!r} has no 8-bit weights ({INT8_FILES} in its folder); export the model to ONNX and quantize it "
            "(onnxruntime.quantization.quantize_dynamic), or use bf16 or auto"
        )
    return found[-1]


def put_in_place(model: Any, file: Path) -> None:
    """Lets ``file`` do the work of the model's transformer. model: a SentenceTransformer, whose pooling stays."""
    import torch

    class OnnxTransformer(torch.nn.Module):
        def __init__(self, replaced: Any) -> None:
            super().__init__()
            self.tokenizer, self.max_seq_length = replaced.tokenizer, getattr(replaced, "max_seq_length", None)
            self._session = _session(file)
            self._inputs = [one.name for one in self._session.get_inputs()]

        def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
            found = self._session.run(None, {name: features[name].numpy() for name in self._inputs})
            return features | {"token_embeddings": torch.from_numpy(found[0])}

    model[0] = OnnxTransformer(model[0])


def _session(file: Path) -> Any:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # as many as the task may use
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
