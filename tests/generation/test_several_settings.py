"""The settings of several endpoints: what does not fit is a clear error before any work, and a plan counts them all."""

import pytest

from synalign_spark.config.files import validate
from synalign_spark.errors import ConfigError
from synalign_spark.generation.estimate import estimate

PRICED = {"price_input_usd": 3.0, "price_output_usd": 4.0}


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
