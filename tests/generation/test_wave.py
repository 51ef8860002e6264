"""What a buyer would want of the order of the calls: even labels at every stop, nothing paid twice that brings nothing, no prompt sent twice."""

import _thread
import json
import re
from collections import Counter
from itertools import count

import pyarrow as pa
import pytest
from ledgers import read_ledger
from loopback import Behaviour, loopback

from synalign_spark.errors import EndpointError
from synalign_spark.generation.engine import generate
from synalign_spark.generation.plan import Slot
from synalign_spark.generation.reading import Parsed
from synalign_spark.generation.wave import Asked, Job

SHARES = {"Business": 40, "Sci/Tech": 30, "Sports": 20, "World": 10}
AGAIN, STEP_1 = "Your last answer", "What do the texts have in common?"


def sets_of(labels, n_sets, rows=2):
    """Demonstration sets of every label; each text names its set."""
    return pa.Table.from_pylist(
        [
            {"round": 0, "label": label, "set_rank": rank, "cluster_id": rank, "rank_in_set": place, "doc_id": f"{label}-{rank}-{place}",
             "text": f"{label} text {place} of set <{rank}> alpha beta gamma delta", "posterior_sd": 1.0}
            for label in labels for rank in range(n_sets) for place in range(rows)
        ]
    )  # fmt: skip


def asked_of(body):
    return body["messages"][-1]["content"]


def rows_asked(body):
    found = re.search(r"holds (?:the list of (\d+) texts|a list with this one text)", asked_of(body))
    return int(found[1] or 1)


def assert_even(accepted, shares, one_call):
    """No label is further from its share of the rows than the rows of one call."""
    total, whole = sum(accepted.values()), sum(shares.values())
    off = {label: accepted[label] - total * share / whole for label, share in shares.items()}
    assert all(abs(rows) <= one_call for rows in off.values()), (accepted, off)


@pytest.mark.parametrize("strategy", ["synalign", "fewshot", "simprompt"])
@pytest.mark.parametrize(
    ("changes", "stopped_by"),
    [
        ({"limits": {"max_requests": 61}}, "limits.max_requests"),
        ({"limits": {"max_tokens": 12_000}}, "limits.max_tokens"),
        ({"limits": {"max_cost_usd": 0.012}}, "limits.max_cost_usd"),
        ({"max_candidates": 87}, "max_candidates"),
    ],
)
def test_any_stop_leaves_the_labels_even(changes, stopped_by, strategy, make_config, quiet, tmp_path):
    with loopback() as server:
        llm = {"price_input_usd": 1.0, "price_output_usd": 1.0, "concurrency": 4}
        cfg = make_config(server.base_url, llm, target_rows=1000, rows_per_request=5, strategy=strategy, **changes)
        summary = generate(sets_of(SHARES, 60), SHARES, cfg, 0, str(tmp_path), quiet).summary
    assert summary["stopped_by"] == stopped_by
    assert 60 <= summary["accepted"] < 1000
    assert_even(summary["accepted_by_label"], SHARES, 5)
    assert summary["missing_by_label"] == {label: share * 10 - summary["accepted_by_label"][label] for label, share in SHARES.items()}


def test_a_time_limit_leaves_the_labels_even(make_config, quiet, tmp_path):
    with loopback(Behaviour(delay_s=0.05)) as server:
        cfg = make_config(server.base_url, {"concurrency": 2}, target_rows=1000, rows_per_request=5, limits={"max_minutes": 1.2 / 60})
        summary = generate(sets_of(SHARES, 60), SHARES, cfg, 0, str(tmp_path), quiet).summary
    assert summary["stopped_by"] == "limits.max_minutes"
    assert 20 <= summary["accepted"] < 1000
    assert_even(summary["accepted_by_label"], SHARES, 5)


