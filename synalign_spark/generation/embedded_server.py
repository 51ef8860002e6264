"""The child process behind ``provider: embedded``: llama.cpp with a thin front that keeps an access log.

One single-threaded llama.cpp a core, and the front gives each request to the one with the fewest answers to write: the threads
of one llama.cpp wait for each other in a spin loop many times a token, and where another process holds a
core for a moment, they come to a halt (two threads on two busy cores: no answer in a minute; two
replicas: 17 tokens/s each).

Run as ``python -m synalign_spark.generation.embedded_server MODEL_FILE MODEL_NAME LOG_FILE``. The front binds a
free loopback port, passes requests on to llama.cpp's own server and writes one JSON line per finished
request: llama.cpp's log does not show request ids. The address goes to standard output as one JSON
line once the model answers. The process ends when its standard input closes or its parent changes, so
that it cannot outlive a job that was killed.
"""

import asyncio
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

import aiohttp
import joblib
from aiohttp import web

from synalign_spark.config.language_model import EMBEDDED_CHOICES

REPLICAS = 8  # at most
SLOTS = 48  # over all replicas at least: the more rows one writes at once, the less a token costs, and the more memory it takes
CONTEXT_TOKENS_A_SLOT = 2_048
REQUEST_ID_HEADER = "X-Request-Id"
JSON_BODY = {"Content-Type": "application/json"}
SESSION = web.AppKey("session", aiohttp.ClientSession)


def start_llama(model_file: str, model_name: str) -> list[Any]:
    """The running llama.cpp servers, one a core (they stop when the objects are dropped)."""
    import xllamacpp

    replicas = min(joblib.cpu_count(), REPLICAS)  # of the cores that this process may use: a container may have a part of them
    slots = max(EMBEDDED_CHOICES, -(-SLOTS // replicas))
    params = xllamacpp.CommonParams()
    params.model.path = model_file
    params.model_alias = [model_name]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = slots
    params.n_ctx = slots * CONTEXT_TOKENS_A_SLOT
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = False
    params.cache_ram_mib = 0
    params.ui = False
    params.offline = True
    params.verbosity = -1
    return [xllamacpp.Server(params) for _ in range(replicas)]


def exit_with_parent(parent: int) -> None:
    """Ends this process at once when the parent is gone: its pipe closes, or somebody else adopts us."""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 1):
            break
    os._exit(0)


def front(upstreams: Sequence[str], log: TextIO) -> web.Application:
    """The loopback front: every path is passed on as it is; finished requests are logged."""
    busy = dict.fromkeys(upstreams, 0)  # answers that each of them has to write

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        session: aiohttp.ClientSession = request.app[SESSION]
        upstream, answers = min(busy, key=lambda address: busy[address]), answers_asked(body)
        busy[upstream] += answers
        try:
            async with session.request(request.method, upstream + request.path_qs, data=body, headers=JSON_BODY) as reply:
                response = web.Response(status=reply.status, body=await reply.read(), content_type=reply.content_type)
        finally:
            busy[upstream] -= answers
        try:
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:  # the caller is gone: this request did not finish
            return response
        log.write(json.dumps(_finished(request, response)) + "\n")
        log.flush()
        return response

    async def open_session(app: web.Application) -> Any:
        app[SESSION] = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), connector=aiohttp.TCPConnector(limit=0))
        yield
        await app[SESSION].close()

    app = web.Application(client_max_size=64 * 2**20)
    app.cleanup_ctx.append(open_session)
    app.router.add_route("*", "/{tail:.*}", forward)
    return app


def answers_asked(body: bytes) -> int:
    """How many answers a request wants to one prompt: a slot is taken by each of them. What llama.cpp will refuse counts as one.

    >>> answers_asked(b'{"prompt": "-", "n": 8}'), answers_asked(b'{"prompt": "-"}'), answers_asked(b"no JSON")
    (8, 1, 1)
    """
    try:
        asked = json.loads(body)["n"]
    except (ValueError, KeyError, TypeError):
        return 1
    return asked if isinstance(asked, int) and asked > 0 else 1


def _finished(request: web.Request, response: web.Response) -> dict[str, Any]:
    return {
        "finished_at": datetime.now(UTC).isoformat(),
        "request_id": request.headers.get(REQUEST_ID_HEADER, ""),
        "method": request.method,
        "path": request.path,
        "status": response.status,
    }


async def serve(model_file: str, model_name: str, log_file: str) -> None:
    """Starts llama.cpp and the front, tells the address, and serves until the process is ended."""
    announce = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever llama.cpp prints goes to standard error
    llama = start_llama(model_file, model_name)
    with open(log_file, "a", encoding="utf-8") as log:
        runner = web.AppRunner(front([server.listening_address for server in llama], log), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        announce.write(json.dumps({"base_url": f"http://127.0.0.1:{port}/v1"}) + "\n")
        announce.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal reaches all: who asks waits for the answers that are on their way
    threading.Thread(target=exit_with_parent, args=(os.getppid(),), daemon=True).start()
    asyncio.run(serve(*sys.argv[1:4]))
