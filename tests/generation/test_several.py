"""Several endpoints at once: calls spread by weight and limits, one that fails is left, money is summed, answers are found again."""

import asyncio
import contextlib
from collections import Counter

import pytest
from ledgers import read_ledger
from loopback import Behaviour, loopback, statuses

from synalign_spark.config import LimitsConfig
from synalign_spark.config.files import validate
from synalign_spark.errors import ConfigError, EndpointError
from synalign_spark.generation import endpoint
from synalign_spark.generation.backends.limiter import Limiter
from synalign_spark.generation.backends.sender import Outcome
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.estimate import estimate
from synalign_spark.generation.faults import Fault
from synalign_spark.generation.limits import Allowance, Share, Take
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.stored import StoredAnswers
from synalign_spark.generation.window import Refusal

NOWHERE = "http://127.0.0.1:9/v1"
PRICED = {"price_input_usd": 3.0, "price_output_usd": 4.0}
ANSWERED = Outcome(Answer("r", "answered", 1), None, (5, 5), None, 0.1)


def granted(shares, n=40, settle=False, **budget):
    """How many of n leaves each endpoint gets."""

    async def go():
        limiter, found = Limiter(Allowance(tuple(shares), **budget)), Counter()
        for _ in range(n):
            leave = await limiter.acquire([Take(10, 1.0) for _ in shares])
            if isinstance(leave, Refusal):
                found[leave.error] += 1
                continue
            found[leave.place] += 1
            if settle:
                limiter.settle(leave, ANSWERED, leave.reserved, 0.1)
        return dict(found)

    return asyncio.run(asyncio.wait_for(go(), 10))


def test_turns_go_by_weight_and_those_of_a_limited_one_to_the_others():
    free = LimitsConfig()
    assert granted([Share(free, 100), Share(free, 100, weight=3.0)]) == {0: 10, 1: 30}
    assert granted([Share(free, 5, weight=9.0), Share(free, 100)]) == {0: 5, 1: 35}
    limited = granted([Share(LimitsConfig(requests_per_minute=60), 100), Share(free, 100)], settle=True)
    assert limited[0] <= 2


def test_one_that_had_to_wait_makes_nothing_up():
    async def go():
        limiter = Limiter(Allowance((Share(LimitsConfig(), 1), Share(LimitsConfig(), 100))))
        takes = [Take(), Take()]
        first = await limiter.acquire(takes)
        others = [await limiter.acquire(takes) for _ in range(20)]
        limiter.settle(first, ANSWERED, Take(), 0.1)
        after = []
        for _ in range(10):
            leave = await limiter.acquire(takes)
            after.append(leave.place)
            limiter.settle(leave, ANSWERED, Take(), 0.1)
        return first.place, {leave.place for leave in others}, Counter(after)

    first, others, after = asyncio.run(go())
    assert (first, others) == (0, {1})
    assert after[0] in (5, 6)


def test_budgets_are_of_all_together():
    shares = [Share(LimitsConfig(), 100), Share(LimitsConfig(), 100)]
    assert granted(shares, 12, settle=True, requests_left=10) == {0: 5, 1: 5, "limits.max_requests": 2}
    assert granted(shares, 12, settle=True, usd_left=7.0)["limits.max_cost_usd"] == 5


def test_one_that_is_down_is_left_to_the_others(monkeypatch):
    async def go():
        limiter = Limiter(Allowance((Share(LimitsConfig(max_outage_minutes=1e-9), 9), Share(LimitsConfig(), 100))))
        for _ in range(40):
            leave = await limiter.acquire([Take(), Take()])
            fails = Outcome(None, Fault("server_error", ""), (0, 0), None, 0.1)
            limiter.settle(leave, ANSWERED if leave.place else fails, Take(), 0.1)
        return limiter.left

    assert "it has been down" in asyncio.run(go())[0]


def by_endpoint(result):
    return Counter(result.calls["endpoint"].to_pylist())


@contextlib.contextmanager
def two(second=None, first=None):
    with loopback(first or Behaviour()) as one, loopback(second or Behaviour()) as other:
        yield one, other


def test_rows_and_calls_say_who_answered(run):
    with two(Behaviour(models=("other",))) as (one, other):
        result = run(one, target_rows=200, llms=[{}, {"base_url": other.base_url, "model": "other", "concurrency": 4}])
    found = by_endpoint(result)
    assert set(found) == {one.base_url, other.base_url}
    models = dict(zip(result.calls["request_id"].to_pylist(), result.calls["model"].to_pylist(), strict=True))
    assert Counter(models.values()) == {"loopback": found[one.base_url], "other": found[other.base_url]}
    assert all(models[row["request_id"]] == row["model"] for row in result.synthetic.select(["request_id", "model"]).to_pylist())
    names = {f"loopback at {one.base_url}": found[one.base_url], f"other at {other.base_url}": found[other.base_url]}
    assert result.summary["answered_by"] == names
    assert (result.summary["model"], result.summary["endpoints_left"]) == ("loopback, other", {})


