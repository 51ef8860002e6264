"""The engine against a loopback server that misbehaves. Callers run in this process here; test_pool has both backends."""

import json
import re
import time
import zlib

import pytest
from loopback import Behaviour, loopback, misbehave

from synalign_spark.errors import BudgetError, ConfigError, EndpointError
from synalign_spark.generation.engine import generate
from synalign_spark.generation.gates.profile import RealProfile
from synalign_spark.storage import tables

COUNTS = {"good": 75, "bad": 25}


def content(result):
    """What must not depend on the order of answers, on faults that a retry mends, or on a resume."""
    calls = result.calls.drop_columns(["latency_s", "finished_at", "attempts", "error", "endpoint"])
    return [t.to_pylist() for t in (result.attributes, result.synthetic, result.refusals, calls)]


@pytest.mark.parametrize("strategy", ["synalign", "fewshot", "attrprompt", "simprompt"])
def test_exactly_the_target_with_quotas_and_lineage(strategy, demonstrations, make_config, quiet, tmp_path):
    with loopback() as server:
        result = generate(demonstrations, COUNTS, make_config(server.base_url, strategy=strategy), 0, str(tmp_path), quiet)
    rows = result.synthetic.to_pylist()
    assert result.summary["accepted_by_label"] == {"bad": 6, "good": 18}
    assert len({row["doc_id"] for row in rows}) == len(rows) == 24
    for table, name in (
        (result.attributes, "attributes"),
        (result.synthetic, "synthetic"),
        (result.refusals, "refusals"),
        (result.calls, "calls"),
    ):
        assert table.schema.equals(next(t for t in tables.TABLES if t.name == name).arrow)
    calls = {row["request_id"]: row for row in result.calls.to_pylist()}
    attribute_sets = {row["attribute_set_id"]: row for row in result.attributes.to_pylist()}
    assert len(attribute_sets) == result.attributes.num_rows
    known = set(demonstrations["doc_id"].to_pylist())
    for row in rows:
        assert calls[row["request_id"]]["status"] == "ok"
        assert calls[row["request_id"]]["label"] == row["label"]
        if strategy != "simprompt":
            assert set(attribute_sets[row["attribute_set_id"]]["demo_ids"]) <= known
            assert bool(attribute_sets[row["attribute_set_id"]]["demo_ids"]) == (strategy in ("synalign", "fewshot"))
    assert result.summary["prompt_tokens"] > 0


def test_faults_are_rows_and_a_resume_asks_nothing_again(demonstrations, make_config, quiet, tmp_path):
    with loopback(Behaviour(fault=misbehave)) as server:
        cfg = make_config(server.base_url, target_rows=160, max_candidates=1000)
        first = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
        asked = dict(server.seen)
        again = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
    assert first.summary["accepted"] == 160
    assert first.summary["calls"].keys() >= {"ok", "truncated", "refused", "unparsable", "bad_request"}
    reasons = {row["reason"] for row in first.refusals.to_pylist()}
    assert {"truncated", "content_filter", "unparsable"} <= reasons
    assert {row["attempts"] for row in first.calls.to_pylist()} == {1, 2}
    assert content(first) == content(again)
    failed = {row["request_id"] for row in first.calls.to_pylist() if row["status"] == "bad_request"}
    assert {i for i, n in server.seen.items() if i and n != asked[i]} == failed  # a 400 costs nothing and is tried anew
    assert max(server.finished[i] for i in server.seen if i) == 1


@pytest.mark.slow
def test_tables_do_not_depend_on_actors_and_concurrency(demonstrations, make_config, quiet, tmp_path):
    results = []
    for actors, concurrency in ((1, 1), (2, 8)):
        with loopback(Behaviour(fault=misbehave)) as server:
            cfg = make_config(server.base_url, {"actors": actors, "concurrency": concurrency})
            results.append(content(generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / str(actors)), quiet)))
            assert server.most_flying <= concurrency
    assert results[0] == results[1]


def test_changed_settings_ask_anew_and_the_seed_changes_the_rows(demonstrations, make_config, quiet, tmp_path):
    with loopback() as server:
        base = generate(demonstrations, COUNTS, make_config(server.base_url), 0, str(tmp_path), quiet)
        warmer = generate(demonstrations, COUNTS, make_config(server.base_url, {"temperature": 0.5}), 0, str(tmp_path), quiet)
        other = generate(demonstrations, COUNTS, make_config(server.base_url), 1, str(tmp_path), quiet)
    assert base.summary["answers_reused"] == warmer.summary["answers_reused"] == other.summary["answers_reused"] == 0
    assert set(base.synthetic["doc_id"].to_pylist()).isdisjoint(other.synthetic["doc_id"].to_pylist())


