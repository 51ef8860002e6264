"""What a generation would take: counts by hand, and the engine's own count on a server that answers well."""

import pytest
from loopback import loopback

from synalign_spark.config import GenerateConfig
from synalign_spark.config.files import validate
from synalign_spark.generation.engine import generate
from synalign_spark.generation.estimate import CALL_S, EMBEDDED_COMPLETION_RATE, EMBEDDED_PROMPT_RATE, RowSize, estimate
from synalign_spark.generation.plan import DemonstrationSet, Planner

COUNTS = {"good": 75, "bad": 25}
HOSTED = {"provider": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m", "price_input_usd": 1.0, "price_output_usd": 2.0}


SETS = 100


def config(limits=None, **changes):
    return GenerateConfig.model_validate({"target_rows": 100, "rows_per_request": 5, "llm": HOSTED, "limits": limits or {}} | changes)


def test_calls_and_costs_by_hand():
    found = estimate(config(strategy="simprompt", max_reasks=0), COUNTS, 0, 3)
    assert found["calls"] == [20, 51]  # 75 / 5 + 25 / 5; at a yield of 0.4: 37.5 and 12.5, each rounded up
    assert estimate(config(strategy="simprompt"), COUNTS, 0, 3)["calls"] == [20, 57]  # one in ten asked again
    # Two calls a set; the first twenty, and all where few rows are accepted, are of a set each.
    assert estimate(config(max_reasks=0), COUNTS, SETS, 3)["calls"] == [40, 102]
    assert estimate(config(max_reasks=0, target_rows=400), COUNTS, SETS, 3)["calls"] == [80 + 40, 200 + 100]
    assert estimate(config(max_candidates=150, strategy="simprompt", max_reasks=0), COUNTS, 0, 3)["calls"] == [20, 30]
    for end in (0, 1):
        assert found["tokens"][end] == found["prompt_tokens"][end] + found["completion_tokens"][end]
        paid = (found["prompt_tokens"][end] + 2 * found["completion_tokens"][end]) / 1e6
        assert found["cost_usd"][end] == pytest.approx(paid, abs=1e-4)
    assert (
        estimate(config(strategy="simprompt", llm=HOSTED | {"price_input_usd": None, "price_output_usd": None}), COUNTS, 0, 3)["cost_usd"]
        is None
    )


def test_batches_by_hand():
    """Waves of 20, 40 and 80 calls: two hold the 32 for rows at best, three the 86 at worst. Each has a batch for attributes and one for
    rows, at worst one more that asks again."""
    by_calls, found = (estimate(config(target_rows=155, llm=HOSTED | {"mode": mode}), COUNTS, SETS, 3) for mode in ("calls", "batch"))
    assert (found["mode"], found["batch_discount"]) == ("batch", 0.5)
    assert found["batches"] == [2 * 2, 3 * 3]
    assert found["minutes"] == [4 * 5, 9 * 24 * 60]
    assert found["cost_usd"] == pytest.approx([0.5 * usd for usd in by_calls["cost_usd"]], abs=1e-4)
    assert found["calls"] == by_calls["calls"]
    assert not {"mode", "batches"} & by_calls.keys()


@pytest.mark.parametrize("strategy", ["synalign", "fewshot", "attrprompt", "simprompt"])
@pytest.mark.parametrize("row_chars", [120, 480])
def test_a_demonstration_more_costs_its_tokens_wherever_demonstrations_are_shown(strategy, row_chars):
    """One of 120 characters stands in a prompt as `4. "..."` with a line end: 126 characters, 31.5 tokens of 4 characters."""
    plain = config(strategy=strategy, max_reasks=0)
    one, three, eight = (estimate(plain, COUNTS, SETS, rows, RowSize(row_chars))["prompt_tokens"] for rows in (1, 3, 8))
    shown_in = {"synalign": [20, 51], "fewshot": [20, 51]}.get(strategy, [0, 0])  # calls for attributes, or for rows
    each = (row_chars + 6) / 4
    assert [more - few for few, more in zip(one, three, strict=True)] == pytest.approx([2 * each * calls for calls in shown_in], abs=1)
    assert [more - few for few, more in zip(three, eight, strict=True)] == pytest.approx([5 * each * calls for calls in shown_in], abs=1)


@pytest.mark.parametrize("row", [RowSize(60, 3.0), RowSize(90, 2.0), RowSize(120, 1.5)])
def test_tokens_follow_bytes_whatever_the_script(row):
    """Rows of 180 bytes each: Chinese, Russian, and a mixture cost what English does, in the prompts and in the answers."""
    plain = config(strategy="fewshot", max_reasks=0)
    english, other = (estimate(plain, COUNTS, SETS, 3, one) for one in (RowSize(180), row))
    assert other["completion_tokens"] == english["completion_tokens"] == [100 * (180 / 4 + 4), (188 + 63) * (180 / 4 + 4)]
    # Five rows to write at most 92 to 276 characters long: the words on the length differ by a digit.
    assert other["prompt_tokens"] == pytest.approx(english["prompt_tokens"], rel=0.01)


def test_answers_are_planned_by_the_rows_that_lack():
    """24 labels of one row each, in calls of five: 24 rows are written."""
    labels = {f"label {i}": 1 for i in range(24)}
    found = estimate(config(strategy="simprompt", target_rows=24, max_reasks=0), labels, 0, 3)
    assert found["calls"][0] == 24
    assert found["completion_tokens"][0] == 24 * (120 / 4 + 4)


def test_sets_that_bring_too_few_rows_are_named():
    assert estimate(config(target_rows=400), COUNTS, 100, 3)["budgets"] == []
    (may,) = estimate(config(target_rows=401), COUNTS, 100, 3)["budgets"]
    assert may.startswith("100 demonstration sets, of at most 10 candidate rows each, may end it before 401 rows are there")
    (ends,) = estimate(config(target_rows=1001), COUNTS, 100, 3)["budgets"]
    assert " end it before 1,001 rows " in ends
    assert estimate(config(target_rows=1001, strategy="simprompt"), COUNTS, 100, 3)["budgets"] == []
    assert estimate(config(target_rows=1000), COUNTS, 100, 3, auto_sets=True)["budgets"] == []
    assert estimate(config(target_rows=1001), COUNTS, 100, 3, auto_sets=True)["budgets"] == [ends]


def of_n_demonstrations(n_sets, rows_per_set):
    """Demonstration sets of one label."""
    return {
        "one": [
            DemonstrationSet(
                "one", 0, rank, rank, tuple(f"{rank}-{i}" for i in range(rows_per_set)), tuple(f"{rank} {i}" for i in range(rows_per_set))
            )
            for rank in range(n_sets)
        ]
    }


@pytest.mark.parametrize(
    ("rows_per_set", "needs", "generation"),
    [
        (2, 1000, {"strategy": "fewshot", "rows_per_request": 1}),  # two orders of two demonstrations: two rows a set
        (3, 2000, {"attributes": ["topic"], "rows_per_request": 1, "show_demonstrations": False}),  # one order of one attribute
        (3, 334, {"attributes": ["topic"], "rows_per_request": 1}),  # a model that continues text sees six orders of the demonstrations
        (3, 334, {"rows_per_request": 6}),  # ten rows a set are one call of six
        (3, 200, {"rows_per_request": 5}),
        (3, 667, {"rows_per_request": 1, "max_rows_per_set": 3}),
    ],
)
def test_automatic_sets_bring_twice_the_rows_by_the_count_of_the_planner(rows_per_set, needs, generation):
    cfg = validate({"source": {"path": "x"}, "select": {"rows_per_set": rows_per_set}, "generate": {"target_rows": 1000} | generation})
    assert cfg.demonstration_sets == needs
    planner = Planner(cfg.generate, 0, of_n_demonstrations(needs, rows_per_set), ["one"])
    can = planner.calls_left("one") * cfg.generate.rows_per_request
    assert 2000 <= can < 2000 + cfg.generate.rows_a_set(rows_per_set)
    (short,) = estimate(cfg.generate, {"one": 9}, needs // 3, rows_per_set)["budgets"]
    assert f"of at most {can // needs} candidate rows each, end it before 1,000 rows" in short


def test_minutes_follow_from_the_slowest_of_rates_and_concurrency(monkeypatch):
    simple = {"strategy": "simprompt"}
    assert estimate(config(llm=HOSTED | {"concurrency": 2}, **simple), COUNTS, 0, 3)["minutes"][0] == pytest.approx(20 * CALL_S / 2 / 60)
    assert estimate(config({"requests_per_minute": 4}, **simple), COUNTS, 0, 3)["minutes"] == [5.0, 14.2]  # 20 and 57 calls
    slow = estimate(config({"tokens_per_minute": 1000}, **simple), COUNTS, 0, 3)
    assert slow["minutes"][0] == pytest.approx(slow["tokens"][0] / 1000, abs=0.06)
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    embedded = estimate(config(llm={}, **simple), COUNTS, 0, 3)
    core_seconds = embedded["prompt_tokens"][1] / EMBEDDED_PROMPT_RATE + embedded["completion_tokens"][1] / EMBEDDED_COMPLETION_RATE
    assert embedded["minutes"][1] == pytest.approx(core_seconds / 3 / 60, abs=0.06)


def test_budgets_that_are_too_small_are_named():
    asked = {"strategy": "simprompt"}
    assert estimate(config({"max_requests": 57, "max_minutes": 60}, **asked), COUNTS, 0, 3)["budgets"] == []
    (may,) = estimate(config({"max_requests": 56}, **asked), COUNTS, 0, 3)["budgets"]
    assert may == "limits.max_requests = 56 may end it before 100 rows are there"
    short = estimate(config({"max_requests": 19, "max_tokens": 10, "max_cost_usd": 1e-5, "max_minutes": 0.01}, **asked), COUNTS, 0, 3)
    assert [line.split(" = ")[0] for line in short["budgets"]] == [
        f"limits.{key}" for key in ("max_requests", "max_tokens", "max_cost_usd", "max_minutes")
    ]
    assert all(" ends it " in line for line in short["budgets"])


def test_the_best_case_is_what_the_engine_needs_where_every_row_is_accepted(demonstrations, make_config, quiet, tmp_path):
    with loopback() as server:
        cfg = make_config(server.base_url)
        result = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
    assert result.summary["accepted"] == 24
    demonstration_sets = len(set(zip(*(demonstrations[name].to_pylist() for name in ("label", "set_rank")), strict=True)))
    assert result.calls.num_rows <= estimate(cfg, COUNTS, demonstration_sets, 2)["calls"][0]


def test_an_imported_set_takes_no_calls():
    found = estimate(config(strategy="imported", imported={"path": "x.jsonl"}), COUNTS, 0, 3)
    assert (found["calls"], found["budgets"]) == ([0, 0], [])