def test_the_money_goes_to_rows_not_to_attributes_alone(make_config, quiet, tmp_path):
    """The case of the report: four even labels and 150 requests left one with 100 rows and two with none."""
    even = dict.fromkeys(SHARES, 25)
    with loopback() as server:
        cfg = make_config(server.base_url, target_rows=1000, rows_per_request=5, max_rows_per_set=10, limits={"max_requests": 150})
        result = generate(sets_of(SHARES, 60), even, cfg, 0, str(tmp_path), quiet)
    steps = Counter(result.calls["step"].to_pylist())
    assert steps["rows"] >= 90
    assert steps["attributes"] <= steps["rows"]
    assert_even(result.summary["accepted_by_label"], even, 5)
    assert min(result.summary["accepted_by_label"].values()) >= 110


def test_an_interrupted_run_says_what_is_missing_and_goes_on(make_config, quiet, tmp_path):
    presses = []

    def interrupt(request_id, body, n):
        if request_id and len(server.seen) >= 50 + 25 * len(presses) and len(presses) < 2:  # again where a finaliser swallowed the first
            presses.append(_thread.interrupt_main())

    sets = sets_of(SHARES, 40)
    with loopback(Behaviour(fault=interrupt, delay_s=0.01)) as server:
        cfg = make_config(server.base_url, target_rows=300, rows_per_request=5)
        with pytest.raises(KeyboardInterrupt) as stopped:
            generate(sets, SHARES, cfg, 0, str(tmp_path), quiet)
        presses += [None] * 2
        (note,) = stopped.value.__notes__
        missing = {label: int(n) for label, n in re.findall(r"([\w/]+) (\d+)(?=[,;])", note.partition("missing: ")[2])}
        assert_even({label: share * 3 - missing[label] for label, share in SHARES.items()}, SHARES, 5)
        stored = read_ledger(str(tmp_path))
        assert len(stored) >= 40
        assert set(server.finished) == set(stored)  # what was in flight has been waited for
        resumed = generate(sets, SHARES, cfg, 0, str(tmp_path), quiet)
        assert {server.finished[request_id] for request_id in stored} == {1}  # nothing stored is paid for twice
    with loopback() as server:
        cfg = make_config(server.base_url, target_rows=300, rows_per_request=5)
        undisturbed = generate(sets, SHARES, cfg, 0, str(tmp_path / "again"), quiet)
    assert resumed.synthetic.to_pylist() == undisturbed.synthetic.to_pylist()
    assert resumed.calls["request_id"].to_pylist() == undisturbed.calls["request_id"].to_pylist()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ((400, {}, ""), "injected 400"),
        ((200, {}, "filtered"), "the server filtered the answer"),
        ((200, {}, "prose"), "no JSON in the answer"),
    ],
)
def test_a_label_that_fails_is_left_and_the_others_finish(fault, reason, make_config, quiet, tmp_path):
    behaviour = Behaviour(fault=lambda i, body, n: fault if i and 'label "Sports"' in asked_of(body) else None)
    with loopback(behaviour) as server:
        cfg = make_config(server.base_url, target_rows=200, rows_per_request=5)
        summary = generate(sets_of(SHARES, 30), SHARES, cfg, 0, str(tmp_path), quiet).summary
        useless = sum('label "Sports"' in asked_of(entry["body"]) for entry in server.log)
    assert summary["accepted_by_label"] == {"Business": 80, "Sci/Tech": 60, "Sports": 0, "World": 20}
    assert summary["missing_by_label"] == {"Sports": 40}
    assert summary["stopped_by"] == "labels_given_up"
    assert reason in summary["labels_given_up"]["Sports"]
    assert 20 <= useless <= 45  # judged by its first twenty calls, and those sent meanwhile


