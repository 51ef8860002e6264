"""What does it bring that the pool finds out how many requests an endpoint bears? The same rows from a server with room for few, with
the window that learns and with one that stays open; and from a server with room for all, where learning must cost nothing.

    python tests/bench/pressure.py [--quick]

The server is a loopback one that refuses by 429 what is beyond its room. The last line is one JSON object.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "generation"))  # for the tests' loopback server

from loopback import Behaviour, loopback

from synalign_spark.config import GenerateConfig
from synalign_spark.generation import engine
from synalign_spark.generation.backends import limiter
from synalign_spark.generation.window import Turn, Window
from synalign_spark.progress import Progress

CONCURRENCY, DELAY_S = 128, 0.05


class OpenWindow(Window):
    """One that learns nothing."""

    def pressed(self, turn: Turn, status: str, now: float) -> None:
        self.lost(turn)
        self._faults[status] += 1


def measure(room: int, kind: type[Window], rows: int) -> dict[str, Any]:
    """Calls a second, the share of requests that were refused, and calls that failed for good."""
    with loopback(Behaviour(delay_s=DELAY_S)) as server, tempfile.TemporaryDirectory() as ledger, learning(kind):
        server.behaviour.fault = lambda i, body, n: (429, {}, "") if i and server.flying >= room else None
        endpoint = {"provider": "openai", "base_url": server.base_url, "model": "loopback"}
        llm = endpoint | {"backend": "in_process", "concurrency": CONCURRENCY}
        cfg = GenerateConfig.model_validate({"target_rows": rows, "rows_per_request": 4, "strategy": "simprompt", "llm": llm})
        started = time.monotonic()
        done = engine.generate(empty(), {"good": 1, "bad": 1}, cfg, 0, ledger, Progress(Console(quiet=True), live=False))
        seconds, calls = time.monotonic() - started, sum(done.summary["calls"].values())
    refused = done.summary["requests_failed"].get("rate_limited", 0)
    return {
        "room": room, "window": kind.__name__, "calls": calls, "calls_per_s": round(calls / seconds, 1),
        "refused_share": round(refused / (refused + calls), 3), "lost_calls": calls - done.summary["calls"].get("ok", 0), "fewest_at_once": done.summary["fewest_at_once"],
    }  # fmt: skip


def empty() -> Any:
    """No demonstrations."""
    import pyarrow as pa

    from synalign_spark.storage.tables import DEMONSTRATIONS

    return pa.Table.from_pylist([], DEMONSTRATIONS.arrow)


@contextlib.contextmanager
def learning(kind: type[Window]) -> Iterator[None]:
    """The pool with this window."""
    with patch.object(limiter, "Window", kind):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows: ends within 45 s on two cores")
    rows = 1_600 if parser.parse_args().quick else 6_000
    found = [measure(room, kind, rows) for room in (16, CONCURRENCY) for kind in (OpenWindow, Window)]
    for case in found:
        print(case, file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "pressure", "concurrency": CONCURRENCY, "server_seconds": DELAY_S, "cases": found}))


if __name__ == "__main__":
    main()