def key_is_withdrawn(request_id, body, n):
    return (401, {}, "") if request_id else None


def prompts_are_refused(request_id, body, n):
    return (400, {}, "this deployment was retired") if request_id else None


class Forbidden:
    """From the third call on, probes too: the key may be at fault."""

    calls = 0

    def __call__(self, request_id, body, n):
        self.calls += bool(request_id)
        return (403, {}, "") if self.calls > 2 else None


@pytest.mark.parametrize(
    ("fault", "why"),
    [(key_is_withdrawn, "401"), (prompts_are_refused, "20 calls in a row failed"), (Forbidden(), "403")],
)
def test_one_that_fails_is_left_and_the_others_finish(fault, why, run, fast, capsys):
    with two(Behaviour(fault=fault)) as (one, other):
        result = run(one, target_rows=400, llms=[{}, {"base_url": other.base_url}])
    assert result.summary["accepted"] == 400
    (name, reason), *more = result.summary["endpoints_left"].items()
    assert (name, more) == (f"loopback at {other.base_url}", [])
    assert why in reason
    assert len(other.bodies) < 60


def test_one_that_cannot_be_reached_at_the_start_is_left(run, fast, make_config):
    with loopback() as one:
        result = run(one, llms=[{"base_url": NOWHERE}, {}])
        endpoint.require_usable([each.llm for each in make_config(one.base_url, llms=[{"base_url": NOWHERE}, {}]).endpoints])
    assert result.summary["accepted"] == 24
    assert list(result.summary["endpoints_left"]) == [f"loopback at {NOWHERE}"]


def test_one_that_is_down_for_too_long_is_named(run, fast):
    with two(Behaviour(fault=lambda i, body, n: (503, {}, "") if i else None)) as (one, other):
        result = run(one, target_rows=200, llms=[{}, {"base_url": other.base_url}], limits={"max_outage_minutes": 0.001})
    assert result.summary["accepted"] == 200
    assert list(result.summary["endpoints_left"]) == [f"loopback at {other.base_url}"]
    assert "down" in result.summary["endpoints_left"][f"loopback at {other.base_url}"]


def test_faults_of_one_are_mended_at_the_other(run, fast):
    with two(Behaviour(fault=lambda i, body, n: (500, {}, "") if i else None)) as (one, other):
        result = run(one, target_rows=200, llms=[{}, {"base_url": other.base_url}])
    assert result.summary["accepted"] == 200
    assert statuses(result) <= {"ok", "server_error"}
    assert by_endpoint(result)[one.base_url] >= 50


def test_where_none_is_left_it_ends(run, fast, make_config):
    withdrawn = Behaviour(fault=key_is_withdrawn)
    with two(withdrawn, withdrawn) as (one, other), pytest.raises(EndpointError, match="the language model cannot be used"):
        run(one, llms=[{}, {"base_url": other.base_url}])
    nowhere = [{"base_url": NOWHERE}, {"base_url": NOWHERE.replace("9", "8")}]
    with pytest.raises(EndpointError, match="the language model cannot be used"):
        endpoint.require_usable([one.llm for one in make_config(None, llms=nowhere).endpoints])


def test_a_key_that_is_not_there_is_an_error_before_any_work(run, make_config):
    with two() as (one, other):
        llms = [{}, {"base_url": other.base_url, "headers": {"x-key": "NO_SUCH_VARIABLE"}}]
        with pytest.raises(EndpointError, match="generate.llm.headers: x-key"):
            run(one, llms=llms)
        with pytest.raises(EndpointError, match="generate.llm.headers: x-key"):
            endpoint.require_usable([each.llm for each in make_config(one.base_url, llms=llms).endpoints])
        assert not one.bodies


