"""An OpenAI-compatible server of our own on a loopback port, with the faults that real ones have.

Its behaviour is a function of the request, so that runs can be compared: ``Behaviour.fault`` says what the
n-th HTTP request for a call gets. Every request is logged with its id and time; ``finished`` counts only
answers that a live caller received.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

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
class Behaviour:
    """dialects: accepted response_format types; fault: (request id, body, n-th time) -> (status, headers, kind) or None."""

    dialects: tuple[str, ...] = ("json_schema", "json_object", "text")
    keys: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    delay_s: float = 0.0
    refuse_limits: bool = False
    fault: Callable[[str, dict[str, Any], int], tuple[int, dict[str, str], str] | None] = lambda request_id, body, n: None


@dataclass
class Loopback:
    """A running server: its address, and what it saw."""

    behaviour: Behaviour
    base_url: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    flying: int = 0
    most_flying: int = 0

    @property
    def finished(self) -> Counter[str]:
        """Answers with status 200 that reached a live caller, by request id."""
        return Counter(entry["request_id"] for entry in self.log if entry["status"] == 200 and entry["request_id"])

    def chat_times(self) -> list[float]:
        return [entry["arrived"] for entry in self.log if entry["path"].endswith("/chat/completions")]


def write_text(rng: random.Random, n: int = 12) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(n)).capitalize() + f" {rng.randrange(10**6)}."


def fill(schema: dict[str, Any], rng: random.Random) -> Any:
    """A value that follows the few schema forms that the prompts use."""
    if schema["type"] == "object":
        return {name: fill(part, rng) for name, part in schema["properties"].items()}
    if schema["type"] == "array":
        return [fill(schema["items"], rng) for _ in range(schema.get("minItems", 4))]
    return write_text(rng)[: schema.get("maxLength", 200)]


def plain_answer(body: dict[str, Any], rng: random.Random) -> Any:
    """Without a schema the shape is read off the prompt, as a model would."""
    ask = body["messages"][-1]["content"]
    if '"rows"' in ask:
        return {"rows": [write_text(rng) for _ in range(4)]}
    shape = ask.rsplit("JSON: ", 1)[1]
    return {name: write_text(rng, 2) for name in json.loads(shape.replace("...", '""'))}


class _Handler:
    def __init__(self, state: Loopback) -> None:
        self.state = state

    async def models(self, request: web.Request) -> web.Response:
        refused = self._refuse_key(request)
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "loopback"} for name in self.state.behaviour.models or ("loopback",)
        ]
        return refused or web.json_response({"object": "list", "data": listed})

    def _refuse_key(self, request: web.Request) -> web.Response | None:
        keys = self.state.behaviour.keys
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return None if keys is None or given in keys else error(401, f"Incorrect API key provided: {given}")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        state, arrived = self.state, time.monotonic()
        body, request_id = await request.json(), request.headers.get("X-Request-Id", "")
        state.seen[request_id] += 1
        state.flying += 1
        state.most_flying = max(state.most_flying, state.flying)
        entry = {"request_id": request_id, "path": request.path, "arrived": arrived, "status": 0, "body": body}
        state.log.append(entry)
        try:
            await asyncio.sleep(state.behaviour.delay_s)
            reply = self._refuse_key(request) or self._answer(body, request_id, state.seen[request_id])
        finally:
            state.flying -= 1
        if request.transport is None or request.transport.is_closing():
            return reply
        with contextlib.suppress(ConnectionError):
            await reply.prepare(request)
            await reply.write_eof()
            entry["status"] = reply.status if reply.content_type == "application/json" else 0
        return reply

    def _answer(self, body: dict[str, Any], request_id: str, n: int) -> web.Response:
        behaviour = self.state.behaviour
        wanted = body.get("response_format", {"type": "text"})
        if behaviour.models is not None and body["model"] not in behaviour.models:
            return error(404, f"The model {body['model']} does not exist")
        if wanted["type"] not in behaviour.dialects:
            return error(400, f"response_format type {wanted['type']} is not supported")
        if behaviour.refuse_limits and "maxItems" in json.dumps(wanted):
            return error(400, "schema keyword maxItems is not permitted")
        fault = behaviour.fault(request_id, body, n)
        if fault and fault[0] != 200:
            return error(fault[0], f"injected {fault[0]}", fault[1])
        return completion(body, wanted, fault[2] if fault else "")


def completion(body: dict[str, Any], wanted: dict[str, Any], kind: str) -> web.Response:
    """A chat completion: sound, or 'truncated', 'filtered', 'refusal', 'prose', 'half' (broken JSON, finished) or 'html'."""
    if kind == "html":
        return web.Response(text="<html>proxy error</html>", content_type="text/html")
    seed = hashlib.sha256(json.dumps([body["messages"], body.get("seed")]).encode()).hexdigest()
    rng = random.Random(seed)
    schema = wanted.get("json_schema", {}).get("schema") or wanted.get("schema")
    text = json.dumps(fill(schema, rng) if schema else plain_answer(body, rng))
    message: dict[str, Any] = {"role": "assistant", "content": text}
    reason = "stop"
    if kind == "truncated":
        message["content"], reason = text[: len(text) // 2], "length"
    elif kind == "filtered":
        message["content"], reason = "", "content_filter"
    elif kind == "refusal":
        message |= {"content": None, "refusal": "I cannot help with that."}
    elif kind == "prose":
        message["content"] = "I would rather not write JSON today."
    elif kind == "half":
        message["content"] = text[:-1]
    prompt = sum(len(m["content"]) for m in body["messages"]) // 4
    usage = {"prompt_tokens": prompt, "completion_tokens": len(text) // 4, "total_tokens": prompt + len(text) // 4}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return web.json_response(
        {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice], "usage": usage}
    )


def error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "injected", "code": status}}, status=status, headers=headers)


def misbehave(request_id, body, n):
    """Every fault there is, by the hash of the call; faults that a retry mends come once."""
    if not request_id:
        return None
    kind = int(request_id[8:12], 16) % 12
    if n == 1:
        retried = {0: (429, {"Retry-After": "0.2"}, ""), 1: (500, {}, ""), 2: (503, {}, ""), 3: (200, {}, "html")}.get(kind)
        if retried:
            return retried
    return {4: (200, {}, "truncated"), 5: (200, {}, "filtered"), 6: (200, {}, "prose"), 7: (200, {}, "half"), 8: (400, {}, "")}.get(kind)


@contextlib.contextmanager
def loopback(behaviour: Behaviour | None = None) -> Iterator[Loopback]:
    """Serves in a thread of this process for the length of the block."""
    state, started, loop = Loopback(behaviour or Behaviour()), threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        handler, app = _Handler(state), web.Application()
        app.router.add_get("/v1/models", handler.models)
        app.router.add_post("/v1/chat/completions", handler.chat)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        state.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield state
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
