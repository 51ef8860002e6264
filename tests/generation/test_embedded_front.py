"""The front of the embedded model's servers, before two servers of our own that hold their answers back."""

import asyncio
import io

import aiohttp
from aiohttp import web

from synalign_spark.generation.embedded_server import front


async def started(app):
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def shares(asked):
    """How many answers each of two servers had to write when requests for so many came one after the other, and none was answered yet."""
    held, taken, runners = asyncio.Event(), {0: [], 1: []}, []

    def upstream(name):
        async def answer(request):
            taken[name].append((await request.json()).get("n", 1))
            await held.wait()
            return web.json_response({})

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        return app

    addresses = []
    for name in taken:
        runner, address = await started(upstream(name))
        runners.append(runner)
        addresses.append(address)
    runner, address = await started(front(addresses, io.StringIO()))
    runners.append(runner)
    async with aiohttp.ClientSession() as session:
        calls = []
        for i, n in enumerate(asked):
            body = {"prompt": "-"} | ({"n": n} if n > 1 else {})
            calls.append(asyncio.create_task(session.post(f"{address}/v1/completions", json=body)))
            while sum(map(len, taken.values())) <= i:
                await asyncio.sleep(0.01)
        held.set()
        assert [reply.status for reply in await asyncio.gather(*calls)] == [200] * len(asked)
    for runner in reversed(runners):
        await runner.cleanup()
    return taken


def test_a_request_goes_where_the_fewest_answers_are_to_be_written():
    """By hand: eight answers on the first server weigh as much as eight requests for one on the second."""
    assert asyncio.run(shares([8, 1, 1, 4, 4, 2])) == {0: [8, 2], 1: [1, 1, 4, 4]}