def test_money_is_counted_at_the_price_of_whoever_answered_and_answers_are_found_again(run, tmp_path):
    prices = [{"price_input_usd": 1.0, "price_output_usd": 2.0}, {"price_input_usd": 10.0, "price_output_usd": 30.0}]
    with two() as (one, other):
        llms = [prices[0], {"base_url": other.base_url, **prices[1]}]
        result = run(one, target_rows=80, llms=llms, limits={"max_cost_usd": 1.0})
        of = dict(zip((one.base_url, other.base_url), prices, strict=True))
        for row in result.calls.to_pylist():
            price = of[row["endpoint"]]
            usd = (row["prompt_tokens"] * price["price_input_usd"] + row["completion_tokens"] * price["price_output_usd"]) / 1e6
            assert row["cost_usd"] == pytest.approx(usd)
        assert len(by_endpoint(result)) == 2
        asked = len(one.bodies) + len(other.bodies)
        for again in (llms[::-1], llms[:1], None):
            resumed = run(one, target_rows=80, llms=again, limits={})
            assert resumed.synthetic == result.synthetic
        assert len(one.bodies) + len(other.bodies) == asked
        # What was spent so far counts against the budget, at each one's price.
        spent = result.summary["cost_usd"]
        stopped = run(one, target_rows=160, llms=llms, limits={"max_cost_usd": spent + 1e-9})
        assert stopped.summary["stopped_by"] == "limits.max_cost_usd"
        assert len(one.bodies) + len(other.bodies) == asked


def test_an_attempt_that_fails_costs_what_it_does_where_it_went(run, fast, make_config, tmp_path):
    """Where it fails a token of an answer costs a dollar, where it is mended nothing does: so the failed attempts alone make the cost."""
    with two(Behaviour(fault=lambda i, body, n: (500, {}, "") if i else None)) as (one, other):
        free = {"price_input_usd": 0.0, "price_output_usd": 0.0}
        llms = [free, {"base_url": other.base_url, "price_input_usd": 0.0, "price_output_usd": 1e6}]
        result = run(one, {"max_output_tokens": 100}, target_rows=80, llms=llms)
        failed = len([entry for entry in other.log if entry["request_id"]])
        assert failed > 5
        assert sum(result.calls["cost_usd"].to_pylist()) == pytest.approx(100 * failed)
        # The next start finds the same in the ledger, where sums are taken.
        prices = Prices([each.llm for each in make_config(one.base_url, llms=llms).endpoints])
        with StoredAnswers(str(tmp_path / "ledger")) as stored:
            found = sum(prices.usd(answer) for answer in stored.spent())
        answered = sum(call["cost_usd"] for call in result.calls.to_pylist() if call["status"] == "ok")
        assert found == pytest.approx(answered + result.summary["probes"]["cost_usd"])


def test_a_budget_of_money_is_kept_over_all(run):
    prices = {"price_input_usd": 10.0, "price_output_usd": 10.0}
    with two() as (one, other):
        llms = [prices, {"base_url": other.base_url, "price_input_usd": 30.0, "price_output_usd": 30.0}]
        result = run(one, target_rows=4_000, llms=llms, limits={"max_cost_usd": 0.2})
    assert result.summary["stopped_by"] == "limits.max_cost_usd"
    assert 0.1 < sum(result.calls["cost_usd"].to_pylist()) <= 0.2


