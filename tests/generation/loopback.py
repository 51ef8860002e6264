"""An OpenAI-compatible server of our own on a loopback port, with the faults that real ones have.

Its behaviour is a function of the request, so that runs can be compared: ``Behaviour.fault`` says what the
n-th HTTP request for a call gets, ``Behaviour.shape`` how its answer looks. Every request is logged with its id, headers and
time; ``finished`` counts only answers that a live caller received.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from loopback_answers import asked_form, completion, prompt_tokens
from loopback_batches import Batches, BatchHandler

PAGING = ("limit", "after")  # of a list
HTML = "<!DOCTYPE html><html><body>Sign in</body></html>"


@dataclass
class Behaviour:
    """dialects: forms of answer that are taken (of response_format, 'tool', and 'continued' for the field json_schema of continuations;
    'ignored': any is, and none is kept to); fault: (request id, body, n-th time) -> (status, headers, kind) or None;
    refuses: parameters that a body must not have, and of ``together`` not all; shape: kind of answer where no fault is, see ``completion``;
    header: name and value that a request must bring; query: of the address; context_tokens: longest prompt, 4 characters each."""

    dialects: tuple[str, ...] = ("json_schema", "json_object", "text", "continued")
    keys: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    delay_s: float = 0.0
    refuse_limits: bool = False
    fault: Callable[[str, dict[str, Any], int], tuple[int, dict[str, str], str] | None] = lambda request_id, body, n: None
    refuses: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    unnamed: bool = False  # whether its refusals leave out the names
    shape: str = ""
    no_system: str = ""  # what it says to a body with a system message
    one_choice: bool = False  # whatever number of answers to a prompt is asked for
    usage: bool = True
    nothing_used: bool = False  # usage tells 0 tokens of either kind
    detail: bool = False  # refusals name the parameter as FastAPI does, in a body without a message
    header: tuple[str, str] | None = None
    query: dict[str, str] = field(default_factory=dict)
    listed: tuple[str, ...] | None = None  # models in the list; None lists those that are served
    list_status: int = 200  # of the list of models
    context_tokens: int = 1_000_000
    web_page: bool = False  # every address answers with one
    batches: Batches | None = None  # None: there is no Batch API


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

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Bodies of the calls of a run, without probes."""
        return [entry["body"] for entry in self.log if entry["request_id"]]

    def chat_times(self) -> list[float]:
        return [entry["arrived"] for entry in self.log if entry["path"].endswith("/completions")]


