"""What the engine makes of an endpoint: calls a second and their CPU time, limits that are told and untold, budgets, kills.

    python tests/bench/generate.py [--quick] [--only calls,rates,budgets,stops,resume]

All against one loopback server in a process of its own, whose CPU time is not counted; `calls` beside the SDK's own asynchronous client
with the same bodies. CPU seconds are marginal: of a long run less those of a short one. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

from tests.bench.support.arguments import names
from tests.bench.support.endpoint import MINUTE_S, Endpoint, Options, Seen, endpoint
from tests.bench.support.engine_runs import ROWS_A_CALL, child, cost, once, run, settings, start, store

CONCURRENCY = 256
RATE_A_S = 20.0
TOKENS_A_MINUTE = 200_000


def calls(server: Endpoint, quick: bool) -> dict[str, Any]:
    """Free calls of 50 ms: calls a second and CPU seconds for a thousand, by either backend and by the SDK's client."""
    few, many = (600, 3_000) if quick else (2_000, 20_000)
    found: dict[str, Any] = {}
    for name, work in (("sdk", by_sdk), ("in_process", by_engine("in_process")), ("ray", by_engine("ray"))):
        parts = []
        for n in (few, many):
            server.change(Options())
            with cost(server.process.pid) as spent:
                started = time.monotonic()
                work(server, n)
                seconds = time.monotonic() - started
            parts.append((seconds, spent.cpu_s, spent.mb))
        seconds, cpu_s, mb = (after - before for before, after in zip(*parts, strict=True))
        found[name] = {
            "calls_per_s": round((many - few) / seconds, 1),
            "cpu_s_per_1000": round(1_000 * cpu_s / (many - few), 2),
            "driver_mb_per_1000_calls": round(1_000 * mb / (many - few), 2),
        }
    best = max(found["ray"]["calls_per_s"], found["in_process"]["calls_per_s"])
    return found | {"ratio_to_async_openai": round(best / found["sdk"]["calls_per_s"], 2)}


def by_engine(backend: str) -> Callable[[Endpoint, int], None]:
    def work(server: Endpoint, n: int) -> None:
        once(settings(server.base_url, n * ROWS_A_CALL, {"backend": backend, "actors": 2}))

    return work


def by_sdk(server: Endpoint, n: int) -> None:
    async def all_of() -> None:
        places = asyncio.Semaphore(CONCURRENCY)
        async with openai.AsyncOpenAI(
            base_url=server.base_url, api_key="none", max_retries=0, http_client=openai.DefaultAioHttpClient()
        ) as client:

            async def one(number: int) -> None:
                async with places:
                    said = [{"role": "user", "content": f"{number} " + "a word " * 150}]
                    await client.chat.completions.create(model="bench", messages=said, max_tokens=512)  # type: ignore[arg-type]

            await asyncio.gather(*map(one, range(n)))

    asyncio.run(all_of())


def rates(server: Endpoint, quick: bool) -> dict[str, Any]:
    """The share of a told limit that is used, of requests and of tokens, and the share of 429 where the server has one that it does not
    tell, or tells in its headers; all after the ramp."""
    seconds, ramp = (20, 8) if quick else (180, 60)
    a_minute = RATE_A_S * 60
    told = {"requests_per_minute": int(a_minute)}
    tokens = {"tokens_per_minute": TOKENS_A_MINUTE}
    cases: dict[str, tuple[dict[str, Any], Options]] = {
        "rate_fraction_told": (told, Options()),
        "token_rate_fraction_told": (tokens, Options()),
        "untold": ({}, Options(requests_per_s=RATE_A_S)),
        "untold_by_the_minute": ({}, Options(requests_per_s=RATE_A_S, burst_s=60.0)),
        "in_headers": ({}, Options(requests_per_s=RATE_A_S, headers=True)),
    }
    if quick:
        del cases["untold_by_the_minute"]  # its ramp is a minute
    found: dict[str, Any] = {}
    for name, (limits, options) in cases.items():
        server.change(options)
        once(settings(server.base_url, 100_000, limits=limits | {"max_minutes": seconds / 60}, max_candidates=10**6))
        seen = server.seen()
        times = seen.times
        start = min(at for at, _ in times)
        late = [(at, status) for at, status in times if ramp <= at - start <= seconds - 1]
        used = sum(status == 200 for _, status in late) / (RATE_A_S * (seconds - 1 - ramp))
        if "tokens_per_minute" in limits:
            used *= RATE_A_S * MINUTE_S * _tokens_a_call(seen) / TOKENS_A_MINUTE
        found[name] = (
            round(used, 3)
            if limits
            else {"used": round(used, 3), "too_many_requests": _share(late), "in_the_ramp": _share(times[: -len(late)])}
        )
    return found