@pytest.mark.parametrize(
    ("behaviour", "shown", "per_wave"),
    [
        (Behaviour(dialects=("json_object", "text")), "json_object", True),
        (Behaviour(dialects=("text",)), "text", True),
        (Behaviour(refuse_limits=True), "json_schema", True),
    ],
)
def test_dialect_is_negotiated_once_and_remembered(behaviour, shown, per_wave, demonstrations, make_config, quiet, tmp_path):
    with loopback(behaviour) as server:
        cfg = make_config(server.base_url)
        result = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
        probes = server.seen[""]
        generate(demonstrations, COUNTS, cfg, 7, str(tmp_path), quiet)
    assert set(result.calls["dialect"].to_pylist()) == {shown}
    assert result.summary["accepted"] == 24
    assert 1 < probes == server.seen[""]
    assert set(result.calls["status"].to_pylist()) == {"ok"}


def test_budgets_stop_cleanly_and_go_on_later(demonstrations, make_config, quiet, tmp_path):
    with loopback() as server:
        stopped = generate(demonstrations, COUNTS, make_config(server.base_url, limits={"max_requests": 9}), 0, str(tmp_path), quiet)
        asked = sum(n for i, n in server.seen.items() if i)
        whole = generate(demonstrations, COUNTS, make_config(server.base_url), 0, str(tmp_path), quiet)
    assert stopped.summary["stopped_by"] == "limits.max_requests"
    assert asked in (8, 9)  # a call for attributes needs room for one for rows besides
    assert 0 < stopped.summary["accepted"] < 24
    assert whole.summary["accepted"] == 24
    assert max(server.finished[i] for i in server.seen if i) == 1
    tokens = whole.summary["prompt_tokens"] + whole.summary["completion_tokens"]
    with loopback() as server:
        priced = make_config(server.base_url, {"price_input_usd": 1.0, "price_output_usd": 1.0}, limits={"max_cost_usd": tokens * 0.7e-6})
        result = generate(demonstrations, COUNTS, priced, 0, str(tmp_path / "cost"), quiet)
    assert result.summary["stopped_by"] == "limits.max_cost_usd"
    assert 0 < result.summary["cost_usd"] <= tokens * 0.7e-6


@pytest.mark.parametrize("rate", [None, 60])  # the pool stops sending; or calls that wait for their turn are refused
def test_a_time_limit_ends_a_run_that_a_later_start_goes_on_with(rate, demonstrations, make_config, quiet, tmp_path):
    limits, simple = {"max_minutes": 2.5 / 60, "requests_per_minute": rate}, {"strategy": "simprompt"}
    with loopback(Behaviour(delay_s=0.6)) as server:
        started = time.monotonic()
        cfg = make_config(server.base_url, {"concurrency": 1}, limits=limits, **simple)
        late = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
        assert max(server.chat_times()) <= started + 2.5 + 2  # so much for a busy machine
        assert late.summary["stopped_by"] == "limits.max_minutes"
        assert 0 < late.summary["accepted"] < 24
        whole = generate(demonstrations, COUNTS, make_config(server.base_url, **simple), 0, str(tmp_path), quiet)
    assert whole.summary["accepted"] == 24
    assert max(server.finished[i] for i in server.seen if i) == 1


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (Behaviour(keys=("right",)), "Incorrect API key"),
        (Behaviour(models=("another",)), "does not exist"),
        (Behaviour(fault=lambda i, body, n: (200, {}, "prose") if i else None), "no JSON in the answer"),
        (Behaviour(fault=lambda i, body, n: (400, {}, "") if i else None), "injected 400"),
    ],
)
def test_unusable_endpoint_is_one_clear_error(behaviour, message, demonstrations, make_config, quiet, tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPBACK_KEY", "secret-key-123")
    with loopback(behaviour) as server:
        cfg = make_config(server.base_url, {"api_key_env": "LOOPBACK_KEY"}, target_rows=200)
        with pytest.raises(EndpointError, match=message) as err:
            generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
    assert "secret-key-123" not in str(err.value)
    if message in ("Incorrect API key", "does not exist"):
        assert server.base_url in str(err.value)
        assert "LOOPBACK_KEY" in str(err.value)
        assert not any(server.finished.values())


@pytest.mark.parametrize(
    ("strategy", "fewer"), [("simprompt", r", or lower generate\.rows_per_request \(4\)"), ("synalign", r" \(\d+ calls\)")]
)
def test_answers_that_are_always_cut_off_name_the_limit(strategy, fewer, run):
    """In the error, and in the tables of a run of which some answers fit."""
    advice = r"it had \d+ tokens: raise generate\.llm\.max_output_tokens \(400\)"
    with (
        loopback(Behaviour(fault=lambda i, body, n: (200, {}, "truncated") if i else None)) as server,
        pytest.raises(EndpointError, match=advice + fewer),
    ):
        run(server, strategy=strategy, target_rows=200)
    some = Behaviour(fault=lambda i, body, n: (200, {}, "truncated") if i and int(i[:4], 16) % 2 else None)
    with loopback(some) as server:
        result = run(server, strategy=strategy, ledger="another")
    cut = [row["error"] for row in result.calls.to_pylist() if row["status"] == "truncated"]
    assert cut
    assert all(re.search(advice, error) for error in cut)


def test_endpoint_that_is_down(demonstrations, make_config, quiet, tmp_path):
    with loopback() as server:
        cfg = make_config(server.base_url)
    with pytest.raises(EndpointError, match="no connection") as err:
        generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
    assert cfg.llm.base_url in str(err.value)


def test_copies_that_only_a_pass_over_the_corpus_shows_are_replaced_by_other_rows(demonstrations, make_config, quiet, tmp_path):
    class Scanned:
        in_memory = False

        def overlaps(self, texts):
            return [float(zlib.crc32(text.encode()) % 4 == 0) for text in texts]

    real = RealProfile((), Scanned())
    with loopback() as server:
        cfg = make_config(server.base_url, max_candidates=400)
        first = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet, real=real)
        again = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet, real=real)
    rows = first.synthetic["text"].to_pylist()
    assert first.summary["accepted_by_label"] == {"bad": 6, "good": 18}
    assert len(rows) == 24
    assert sum(real.copies.overlaps(rows)) == 0.0
    copied = [row["text"] for row in first.refusals.to_pylist() if row["reason"] == "copied"]
    assert first.summary["refused"]["copied"] == len(copied) > 0
    assert sum(real.copies.overlaps(copied)) == len(copied)
    assert content(first) == content(again)