class _Handler:
    def __init__(self, state: Loopback) -> None:
        self.state = state

    async def models(self, request: web.Request) -> web.Response:
        behaviour = self.state.behaviour
        names = behaviour.listed if behaviour.listed is not None else behaviour.models or ("loopback",)
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "loopback"} for name in names]
        if behaviour.list_status != 200:
            return error(behaviour.list_status, "Missing scopes: api.model.read")
        return self.refuse_caller(request) or web.json_response({"object": "list", "data": listed})

    def refuse_caller(self, request: web.Request) -> web.Response | None:
        behaviour = self.state.behaviour
        if behaviour.web_page:
            return web.Response(text=HTML, content_type="text/html")
        if {name: value for name, value in request.query.items() if name not in PAGING} != behaviour.query:
            return error(404, f"Resource not found: {request.path_qs}")
        if behaviour.header and request.headers.get(behaviour.header[0]) != behaviour.header[1]:
            return error(401, f"wrong header {behaviour.header[0]}: {request.headers.get(behaviour.header[0])}")
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return None if behaviour.keys is None or given in behaviour.keys else error(401, f"Incorrect API key provided: {given}")

    async def call(self, request: web.Request) -> web.StreamResponse:
        """A chat, or a text to continue."""
        state, arrived = self.state, time.monotonic()
        body, request_id = await request.json(), request.headers.get("X-Request-Id", "")
        state.seen[request_id] += 1
        state.flying += 1
        state.most_flying = max(state.most_flying, state.flying)
        entry = {"request_id": request_id, "path": request.path, "arrived": arrived, "status": 0, "body": body, "headers": request.headers}
        state.log.append(entry)
        try:
            await asyncio.sleep(state.behaviour.delay_s)
            reply = self.refuse_caller(request) or self._answer(body, request_id, state.seen[request_id])
        finally:
            state.flying -= 1
        if request.transport is None or request.transport.is_closing():
            return reply
        with contextlib.suppress(ConnectionError):
            await reply.prepare(request)
            await reply.write_eof()
            entry["status"] = reply.status if reply.content_type == "application/json" else 0
        return reply

    def call_of_batch(self, body: dict[str, Any], request_id: str) -> web.Response:
        """The reply to a call that came in a file."""
        self.state.seen[request_id] += 1
        reply = self._answer(body, request_id, self.state.seen[request_id])
        entry = {"request_id": request_id, "path": "batch", "arrived": time.monotonic(), "status": reply.status, "body": body}
        self.state.log.append(entry)
        return reply

    def _answer(self, body: dict[str, Any], request_id: str, n: int) -> web.Response:
        behaviour = self.state.behaviour
        if behaviour.models is not None and body["model"] not in behaviour.models:
            return error(404, f"The model {body['model']} does not exist")
        refused = self._refuse_body(body)
        if refused:
            return refused
        fault = behaviour.fault(request_id, body, n)
        if fault and fault[0] != 200:
            return error(fault[0], f"injected {fault[0]}{fault[2] and ': '}{fault[2]}", fault[1])
        return completion(body, fault[2] if fault else behaviour.shape, behaviour)

    def _refuse_body(self, body: dict[str, Any]) -> web.Response | None:
        behaviour = self.state.behaviour
        named = [name for name in behaviour.refuses if name in body]
        if behaviour.together and all(name in body for name in behaviour.together):
            named.append(" and ".join(behaviour.together))
        if named and behaviour.detail:
            detail = [{"type": "extra_forbidden", "loc": ["body", named[0]], "msg": "Extra inputs are not permitted"}]
            return web.json_response({"detail": detail}, status=422)
        if named:
            return error(400, "Bad request" if behaviour.unnamed else f"Unsupported parameter: {named[0]} is not taken by this model.")
        if behaviour.no_system and any(message["role"] == "system" for message in body.get("messages", ())):
            return error(400, behaviour.no_system)
        wanted, asked = asked_form(body)
        if "ignored" not in behaviour.dialects and asked not in behaviour.dialects:
            return error(400, f"response_format type {asked} is not supported")
        if behaviour.refuse_limits and "maxItems" in json.dumps(wanted):
            return error(400, "schema keyword maxItems is not permitted")
        if prompt_tokens(body) > behaviour.context_tokens:
            return error(400, f"This model's maximum context length is {behaviour.context_tokens} tokens.")
        return None


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
def loopback(behaviour: Behaviour | None = None, path: str = "/v1") -> Iterator[Loopback]:
    """Serves in a thread of this process for the length of the block. path: of the address, before a query."""
    state, started, loop = Loopback(behaviour or Behaviour()), threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        handler, app = _Handler(state), web.Application(client_max_size=2**24)
        app.router.add_get(f"{path}/models", handler.models)
        app.router.add_post(f"{path}/chat/completions", handler.call)
        app.router.add_post(f"{path}/completions", handler.call)
        if state.behaviour.batches is not None:
            BatchHandler(state.behaviour.batches, handler.refuse_caller, handler.call_of_batch).add_to(app, path)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        query = "&".join(f"{name}={value}" for name, value in state.behaviour.query.items())
        state.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}" + (f"?{query}" if query else "")
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


def statuses(result):
    return set(result.calls["status"].to_pylist())


def only_calls(kind):
    """The kind for calls of the run; probes are answered soundly."""
    return Behaviour(fault=lambda request_id, body, n: (200, {}, kind) if request_id else None)
