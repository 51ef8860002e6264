"""Several endpoints at once: calls say who answered, one that fails is left, money is summed, answers are found again."""

import contextlib
from collections import Counter

import pytest
from ledgers import read_ledger
from loopback import Behaviour, loopback, statuses

from synalign_spark.errors import EndpointError
from synalign_spark.generation import endpoint
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.stored import StoredAnswers

NOWHERE = "http://127.0.0.1:9/v1"


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


def test_one_whose_check_alone_is_over_the_budget_is_left(run):
    dear = {"price_input_usd": 0.0, "price_output_usd": 1e6}
    with two() as (one, other):
        llms = [{"base_url": other.base_url, **dear}, {"price_input_usd": 1.0, "price_output_usd": 1.0}]
        result = run(one, llms=llms, limits={"max_cost_usd": 1.0})
        assert result.summary["accepted"] == 24
        (name, reason), *more = result.summary["endpoints_left"].items()
        assert (name, more) == (f"loopback at {other.base_url}", [])
        assert reason.startswith("generate.limits.max_cost_usd leaves no room for the tiny calls")
        assert not other.bodies
        with pytest.raises(EndpointError, match=r"stopped by limits.max_cost_usd; raise generate.limits.max_cost_usd"):
            run(one, ledger="none", llms=[llms[0], {**dear}], limits={"max_cost_usd": 1.0})


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
    """Where it fails a token of an answer costs a dollar, where it is mended nothing does: so the failed attempts alone make the cost, and
    the looks whether it is up again, which a slow machine may come to: they ask for a word in no form, of 64 tokens at most."""
    with two(Behaviour(fault=lambda i, body, n: (500, {}, "") if i or "response_format" not in body else None)) as (one, other):
        free = {"price_input_usd": 0.0, "price_output_usd": 0.0}
        llms = [free, {"base_url": other.base_url, "price_input_usd": 0.0, "price_output_usd": 1e6}]
        result = run(one, {"max_output_tokens": 100}, target_rows=80, llms=llms)
        failed = len([entry for entry in other.log if entry["request_id"]])
        looks = len([entry for entry in other.log if not entry["request_id"] and "response_format" not in entry["body"]])
        assert failed > 5
        assert sum(result.calls["cost_usd"].to_pylist()) == pytest.approx(100 * failed + 64 * looks)
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