@pytest.mark.parametrize("concurrency", [4, 32])
def test_a_label_that_the_endpoint_fails_on_ends_no_run_and_is_asked_for_again(concurrency, make_config, quiet, tmp_path):
    """Only calls of this label are left at the end, and all of them fail: the endpoint is not down, since it takes others."""
    broken = Behaviour(fault=lambda i, body, n: (500, {}, "") if i and 'label "Sports"' in asked_of(body) else None)
    for _ in range(2):  # as it is, and from the stored answers
        with loopback(broken) as server:
            llm = {"max_attempts": 1, "concurrency": concurrency}
            cfg = make_config(server.base_url, llm, target_rows=200, rows_per_request=5)
            summary = generate(sets_of(SHARES, 30), SHARES, cfg, 0, str(tmp_path), quiet).summary
        assert summary["missing_by_label"] == {"Sports": 40}
        assert summary["stopped_by"] == "labels_failing"
        assert "injected 500" in summary["labels_given_up"]["Sports"]
        assert summary["calls"]["server_error"] <= 40
    with loopback() as server:
        cfg = make_config(server.base_url, target_rows=200, rows_per_request=5)
        assert generate(sets_of(SHARES, 30), SHARES, cfg, 0, str(tmp_path), quiet).summary["stopped_by"] == "target"


@pytest.mark.parametrize("kind", [(400, {}, "content filter"), (200, {}, "truncated")])
def test_labels_whose_calls_fail_now_and_then_stay_even(kind, make_config, quiet, tmp_path):
    """Every third call for two of the labels brings nothing: they go ahead of the others."""
    unlucky = ('label "Business"', 'label "World"')
    hit = Behaviour(
        fault=lambda i, body, n: kind if i and int(i[:6], 16) % 3 == 0 and any(word in asked_of(body) for word in unlucky) else None
    )
    with loopback(hit) as server:
        limits = {"max_requests": 71}  # with the probe
        cfg = make_config(
            server.base_url, {"concurrency": 2}, target_rows=1000, rows_per_request=5, strategy="fewshot", limits=limits, max_reasks=0
        )
        summary = generate(sets_of(SHARES, 60), SHARES, cfg, 0, str(tmp_path), quiet).summary
    assert summary["stopped_by"] == "limits.max_requests"
    assert_even(summary["accepted_by_label"], SHARES, 5)


def test_ten_calls_that_fail_twice_are_no_twenty_calls(make_config, quiet, tmp_path):
    asked = []

    def first_wave(request_id, body, n):
        """Ten calls of five rows are the whole first wave, each asked again."""
        asked.extend([request_id] if request_id else [])
        return (200, {}, "prose") if request_id and len(asked) <= 20 else None

    with loopback(Behaviour(fault=first_wave)) as server:
        cfg = make_config(server.base_url, strategy="simprompt", target_rows=50, rows_per_request=5)
        summary = generate(sets_of(["one"], 1), {"one": 1}, cfg, 0, str(tmp_path), quiet).summary
    assert (summary["accepted"], summary["calls"]["unparsable"]) == (50, 20)


def test_a_label_of_which_no_row_is_accepted_is_left(make_config, quiet, tmp_path):
    with loopback() as server:
        cfg = make_config(server.base_url, strategy="simprompt", target_rows=40, min_chars=10_000, max_chars=20_000)
        with pytest.raises(EndpointError, match=r"label 'bad': no row of its first 2\d calls was accepted; rows refused: too_short"):
            generate(sets_of(["bad"], 1), {"bad": 1, "good": 1}, cfg, 0, str(tmp_path), quiet)


@pytest.mark.parametrize("api", ["chat", "completion"])
@pytest.mark.parametrize("strategy", ["synalign", "fewshot", "attrprompt", "simprompt"])
def test_no_prompt_is_sent_twice_by_default(strategy, api, make_config, quiet, tmp_path):
    """Not even a request body where no seed tells them apart."""
    with loopback() as server:
        sets = {"target_rows": 120, "rows_per_request": 5, "max_rows_per_set": None, "gates": []}  # the server's words repeat by chance
        cfg = make_config(server.base_url, {"send_seed": False, "api": api}, strategy=strategy, **sets)
        result = generate(sets_of(["bad", "good"], 6), {"bad": 1, "good": 1}, cfg, 0, str(tmp_path), quiet)
    assert result.summary["accepted"] == 120
    assert result.summary["prompts_distinct"] == result.summary["row_prompts"] == result.calls["step"].to_pylist().count("rows")
    assert len({json.dumps(body) for body in server.bodies}) == result.calls.num_rows


