"""Answers: a cut one is never repaired, a finished one only with care."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.generation.parsing import parse_attributes, parse_rows

NAMES = ("topic", "sentiment intensity")
TEXTS = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5)


@given(TEXTS)
def test_rows_come_back_in_order(texts):
    assert parse_rows(json.dumps({"rows": texts}), "stop", 10).rows == tuple(texts)


@given(TEXTS, st.integers(0, 200))
def test_a_cut_answer_gives_no_rows_wherever_it_was_cut(texts, at):
    parsed = parse_rows(json.dumps({"rows": texts})[:at], "length", 10)
    assert (parsed.status, parsed.rows) == ("truncated", ())


@given(st.text(max_size=200), st.sampled_from(["stop", "length", "content_filter", None, "weird"]))
def test_any_text_is_parsed_or_refused_never_raised(text, reason):
    for parsed in (parse_rows(text, reason, 3), parse_attributes(text, reason, NAMES)):
        assert parsed.status in ("ok", "refused", "truncated", "unparsable")
        assert (parsed.status == "ok") == bool(parsed.rows or parsed.attributes)
        assert all(isinstance(row, str) for row in parsed.rows)


@pytest.mark.parametrize(
    "answer",
    [
        '{"rows": ["a", "b"]}',
        '["a", "b"]',
        '```json\n{"rows": ["a", "b"]}\n```',
        'Sure! Here you are:\n{"rows": ["a", "b"]}',
        "{'rows': ['a', 'b',]}",
        '{"rows": [{"text": "a"}, {"text": "b"}]}',
        '{"texts": ["a", "b"]}',
        '{"rows": ["a", "b", "c"]}',
    ],
)
def test_finished_answers_in_the_forms_that_models_choose(answer):
    assert parse_rows(answer, "stop", 2).rows == ("a", "b")


@pytest.mark.parametrize(
    "answer", ["", None, "no", "{}", "[]", '{"rows": []}', '{"rows": "a"}', '{"rows": [1, null]}', '{"rows": [["a"]]}']
)
def test_finished_answers_that_hold_no_rows(answer):
    assert parse_rows(answer, "stop", 2).status == "unparsable"


def test_an_unknown_finish_reason_takes_whole_json_only():
    assert parse_rows('{"rows": ["a"]}', "tool_calls", 2).status == "ok"
    assert parse_rows('{"rows": ["a",]}', "tool_calls", 2).status == "unparsable"


def test_list_numbers_go_where_every_row_has_its_own():
    assert parse_rows('["1. a", "2) b"]', "stop", 5).rows == ("a", "b")
    assert parse_rows('["1. a", "b"]', "stop", 5).rows == ("1. a", "b")
    assert parse_rows('["2. a", "3. b"]', "stop", 5).rows == ("2. a", "3. b")


def test_refusals():
    assert parse_rows(None, "stop", 2, refusal="I cannot").status == "refused"
    assert parse_rows("", "content_filter", 2).status == "refused"


def test_attributes_are_matched_loosely_and_made_strings():
    answer = json.dumps({"Topic": ["trains", "rails"], "sentiment_intensity": 3, "other": "x", "tone": " "})
    assert parse_attributes(answer, "stop", (*NAMES, "tone")).attributes == (("topic", "trains, rails"), ("sentiment intensity", "3"))
    assert parse_attributes('{"attributes": {"topic": "x"}}', "stop", NAMES).attributes == (("topic", "x"),)
    assert parse_attributes('{"colour": "red"}', "stop", NAMES).status == "unparsable"