def _tokens_a_call(seen: Seen) -> float:
    return (seen.prompt_tokens + seen.completion_tokens) / max(1, len(seen.ids))


def _share(times: list[tuple[float, int]]) -> float:
    return round(sum(status == 429 for _, status in times) / max(1, len(times)), 4)


def budgets(server: Endpoint, quick: bool) -> dict[str, Any]:
    """What the server's tokens come to over a budget of money, where calls hang until the client gives up, and where no usage is told;
    and how far labels are from their shares when a budget stops the run."""
    prices, found = {"price_input_usd": 1.0, "price_output_usd": 2.0}, {}
    most = 0.1
    for name, options, llm in (
        ("with_timeouts", Options(hangs=0.2), {"timeout_s": 1.0, "max_attempts": 2, "concurrency": 32}),
        ("without_usage", Options(usage=False), {"concurrency": 32}),
        ("as_told", Options(), {"concurrency": 32}),
    ):
        server.change(options)
        once(settings(server.base_url, 100_000, prices | llm, limits={"max_cost_usd": most}, max_candidates=10**6))
        seen = server.seen()
        found[name] = round((seen.prompt_tokens * 1.0 + seen.completion_tokens * 2.0) / 1e6 / most, 3)
    server.change(Options())
    labels = {"a": 4, "b": 3, "c": 2, "d": 1}
    result, _ = once(settings(server.base_url, 4_000, limits={"max_requests": 203}), labels)
    accepted = result.summary["accepted_by_label"]
    total = sum(accepted.values())
    error = max(abs(accepted[label] - total * share / 10) for label, share in labels.items())
    return {"budget_spent_of_allowed": found, "label_share_error_at_budget_stop_in_calls": round(error / ROWS_A_CALL, 2)}


def stops(server: Endpoint, quick: bool) -> dict[str, Any]:
    """Calls that are paid for twice after a kill, and after Ctrl-C, and rows that are lost against an undisturbed run."""
    found: dict[str, Any] = {}
    for name, what in (("kill", signal.SIGKILL), ("ctrl_c", signal.SIGINT)):
        server.change(Options(delay_s=0.3))
        cfg = settings(server.base_url, 1_200, {"concurrency": 16, "backend": "ray"})
        with tempfile.TemporaryDirectory() as ledger:
            with child(cfg, ledger) as process:
                ids: list[str] = []
                while len([one for one in ids if one]) < 100:
                    time.sleep(0.2)
                    ids += server.seen().ids
                    if process.poll() is not None:
                        raise RuntimeError(f"the run ended with status {process.returncode} before it was stopped")
                process.send_signal(what)
                process.wait(60)
            time.sleep(1.0)  # what the server was writing
            result = run(cfg, ledger)
            ids += server.seen().ids
        counts = Counter(one for one in ids if one)
        found[f"repeated_after_{name}"] = sum(count - 1 for count in counts.values())
        found[f"requests_failed_after_{name}"] = result.summary["requests_failed"]  # one that failed for the client may be answered twice
        undisturbed, _ = once(cfg)
        found[f"lost_rows_after_{name}"] = len(
            set(undisturbed.synthetic["request_id"].to_pylist()) - set(result.synthetic["request_id"].to_pylist())
        )
    return found


def resume(server: Endpoint, quick: bool) -> dict[str, Any]:
    """What stored answers cost a start: seconds until it ends that are more, and memory that is more, than with a thousand of them."""
    server.change(Options(delay_s=0.0))
    cfg, found = settings(server.base_url, 8), {}
    few, many = (1_000, 10_000) if quick else (1_000, 100_000)
    for n in (few, many):
        with tempfile.TemporaryDirectory() as ledger:
            store(ledger, n)
            found[n] = start(cfg, ledger)
    seconds, mb = (after - before for before, after in zip(found[few], found[many], strict=True))
    more = many - few
    return {"resume_s_per_10000_answers": round(10_000 * seconds / more, 3), "resume_mb_per_1000_answers": round(1_000 * mb / more, 3)}


PARTS = {"calls": calls, "rates": rates, "budgets": budgets, "stops": stops, "resume": resume}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer calls and seconds")
    parser.add_argument("--only", type=names(list(PARTS)), default=list(PARTS), help=f"default: {','.join(PARTS)}")
    given = parser.parse_args()
    found: dict[str, Any] = {"benchmark": "generate", "quick": given.quick, "concurrency": CONCURRENCY}
    with endpoint() as server:
        for name in given.only:
            started = time.monotonic()
            found[name] = PARTS[name](server, given.quick)
            print(name, json.dumps(found[name]), f"{time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