@pytest.mark.parametrize("show", [False, True])
@pytest.mark.parametrize("most", [None, 3, 10])
def test_fewer_attributes_than_asked_for_bring_fewer_calls(most, show, make_config, quiet, tmp_path):
    """Two attributes have two orders: the calls beyond them would send the same prompts, or the demonstrations change places."""
    behaviour = Behaviour(
        fault=lambda i, body, n: (200, {}, f'{{"topic": "trains of {i}", "tone": "warm"}}') if i and STEP_1 in asked_of(body) else None
    )
    with loopback(behaviour) as server:
        few = {"target_rows": 60, "rows_per_request": 1, "max_rows_per_set": most, "show_demonstrations": show, "gates": []}
        result = generate(sets_of(["one"], 40, rows=3), {"one": 1}, make_config(server.base_url, **few), 0, str(tmp_path), quiet)
    per_set = Counter(row["attribute_set_id"] for row in result.synthetic.to_pylist())
    assert {len(attributes) for attributes in result.attributes["attributes"].to_pylist()} == {2}
    assert max(per_set.values()) == ((most or 10) if show else 2)
    assert result.summary["accepted"] == result.summary["row_prompts"] == 60
    assert result.summary["prompts_distinct"] == 60


def test_prompts_that_were_sent_twice_are_seen_in_the_summary(make_config, quiet, tmp_path):
    with loopback(Behaviour(fault=lambda i, body, n: (200, {}, "prose") if i and AGAIN not in asked_of(body) else None)) as server:
        cfg = make_config(server.base_url, strategy="fewshot", target_rows=12, rows_per_request=4)
        summary = generate(sets_of(["one"], 1), {"one": 1}, cfg, 0, str(tmp_path), quiet).summary
    assert (summary["reasks"], summary["row_prompts"], summary["prompts_distinct"]) == (3, 3, 2)  # two demonstrations have two orders


def test_sets_that_are_used_up_end_the_run_with_the_fix(make_config, tmp_path, capsys):
    from rich.console import Console

    from synalign_spark.progress import Progress

    with loopback() as server:
        cfg = make_config(server.base_url, target_rows=100, rows_per_request=5, max_rows_per_set=10)
        loud = Progress(Console(stderr=True), live=False)
        result = generate(sets_of(["bad", "good"], 3), {"bad": 1, "good": 1}, cfg, 0, str(tmp_path), loud)
    assert result.summary["stopped_by"] == "demonstration_sets"
    assert result.summary["accepted_by_label"] == {"bad": 30, "good": 30}
    said = " ".join(capsys.readouterr().err.split())
    assert "missing: bad 20, good 20" in said
    assert "select.demonstration_sets" in said
    assert "generate.max_rows_per_set" in said
    single = sets_of(["bad", "good"], 3, rows=1)
    with loopback() as server:  # one demonstration has one order: a second call would send the same prompt
        cfg = make_config(server.base_url, strategy="fewshot", target_rows=100, rows_per_request=5, max_rows_per_set=None)
        assert generate(single, {"bad": 1, "good": 1}, cfg, 0, str(tmp_path / "1"), Progress(live=False)).summary["accepted"] == 30