def test_label_shares_that_name_an_unknown_label(demonstrations, make_config, quiet, tmp_path):
    cfg = make_config("http://127.0.0.1:9/v1", label_shares={"good": 0.5, "ugly": 0.5})
    with pytest.raises(ConfigError, match="ugly"):
        generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)


@pytest.mark.parametrize("template", ["Q: {question} A: {answer}", "User: write {question} Assistant: {answer}"])
def test_rows_of_fields_keep_them_beside_their_text(template, demonstrations, make_config, quiet, tmp_path):
    fields = [{"name": "question", "description": "what is asked"}, {"name": "answer", "description": "what is said"}]
    with loopback() as server:
        cfg = make_config(server.base_url, {"max_output_tokens": 900}, fields=fields, text_template=template)
        rows = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet).synthetic.to_pylist(maps_as_pydicts="strict")
    assert len(rows) == 24
    for row in rows:
        assert set(row["fields"]) == {"question", "answer"}
        assert row["text"] == template.format(**row["fields"])


def test_the_words_of_every_call_are_kept_once(demonstrations, make_config, quiet, tmp_path):
    with loopback() as server:
        result = generate(demonstrations, COUNTS, make_config(server.base_url), 0, str(tmp_path), quiet)
    prompts = {row["prompt_hash"]: row for row in result.prompts.to_pylist(maps_as_pydicts="strict")}
    assert len(prompts) == result.prompts.num_rows
    assert set(prompts) == set(result.calls["prompt_hash"].to_pylist())
    sent = {json.dumps(entry["body"]["messages"], sort_keys=True) for entry in server.log if entry["request_id"]}
    assert {json.dumps(row["messages"], sort_keys=True) for row in prompts.values()} == sent
    attributes = {row["attribute_set_id"]: row["attributes"] for row in result.attributes.to_pylist(maps_as_pydicts="strict")}
    hash_of = {row["request_id"]: row["prompt_hash"] for row in result.calls.to_pylist()}
    for row in result.synthetic.to_pylist():
        ask = prompts[hash_of[row["request_id"]]]["messages"][1]["content"]
        assert all(json.dumps(value) in ask for value in attributes[row["attribute_set_id"]].values())


def test_a_description_of_an_unknown_label_ends_it_before_any_call(demonstrations, make_config, quiet, tmp_path):
    with loopback() as server:
        cfg = make_config(server.base_url, label_descriptions={"god": "praise"})
        with pytest.raises(ConfigError, match="describes 'god', but the labels are bad, good"):
            generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
        assert server.chat_times() == []


def test_time_that_is_over_waits_for_what_is_in_flight_and_the_next_start_goes_on(demonstrations, make_config, quiet, tmp_path):
    with loopback(Behaviour(delay_s=0.05)) as server:
        cfg = make_config(server.base_url, target_rows=160)
        undisturbed = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / "a"), quiet)
        asked = len(server.log)

        def require_time():
            if len(server.log) > asked + 12:
                raise BudgetError("run.max_minutes: 1 minutes are over")

        with pytest.raises(BudgetError, match="run.max_minutes") as err:
            generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / "b"), quiet, require_time=require_time)
        assert "the answers so far are stored" in err.value.__notes__[0]
        resumed = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / "b"), quiet)
    assert resumed.summary["answers_reused"] > 0
    assert {n for request_id, n in server.finished.items() if request_id} == {2}  # by either run, nothing twice
    assert content(resumed) == content(undisturbed)
