"""One call by the SDK's client and by the transport, to a server of the test's own."""

import asyncio
import contextlib
import threading

from aiohttp import web

from synalign_spark.config import LlmConfig
from synalign_spark.generation.bodies import path_and_body
from synalign_spark.generation.calls import make_request
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.faults import classify
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.replies import answer_of
from synalign_spark.generation.target import sync_client, target_of
from synalign_spark.generation.transport import Transport

CHAT = Prompt(({"role": "user", "content": "A row, ü as JSON"},), {"type": "object"}, "rows")
SAID = {"choices": [{"message": {"role": "assistant", "content": '{"rows": ["ein Film"]}'}, "finish_reason": "stop"}]}


@contextlib.contextmanager
def serving(handler, context=None):
    """The address of a server whose every POST ``handler`` answers."""
    loop, ready, port = asyncio.new_event_loop(), threading.Event(), []

    async def serve():
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        port.append(runner.addresses[0][1])
        ready.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(serve()), loop.run_forever()), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{port[0]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def both(address, settings=None, monkeypatch=None, timeout_s=5.0):
    """What the SDK's client and the transport make of one call: an answer or a fault each, without the time it took."""
    llm = LlmConfig.model_validate({"provider": "openai", "base_url": address, "model": "m", "timeout_s": timeout_s} | (settings or {}))
    target, found = target_of(llm, None, Terms()), []
    request = make_request("rows", None, CHAT, llm, "s")
    path, body = path_and_body(request, target)

    def by_sdk():
        of_sdk = {name: body[name] for name in ("model", "messages")}
        rest = {name: value for name, value in body.items() if name not in of_sdk}
        with sync_client(target) as client:
            return client.chat.completions.create(**of_sdk, extra_body=rest, extra_headers=target.request_headers)

    async def by_transport():
        ours = Transport(target)
        try:
            return (await asyncio.wait_for(ours.post(path, body, {}), timeout_s)).body
        finally:
            await ours.close()

    for call in (by_sdk, lambda: asyncio.run(by_transport())):
        try:
            answer = answer_of(call(), request, target, 1, 0.0)
        except Exception as err:
            found.append(classify(err))
        else:
            found.append((answer.answer, answer.finish_reason, answer.refusal, answer.prompt_tokens, answer.completion_tokens))
    return found
