"""The child process behind ``provider: embedded``: llama.cpp with a thin front that keeps an access log.

Run as ``python -m synalign_spark.llm.embedded_server MODEL_FILE MODEL_NAME LOG_FILE``. The front binds a
free loopback port, passes requests on to llama.cpp's own server and writes one JSON line per finished
request: llama.cpp's log does not show request ids. The address goes to standard output as one JSON
line once the model answers. The process ends when its standard input closes or its parent changes, so
that it cannot outlive a job that was killed.
"""

import asyncio
import json
import os
import select
import sys
import threading
from datetime import UTC, datetime
from typing import Any, TextIO

import aiohttp
from aiohttp import web

SLOTS = 8
CONTEXT_TOKENS_A_SLOT = 2_048
REQUEST_ID_HEADER = "X-Request-Id"


def start_llama(model_file: str, model_name: str) -> Any:
    """The running llama.cpp server (it stops when the object is dropped)."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model_file
    params.model_alias = [model_name]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_TOKENS_A_SLOT
    params.cpuparams.n_threads = os.cpu_count() or 1
    params.cpuparams_batch.n_threads = os.cpu_count() or 1
    params.cache_ram_mib = 0
    params.ui = False
    params.offline = True
    params.verbosity = -1
    return xllamacpp.Server(params)


def exit_with_parent(parent: int) -> None:
    """Ends this process at once when the parent is gone: its pipe closes, or somebody else adopts us."""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 1):
            break
    os._exit(0)


def front(upstream: str, log: TextIO) -> web.Application:
    """The loopback front: every path is passed on as it is; finished requests are logged."""

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        session: aiohttp.ClientSession = request.app["session"]
        async with session.request(request.method, upstream + request.path_qs, data=body, headers={"Content-Type": "application/json"}) as reply:
            payload = await reply.read()
            response = web.Response(status=reply.status, body=payload, content_type=reply.content_type)
        await response.prepare(request)
        await response.write_eof()
        line = {
            "finished_at": datetime.now(UTC).isoformat(),
            "request_id": request.headers.get(REQUEST_ID_HEADER, ""),
            "method": request.method,
            "path": request.path,
            "status": reply.status,
        }
        log.write(json.dumps(line) + "\n")
        log.flush()
        return response

    async def open_session(app: web.Application) -> Any:
        app["session"] = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), connector=aiohttp.TCPConnector(limit=0))
        yield
        await app["session"].close()

    app = web.Application(client_max_size=64 * 2**20)
    app.cleanup_ctx.append(open_session)
    app.router.add_route("*", "/{tail:.*}", forward)
    return app


async def serve(model_file: str, model_name: str, log_file: str) -> None:
    """Starts llama.cpp and the front, tells the address, and serves until the process is ended."""
    announce = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever llama.cpp prints goes to standard error
    llama = start_llama(model_file, model_name)
    with open(log_file, "a", encoding="utf-8") as log:
        runner = web.AppRunner(front(llama.listening_address, log), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        announce.write(json.dumps({"base_url": f"http://127.0.0.1:{port}/v1"}) + "\n")
        announce.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    threading.Thread(target=exit_with_parent, args=(os.getppid(),), daemon=True).start()
    asyncio.run(serve(*sys.argv[1:4]))
