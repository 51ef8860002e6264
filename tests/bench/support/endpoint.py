"""An OpenAI-compatible endpoint in a process of its own, as fast as Python serves: what a benchmark of the engine asks.

    python tests/bench/support/endpoint.py PORT_FILE OPTIONS_JSON

It answers every chat with rows that differ, after a delay, and counts what it saw; ``GET /seen`` tells, and ``POST /options`` changes
what it does from then on.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

MINUTE_S = 60.0
WORDS = [
    "river",
    "amber",
    "quiet",
    "engine",
    "harvest",
    "lantern",
    "signal",
    "meadow",
    "copper",
    "window",
    "planet",
    "garden",
    "thunder",
    "velvet",
    "marble",
    "harbour",
]


@dataclass
class Options:
    """delay_s: of every answer; requests_per_s, tokens_per_s: limits, None for none, with room for burst_s seconds of each; headers: whether
    answers tell them; retry_after: whether a 429 says when to come again; fails, hangs: shares of the requests that get a 500, or no
    answer within a minute; usage: whether answers tell their tokens."""

    delay_s: float = 0.05
    requests_per_s: float | None = None
    tokens_per_s: float | None = None
    burst_s: float = 1.0
    headers: bool = False
    retry_after: bool = False
    fails: float = 0.0
    hangs: float = 0.0
    usage: bool = True


@dataclass
class Seen:
    """Requests since the last look: by status, ``[time, status]`` of each, tokens of the answers (those that nobody waited for too)."""

    times: list[tuple[float, int]] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    ids: list[str] = field(default_factory=list)  # of answered calls

    def pay(self, prompt: int, completion: int) -> None:
        self.prompt_tokens, self.completion_tokens = self.prompt_tokens + prompt, self.completion_tokens + completion


def _tokens(content: str | list[dict[str, Any]]) -> int:
    """Of a text, or of the text parts of a message."""
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return len(text.encode()) // 4


class Server:
    def __init__(self, options: Options) -> None:
        self.options, self.seen, self.n = options, Seen(), 0
        self._levels: dict[str, tuple[float, float]] = {}

    async def call(self, request: web.Request) -> web.Response:
        body, options = await request.json(), self.options
        if not body.get("messages"):
            return self._said(400, {"error": {"message": "messages is empty"}})
        self.n += 1
        number = self.n
        tokens = _tokens(body["messages"][-1]["content"]), _tokens(json.dumps(self._rows(number)))
        refused = self._limited(sum(tokens))
        if refused is not None:
            return self._said(429, {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}, refused)
        if options.fails and (number * 0.618034) % 1.0 < options.fails:
            await asyncio.sleep(options.delay_s)
            return self._said(500, {"error": {"message": "The server had an error"}})
        if options.hangs and (number * 0.754878) % 1.0 < options.hangs:
            self.seen.pay(*tokens)  # it is written, and paid for
            await asyncio.sleep(MINUTE_S)
        await asyncio.sleep(options.delay_s)
        self.seen.pay(*tokens)
        self.seen.ids.append(request.headers.get("X-Request-Id", ""))
        return self._said(200, self._completion(body, number, tokens))

    def _rows(self, number: int) -> dict[str, Any]:
        return {
            "rows": [
                " ".join(WORDS[(number * 7 + row * 5 + i * (number % 13 + 1)) % 16] for i in range(12)) + f" {number} {row}"
                for row in range(4)
            ]
        }

    def _completion(self, body: dict[str, Any], number: int, tokens: tuple[int, int]) -> dict[str, Any]:
        message = {"role": "assistant", "content": json.dumps(self._rows(number))}
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
        reply = {"id": f"c{number}", "object": "chat.completion", "created": 0, "model": body["model"]}
        reply["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return reply | ({"usage": usage} if self.options.usage else {})

    def _limited(self, tokens: int) -> float | None:
        """Seconds until there is room, where there is none now."""
        options, waits = self.options, []
        takes = {
            "requests": (options.requests_per_s, 1.0),
            "tokens": (options.tokens_per_s, tokens),
        }
        for name, (rate, amount) in takes.items():
            if rate is not None:
                waits.append(max(0.0, (amount - self._level(name, rate)) / rate))
        if any(waits):
            return max(waits)
        for name, (rate, amount) in takes.items():
            if rate is not None:
                self._levels[name] = (self._level(name, rate) - amount, time.monotonic())
        return None

    def _level(self, name: str, rate: float) -> float:
        full = max(rate * self.options.burst_s, 1.0)
        level, at = self._levels.get(name, (full, time.monotonic()))
        return min(full, level + (time.monotonic() - at) * rate)

    def _said(self, status: int, body: dict[str, Any], wait: float = 0.0) -> web.Response:
        self.seen.times.append((time.monotonic(), status))
        headers = {}
        if self.options.headers:
            for name, rate in (("requests", self.options.requests_per_s), ("tokens", self.options.tokens_per_s)):
                if rate is not None:
                    full, level = max(rate * self.options.burst_s, 1.0), self._level(name, rate)
                    headers[f"x-ratelimit-limit-{name}"] = str(int(rate * MINUTE_S))
                    headers[f"x-ratelimit-remaining-{name}"] = str(int(level))
                    headers[f"x-ratelimit-reset-{name}"] = f"{(full - level) / rate:.3f}s"
        if status == 429 and self.options.retry_after:
            headers["retry-after-ms"] = str(int(wait * 1000) + 1)
        return web.json_response(body, status=status, headers=headers)

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "bench", "object": "model", "created": 0, "owned_by": "bench"}]})

    async def tell(self, request: web.Request) -> web.Response:
        seen, self.seen = self.seen, Seen()
        return web.json_response(asdict(seen))

    async def change(self, request: web.Request) -> web.Response:
        self.options, self.seen, self._levels = Options(**await request.json()), Seen(), {}
        return web.json_response({})


@dataclass
class Endpoint:
    """The process as a benchmark sees it."""

    base_url: str
    process: psutil.Process

    def change(self, options: Options) -> None:
        """What it does from now on; what it has seen is forgotten."""
        data = json.dumps(asdict(options)).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.base_url}/options", data, {"Content-Type": "application/json"})).read()

    def seen(self) -> Seen:
        """What it saw since the last look."""
        return Seen(**json.load(urllib.request.urlopen(f"{self.base_url}/seen")))


@contextlib.contextmanager
def endpoint() -> Iterator[Endpoint]:
    """A server that runs for the length of the block."""
    with tempfile.TemporaryDirectory() as work:
        place = Path(work) / "port"
        child = subprocess.Popen([sys.executable, __file__, str(place)])
        try:
            while not place.exists() or not place.read_text():
                if child.poll() is not None:
                    raise RuntimeError(f"the server ended with status {child.returncode}")
                time.sleep(0.05)
            yield Endpoint(f"http://127.0.0.1:{place.read_text()}/v1", psutil.Process(child.pid))
        finally:
            child.terminate()
            child.wait()


async def serve(place: str) -> None:
    """Serves until it is ended; the port's number is written to ``place``."""
    server, app = Server(Options()), web.Application()
    app.add_routes([web.post("/v1/chat/completions", server.call), web.get("/v1/models", server.models)])
    app.add_routes([web.get("/v1/seen", server.tell), web.post("/v1/options", server.change)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    Path(place).write_text(str(runner.addresses[0][1]))
    parent = os.getppid()
    while os.getppid() == parent:  # its parent may be killed
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