def test_a_set_of_which_nothing_comes_is_not_asked_again(make_config, quiet, tmp_path):
    behaviour = Behaviour(fault=lambda i, body, n: (200, {}, "prose") if i and re.search(r"<[0-3]>|u003[0-3]", asked_of(body)) else None)
    with loopback(behaviour) as server:
        cfg = make_config(server.base_url, strategy="fewshot", target_rows=300, rows_per_request=5, max_rows_per_set=20, max_reasks=0)
        result = generate(sets_of(["one"], 20, rows=4), {"one": 1}, cfg, 0, str(tmp_path), quiet)
        calls = Counter(re.search(r"set <(\d+)>", asked_of(entry["body"]))[1] for entry in server.log if entry["request_id"])
    assert result.summary["accepted"] == 300
    assert [calls[str(rank)] for rank in range(4)] == [1, 1, 1, 1]
    assert min(calls.values()) == 1
    assert max(calls.values()) == 4


def test_settings_that_do_not_fit(make_config):
    with pytest.raises(ValueError, match="max_rows_per_set is 3, less than the rows_per_request=4 of one call; raise max_rows_per_set"):
        make_config("http://127.0.0.1:1/v1", max_rows_per_set=3)
    assert make_config("http://127.0.0.1:1/v1", rows_per_request=25, max_rows_per_set=None).calls_a_set(2) == 1


@pytest.mark.parametrize("strategy", ["synalign", "fewshot"])
def test_filtered_calls_do_not_use_up_the_sets(strategy, make_config, quiet, tmp_path):
    """Every third answer is filtered: what it would have brought comes from other prompts of the same sets."""
    calls = count(1)
    behaviour = Behaviour(
        fault=lambda i, body, n: (200, {}, "filtered") if i and STEP_1 not in asked_of(body) and next(calls) % 3 == 0 else None
    )
    with loopback(behaviour) as server:
        cfg = make_config(server.base_url, {"concurrency": 1}, strategy=strategy, target_rows=40, rows_per_request=5, max_rows_per_set=10)
        result = generate(sets_of(SHARES, 1, rows=3), dict.fromkeys(SHARES, 1), cfg, 0, str(tmp_path), quiet)
    assert result.summary["accepted_by_label"] == dict.fromkeys(SHARES, 10)
    assert result.summary["prompts_distinct"] == result.summary["row_prompts"]


def test_a_set_whose_calls_are_always_filtered_is_asked_for_twice_its_rows_at_most(make_config, quiet, tmp_path):
    behaviour = Behaviour(fault=lambda i, body, n: (200, {}, "filtered") if i and "<0>" in asked_of(body) else None)
    with loopback(behaviour) as server:
        cfg = make_config(server.base_url, {"concurrency": 1}, strategy="fewshot", target_rows=40, rows_per_request=5, max_rows_per_set=20)
        result = generate(sets_of(["one"], 2, rows=4), {"one": 1}, cfg, 0, str(tmp_path), quiet)
    assert result.summary["stopped_by"] == "demonstration_sets"
    asked = [asked_of(entry["body"]) for entry in server.log if entry["request_id"]]
    assert sum("<0>" in one for one in asked) == 8
    assert sum("<1>" in one for one in asked) == 4


@pytest.mark.parametrize(
    ("statuses", "sizes", "cut", "unanswered"),
    [
        (["ok"], [8], 0, 0),
        (["filtered"], [8], 0, 8),
        (["truncated"], [8], 8, 0),
        (["truncated", "ok"], [8, 4], 4, 0),
        (["truncated", "filtered"], [8, 4], 4, 4),
        (["truncated", None], [8, 4], 8, 0),
        ([None], [8], 0, 8),
    ],
)
def test_no_row_of_a_call_counts_twice_as_one_that_did_not_come(statuses, sizes, cut, unanswered):
    asked = [
        Asked(None, Slot(None, None, None, size, 0, None, ()), parsed=status and Parsed(status))
        for status, size in zip(statuses, sizes, strict=True)
    ]
    job = Job(0, "a", 8, asked)
    assert (job.cut, job.unanswered) == (cut, unanswered)
