"""Runs of the generation engine against a benchmark's endpoint, here and in a child that can be killed; and what they cost."""

import contextlib
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pyarrow as pa
from rich.console import Console

from synalign_spark.config import GenerateConfig
from synalign_spark.generation import engine
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.ledger import LedgerWriter
from synalign_spark.generation.results import GenerateResult
from synalign_spark.progress import Progress
from synalign_spark.storage.tables import DEMONSTRATIONS

ROWS_A_CALL = 4
CHILD = "import sys; from tests.bench.support.engine_runs import run, settings_of; run(settings_of(sys.argv[1]), sys.argv[2])"
MEASURED = "import sys; from tests.bench.support.engine_runs import measured; measured(sys.argv[1], sys.argv[2])"
STORED_TEXT = json.dumps(
    {"rows": ["a sentence of some twenty words that somebody has paid for and nobody will pay for again, whatever happens"] * 8}
)


def settings(base_url: str, rows: int, llm: dict[str, Any] | None = None, **changes: Any) -> GenerateConfig:
    """rows: to ask for, four a call; no gate looks at them, so that all CPU time is the engine's."""
    endpoint = {
        "provider": "openai",
        "base_url": base_url,
        "model": "bench",
        "backend": "in_process",
        "concurrency": 256,
        "max_output_tokens": 512,
    }
    usual = {"target_rows": rows, "rows_per_request": ROWS_A_CALL, "strategy": "simprompt", "gates": [], "llm": endpoint | (llm or {})}
    return GenerateConfig.model_validate(usual | changes)


def settings_of(text: str) -> GenerateConfig:
    return GenerateConfig.model_validate_json(text)


def run(cfg: GenerateConfig, ledger: str, labels: dict[str, int] | None = None) -> GenerateResult:
    """Generates without demonstrations for two labels, or those given."""
    quiet = Progress(Console(quiet=True), live=False)
    return engine.generate(DEMONSTRATIONS.arrow.empty_table(), labels or {"good": 1, "bad": 1}, cfg, 0, ledger, quiet)


def once(cfg: GenerateConfig, labels: dict[str, int] | None = None) -> tuple[GenerateResult, float]:
    """The result with a ledger of its own, and the seconds that it took."""
    with tempfile.TemporaryDirectory() as ledger:
        started = time.monotonic()
        return run(cfg, ledger, labels), time.monotonic() - started


@contextlib.contextmanager
def child(cfg: GenerateConfig, ledger: str) -> Iterator[subprocess.Popen[bytes]]:
    """The same in a process of its own, which ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, cfg.model_dump_json(), ledger],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()


def store(ledger: str, n: int) -> None:
    """Writes answers of other calls into a ledger, a kilobyte each."""
    writer = LedgerWriter(ledger)
    for first in range(0, n, 1_000):
        ids = (hashlib.sha256(str(i).encode()).hexdigest() for i in range(first, min(n, first + 1_000)))
        writer.commit([Answer(one, "answered", 1, STORED_TEXT, "stop", None, 400, 200, finished_at="2026-01-01T00:00:00") for one in ids])
    writer.close()


def start(cfg: GenerateConfig, ledger: str) -> tuple[float, float]:
    """Seconds and the most memory in MB, with what it had before, of a run in a process of its own."""
    command = [sys.executable, "-c", MEASURED, cfg.model_dump_json(), ledger]
    said = subprocess.run(command, env=os.environ | {"PYTHONPATH": os.getcwd()}, check=True, capture_output=True, text=True).stdout
    seconds, mb = json.loads(said.splitlines()[-1])
    return seconds, mb


def measured(settings: str, ledger: str) -> None:
    """Prints the same for this process."""
    started = time.monotonic()
    run(settings_of(settings), ledger)
    print(json.dumps([time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


@dataclass
class Cost:
    """cpu_s: of this process and its children, those that have ended too; mb: memory of this process."""

    cpu_s: float = 0.0
    mb: float = 0.0


@contextlib.contextmanager
def cost(without: int) -> Iterator[Cost]:
    """What a block costs. without: the process that is not counted, with its children."""
    found, seen, stop = Cost(), dict[int, float](), threading.Event()
    me = psutil.Process()
    own = sum(me.cpu_times()[:2])

    def look() -> None:
        for one in me.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if one.pid != without:
                    seen[one.pid] = max(seen.get(one.pid, 0.0), sum(one.cpu_times()[:2]))

    def watch() -> None:
        while not stop.wait(0.2):
            look()

    look()
    before = dict(seen)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        look()
        found.cpu_s = sum(me.cpu_times()[:2]) - own + sum(value - before.get(pid, 0.0) for pid, value in seen.items())
        found.mb = me.memory_info().rss / 2**20


def shown(value: Any) -> str:
    return json.dumps(value)


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.to_pylist()
    return found
