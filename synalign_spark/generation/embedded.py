"""The language models that need no service: out of a package, in a child process on a loopback port."""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from synalign_spark.errors import EndpointError
from synalign_spark.generation.embedded_file import FIX, model_file

START_TIMEOUT_S = 180.0  # a few on two cores; a slow disk that has 277 MB to read may take longer
STOP_TIMEOUT_S = 5.0  # it looks for the end once a second
CALL_TIMEOUT_S = 1_200.0  # a busy machine is slow, and nobody is paid: 16 calls of eight answers of 96 tokens at 10 tokens a second


@contextlib.contextmanager
def serve(model_name: str, log_folder: str | None = None) -> Iterator[str]:
    """Runs the server of an embedded model for the length of the block; yields its base URL.

    log_folder: local folder for ``llm-server.log`` (one line per finished request) and ``llm-server.err``; a
    temporary one if None. Raises EndpointError when the server does not start. It ends with the block, and
    by itself when this process is killed."""
    with contextlib.ExitStack() as stack:
        folder = Path(log_folder or stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        errors = stack.enter_context(open(folder / "llm-server.err", "a+b"))
        command = [
            sys.executable,
            "-m",
            f"{__package__}.embedded_server",
            model_file(model_name),
            model_name,
            str(folder / "llm-server.log"),
        ]
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
    deadline, output, ended = time.monotonic() + START_TIMEOUT_S, b"", False
    if child.stdout is None:
        raise EndpointError("the embedded language model has no output to read its address from")
    while time.monotonic() < deadline and not output.endswith(b"\n") and not ended:
        readable, _, _ = select.select([child.stdout], [], [], 0.5)
        if not readable:
            continue
        part = os.read(child.stdout.fileno(), 4096)
        output, ended = output + part, not part
    try:
        return str(json.loads(output)["base_url"])
    except (ValueError, KeyError) as err:
        tail = errors.read_text(errors="replace")[-800:].strip()
        slow = f"did not start within {START_TIMEOUT_S:g} s" if not output.endswith(b"\n") else f"gave no address but {output[:80]!r}"
        how = _end_of(child) if ended else slow
        raise EndpointError(f"the embedded language model {how} ({errors} ends: {tail!r}); {FIX}") from err


def _end_of(child: subprocess.Popen[bytes]) -> str:
    """How a process ended that has closed its output; its status comes a moment later."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return f"ended with status {child.wait(STOP_TIMEOUT_S)} before it gave its address"
    return "closed its output before it gave its address"


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