@pytest.mark.usefixtures("ray_runtime")
def test_actors_of_each_store_what_they_answer(run, tmp_path):
    with two() as (one, other):
        result = run(one, {"backend": "ray"}, target_rows=80, llms=[{}, {"base_url": other.base_url}])
    stored = read_ledger(str(tmp_path / "ledger"))
    assert Counter(answer.endpoint for answer in stored.values()) == by_endpoint(result)
    assert len(by_endpoint(result)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"llms": [{}, {}]}, "generate.llms has loopback at http://one/v1 twice"),
        ({"llms": []}, "generate.llms"),
        ({"llms": [{}, {"model": "b", "weight": 0}]}, "generate.llms.1.weight"),
        ({"llms": [{}, {"model": "b", "weight": -1}]}, "generate.llms.1.weight"),
        (
            {"llms": [{"base_url": "http://two/v1?key=SECRET1"}, {"base_url": "http://two/v1?key=SECRET2"}, {}]},
            r"generate.llms has loopback at http://two/v1 twice; .* told apart by model and address",
        ),
        (
            {"llms": [{"base_url": f"http://two/v1?deployment=a&key=SECRET{i}"} for i in range(2)] + [{}]},
            r"loopback at http://two/v1\?deployment=a twice",
        ),
        ({"llms": [{"model": "b"}]}, "llms has no entry for llm.model 'loopback'"),
        ({"llms": [{"base_url": "http://two/v1"}]}, "llm.base_url is set, and every entry of llms has one of its own"),
        ({"llms": [{}, {"temperature": 1}]}, "generate.llms.1.temperature"),
        ({"llms": [{}, {"model": "b"}], "limits": {"tokens_per_minute": 5}}, "limits.tokens_per_minute is set beside llms"),
        ({"llms": [{}, {"model": "b"}], "llm": {"mode": "batch"}}, "llm.mode is 'batch', which asks one endpoint"),
        ({"llms": [{}], "llm": {"provider": "embedded", "model": "gemma-3-270m", "base_url": None}}, "llm.provider is 'embedded'"),
        (
            {"llms": [{"price_input_usd": 1, "price_output_usd": 1}, {"model": "b"}], "limits": {"max_cost_usd": 1}},
            "no price_input_usd and price_output_usd for b at http://one/v1",
        ),
        ({"llms": [{}, {"model": "b"}], "llm": {"price_input_usd": 1, "price_output_usd": 1}}, "no price_input_usd .* for b at"),
        (
            {"llms": [PRICED, {"model": "b"} | PRICED], "llm": {"price_input_usd": 1, "price_output_usd": 1}},
            "llm.price_input_usd is set, and",
        ),
        (
            {"llms": [PRICED, {"model": "b"} | PRICED], "llm": {"price_output_usd": 1}},
            "llm.price_output_usd is set, and every entry of llms",
        ),
        ({"llm": {"price_input_usd": 1}}, "one of price_input_usd and price_output_usd is set for loopback at http://one/v1"),
        (
            {"llms": [{"model": "b", "price_output_usd": 1}, {}]},
            "one of price_input_usd and price_output_usd is set for b at http://one/v1",
        ),
        ({"llms": [{"concurrency": 4}, {"model": "b", "concurrency": 4}], "llm": {"concurrency": 9}}, "llm.concurrency is set, and every"),
        ({"llms": [{"timeout_s": 4}, {"model": "b", "timeout_s": 4}], "llm": {"timeout_s": 9}}, "llm.timeout_s is set, and every"),
        (
            {"llms": [{"api_key_env": "A"}, {"model": "b", "api_key_env": "B"}], "llm": {"api_key_env": "C"}},
            "llm.api_key_env is set, and every entry of llms has its own or another base_url; move it",
        ),
        ({"llms": [{}, {"model": "b"}], "limits": {"max_cost_usd": 1}}, "limits.max_cost_usd needs"),
        ({"llms": [{}, {"base_url": "http://two/v1", "api_key_env": "abcdef0123456789abcdef"}]}, "name an environment variable"),
        ({"llms": [{}, {"base_url": "http://two/v1", "headers": {"a b": "KEY"}}]}, "no name of a header"),
    ],
)
def test_bad_input_is_a_clear_error(changes, message):
    llm = {"provider": "openai", "base_url": "http://one/v1", "model": "loopback"} | changes.get("llm", {})
    with pytest.raises(ConfigError, match=message) as caught:
        validate({"source": {"path": "x"}, "generate": changes | {"llm": llm}})
    assert "SECRET" not in str(caught.value)


def test_what_names_the_address_or_model_of_llm_anew_is_still_that_one(make_config):
    own = {"api_key_env": "KEY", "headers": {"x-key": "OTHER"}, "price_input_usd": 1.0, "price_output_usd": 2.0}
    llms = [{"base_url": "http://one/v1", "model": "loopback"}, {"base_url": "http://one/v1?deployment=b"}]
    same, other = (one.llm for one in make_config("http://one/v1", own, llms=[llms[0], llms[1] | PRICED]).endpoints)
    assert {key: getattr(same, key) for key in own} == own
    assert (other.api_key_env, other.headers, other.name) == ("OPENAI_API_KEY", {}, "loopback at http://one/v1?deployment=b")


def test_a_plan_counts_both(make_config):
    def plan(**changes):
        return estimate(make_config("http://one/v1", target_rows=1_000, **changes), {None: 50}, n_sets=500, rows_per_set=3)

    prices = [{"price_input_usd": 1.0, "price_output_usd": 1.0}, {"price_input_usd": 3.0, "price_output_usd": 3.0}]
    single = [plan(llm=price)["cost_usd"] for price in prices]
    rates = [{"requests_per_minute": 10}, {"requests_per_minute": 30}]
    found = plan(llms=[prices[0] | rates[0], {"model": "b"} | prices[1] | rates[1]])
    assert found["cost_usd"] == [single[0][0], single[1][1]]
    assert found["minutes"] == [pytest.approx(calls / 40, rel=0.01) for calls in found["calls"]]
    assert (found["model"], found["endpoints"]) == ("loopback, b", "loopback at http://one/v1, b at http://one/v1")
