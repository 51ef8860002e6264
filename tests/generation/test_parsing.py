"""Answers: a cut one is never repaired, a finished one only with care."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.generation.parsing import parse_attributes, parse_continuation, parse_objects, parse_rows
from synalign_spark.generation.reading import BadRow

NAMES = ("topic", "sentiment intensity")
TEXTS = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5)


@given(TEXTS)
def test_rows_come_back_in_order(texts):
    assert parse_rows(json.dumps({"rows": texts}), "stop", 10).rows == tuple(texts)


@given(TEXTS, st.integers(0, 200))
def test_a_cut_answer_gives_no_rows_wherever_it_was_cut(texts, at):
    parsed = parse_rows(json.dumps({"rows": texts})[:at], "length", 10)
    assert (parsed.status, parsed.rows) == ("truncated", ())


@given(TEXTS, st.data(), st.sampled_from(["stop", None, "eos", "tool_calls"]))
def test_a_cut_answer_gives_no_rows_whatever_the_server_says(texts, data, reason):
    whole = json.dumps({"rows": texts})
    parsed = parse_rows(whole[: data.draw(st.integers(1, len(whole) - 1))], reason, 10)
    assert (parsed.status, parsed.rows) == ("truncated", ())


@given(TEXTS, st.text(max_size=40), st.sampled_from(["think", "THINK", "thinking", "reasoning"]))
def test_only_what_stands_after_the_last_reasoning_is_the_answer(texts, thought, tag):
    answer = f'{thought}</{tag}><{tag}>{{"rows": ["draft"]}}</{tag}>\n{json.dumps({"rows": texts})}'
    assert parse_rows(answer, "stop", 10).rows == tuple(texts)
    assert parse_rows(f"<{tag}>{thought}{json.dumps({'rows': texts})}", "stop", 10).status == "truncated"


@pytest.mark.parametrize(
    "answer",
    [
        '<think>{"rows": ["draft"]}</think>{"rows": ["final a", "final b"]}',
        '<think>I answer with {"rows": ...}.</think>{"rows": ["final a", "final b"]}',
        'begun by the template: {"rows": ["draft"]}</think>```json\n{"rows": ["final a", "final b"]}\n```',
        '[THINK]["draft"][/THINK]["final a", "final b"]',
        '\u25c1think\u25b7["draft"]\u25c1/think\u25b7["final a", "final b"]',
        '<seed:think>{"rows": ["draft"]}</seed:think>{"rows": ["final a", "final b"]}',
        '<thoughts>{"rows": ["draft"]}</thoughts>["final a", "final b"]',
        '<|begin_of_thought|>["draft"]<|end_of_thought|><|begin_of_solution|>{"rows": ["final a", "final b"]}<|end_of_solution|>',
        '<|START_THINKING|>["draft"]<|END_THINKING|><|START_RESPONSE|>{"rows": ["final a", "final b"]}<|END_RESPONSE|>',
        '<|channel|>analysis<|message|>["draft"]<|end|><|start|>assistant<|channel|>final<|message|>["final a", "final b"]',
        '<|channel|>analysis<|message|>["draft"]<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>["final a", "final b"]',
        '<|channel|>analysis<|message|>["draft"]<|end|><|start|>assistant<|channel|>commentary to=functions.rows <|constrain|>json<|message|>["final a", "final b"]',
    ],
)
def test_drafts_are_no_rows(answer):
    assert parse_rows(answer, "stop", 5).rows == ("final a", "final b")


def test_a_mark_of_reasoning_within_a_row_is_text():
    rows = ("it says </think> here", "and <think> there")
    assert parse_rows(json.dumps({"rows": rows}), "stop", 5).rows == rows


@pytest.mark.parametrize(
    ("answer", "reason", "status", "rows"),
    [
        (" a fine film\n- a dull one\n", "stop", "ok", ("a fine film", "a dull one")),
        (" a fine film\n- a du", "length", "ok", ("a fine film",)),
        (" a fi", "length", "truncated", ()),
        (" a fine film\n", "length", "ok", ("a fine film",)),
        (" a fine film\n###\n- a du", "length", "ok", ("a fine film",)),  # the mark came before the limit
        ("a fine film\n- a dull one\n-a third", "stop", "ok", ("a fine film", "a dull one", "-a third")),
        ("1. a fine film\n2. a dull one", "stop", "ok", ("1. a fine film", "2. a dull one")),  # taken off later, if real rows have none
        (" 12 angry men - a play\n-3 points", "stop", "ok", ("12 angry men - a play", "-3 points")),  # these are no marks of a list
        ("\n-\n- \n", "stop", "unparsable", ()),
        ("", "stop", "unparsable", ()),
        (None, "stop", "unparsable", ()),
        ("a film", "content_filter", "refused", ()),
        ("a\nb\nc\nd", None, "ok", ("a", "b", "c")),
    ],
)
def test_a_continued_list(answer, reason, status, rows):
    parsed = parse_continuation(answer, reason, 3, ("###",))
    assert (parsed.status, parsed.rows) == (status, rows)


@given(
    st.lists(st.text(st.characters(exclude_characters="\n#", exclude_categories=["C", "Z"]), min_size=3), min_size=1, max_size=4), st.data()
)
def test_a_continued_list_that_is_cut_keeps_whole_lines_only(texts, data):
    text = "\n".join(f"- {row}" for row in texts)
    cut = text[: data.draw(st.integers(0, len(text)))]
    parsed = parse_continuation(cut, "length", 9)
    assert parsed.rows == tuple(texts[: cut.count("\n")])


@given(st.text(max_size=200), st.sampled_from(["stop", "length", "content_filter", None, "weird"]))
def test_any_text_is_parsed_or_refused_never_raised(text, reason):
    for parsed in (parse_rows(text, reason, 3), parse_attributes(text, reason, NAMES), parse_continuation(text, reason, 3)):
        assert parsed.status in ("ok", "refused", "truncated", "unparsable")
        assert (parsed.status == "ok") == bool(parsed.rows or parsed.attributes)
        assert all(isinstance(row, str) for row in parsed.rows)


@pytest.mark.parametrize(
    "answer",
    [
        '{"rows": ["a", "b"]}',
        '["a", "b"]',
        '```json\n{"rows": ["a", "b"]}\n```',
        'Two texts of 5" each [as asked]:\n```json\n{"rows": ["a", "b"]}\n```\nDoes {this} help?',
        'A draft:\n```\n{"rows": ["x", "y"]}\n```\nBetter:\n```\n{"rows": ["a", "b"]}\n```',
        'Sure! Here you are:\n{"rows": ["a", "b"]}',
        "{'rows': ['a', 'b',]}",
        '{"rows": [{"text": "a"}, {"text": "b"}]}',
        '{"texts": ["a", "b"]}',
        '{"rows": ["a", "b", "c"]}',
        '{"label": "good", "reviews": ["a", "b"]}',
        '{"rows": "[\\"a\\", \\"b\\"]"}',
        '{"rows": [{"review": "a", "label": "good"}, {"Text": "b", "words": 1}]}',
        '{"review_1": "a", "Review 2": "b"}',
        '{"Rows": ["a", "b"], "count": 2}',
        '{"data": {"answer": {"rows": ["a", "b"]}}, "id": 7}',
        '<tool_call>{"name": "rows", "arguments": {"rows": ["a", "b"]}}</tool_call>',
        '{"name": "rows", "arguments": "{\\"rows\\": [\\"a\\", \\"b\\"]}"}',
    ],
)
def test_finished_answers_in_the_forms_that_models_choose(answer):
    assert parse_rows(answer, "stop", 2).rows == ("a", "b")


@pytest.mark.parametrize(
    "answer", ["", None, "no", "{}", "[]", '{"rows": []}', '{"rows": "a"}', '{"rows": [1, null]}', '{"rows": [["a"]]}']
)
def test_finished_answers_that_hold_no_rows(answer):
    assert parse_rows(answer, "stop", 2).status == "unparsable"


@pytest.mark.parametrize(
    "data", [{"error": "X"}, {"rows": "X"}, {"rows": [], "message": "X"}, {"text": "X", "rows": None}, "X"], ids=json.dumps
)
def test_a_refusal_within_json_is_one(data):
    answer = json.dumps(data).replace("X", "I'm sorry, but I can't help with that request.")
    for parsed in (parse_rows(answer, "stop", 2), parse_attributes(answer, "stop", NAMES), parse_objects(answer, "stop", 2, names=NAMES)):
        assert (parsed.status, parsed.reason) == ("refused", "meta")
    assert parse_rows(json.dumps({"rows": ["I can't help loving it.", "b"]}), "stop", 2).status == "ok"


@pytest.mark.parametrize("reason", ["error", "abort", "ERROR"])
def test_what_a_server_calls_failed_is_no_answer_however_whole(reason):
    assert parse_rows('{"rows": ["a"]}', reason, 2).status == "unparsable"
    assert parse_continuation("- a whole line\n- another\n", reason, 2).status == "unparsable"


@pytest.mark.parametrize("reason", ["content_filter", "PROHIBITED_CONTENT", "SAFETY", "RECITATION"])
def test_what_a_server_filtered_is_refused_however_whole(reason):
    assert parse_rows('{"rows": ["a"]}', reason, 2).status == "refused"


def test_a_fence_that_does_not_close_was_cut():
    assert parse_rows('```\n{"rows": ["a"]}\n```\nBetter:\n```\n{"rows": ["b", "c', "stop", 2).status == "truncated"


def test_an_unknown_finish_reason_takes_whole_json_only():
    assert parse_rows('{"rows": ["a"]}', "flushed", 2).status == "ok"
    assert parse_rows('{"rows": ["a",]}', "flushed", 2).status == "unparsable"


@pytest.mark.parametrize(
    "answer",
    [
        {"rows": {"0": "a", "1": "b"}},
        {"1": "a", "2": "b"},
        {"rows": {"10": "b", "9": "a"}},
        {"row_1": "a", "row_2": "b"},
        {"rows": {"1": {"text": "a"}, "2": "b"}},
    ],
)
def test_a_map_of_numbers_to_texts_is_a_list(answer):
    assert parse_rows(json.dumps(answer), "stop", 5).rows == ("a", "b")


@pytest.mark.parametrize("answer", [{"text": "a fine film", "label": "good"}, {"rows": {"text": "a fine film"}}, {"rows": "a fine film"}])
def test_one_row_that_is_no_list_of_one(answer):
    assert parse_rows(json.dumps(answer), "stop", 1).rows == ("a fine film",)
    assert parse_rows(json.dumps(answer), "stop", 2).status == "unparsable"


@pytest.mark.parametrize("answer", [{"type": "object", "properties": {"rows": {}}}, {"text": 1, "notes": ["b"]}])
def test_an_object_that_holds_no_row_is_none(answer):
    """A schema said back, and lists of something else."""
    assert parse_rows(json.dumps(answer), "stop", 1).status == "unparsable"
    assert parse_rows(json.dumps(answer), "stop", 2).status == "unparsable"


def test_a_row_of_a_corpus_of_json_stays_as_it_is():
    assert parse_rows(json.dumps({"rows": ['{"text": "a"}', '["b"]']}), "stop", 2).rows == ('{"text": "a"}', '["b"]')


@pytest.mark.parametrize(
    "answer",
    [
        {"rows": [json.dumps({"title": "a", "body": "b"}), '{"title": "c", "body": "d"}']},
        {"rows": json.dumps([{"title": "a", "body": "b"}, {"title": "c", "body": "d"}])},
        {"rows": [{"row": {"title": "a", "body": "b"}}, {"text": {"title": "c", "body": "d"}}]},
        {"articles": [{"title": "a", "body": "b"}, {"title": "c", "body": "d"}]},
        {"label": "good", "articles": [{"title": "a", "body": "b"}, {"title": "c", "body": "d"}]},
        {"name": "rows", "arguments": {"rows": [{"title": "a", "body": "b"}, {"title": "c", "body": "d"}]}},
    ],
    ids=str,
)
def test_rows_of_fields_in_the_forms_that_models_choose(answer):
    """Objects as JSON texts, in objects of one value, and under other names."""
    assert parse_objects(json.dumps(answer), "stop", 5, names=["title", "body"]).rows == ("a\nb", "c\nd")


def test_one_bad_row_does_not_lose_the_others():
    found = parse_rows(json.dumps({"rows": ["a", None, "b", {"label": 1}, ["c"], 3]}), "stop", 6)
    assert (found.status, found.rows, found.places) == ("ok", ("a", "b"), [0, 2])
    assert found.bad == (
        BadRow(1, "null", "null, not a text"),
        BadRow(3, '{"label": 1}', "an object, not a text"),
        BadRow(4, '["c"]', "a list, not a text"),
        BadRow(5, "3", "a number, not a text"),
    )


def test_refusals():
    assert parse_rows(None, "stop", 2, refusal="I cannot").status == "refused"
    assert parse_rows("", "content_filter", 2).status == "refused"


def test_attributes_are_matched_loosely_and_made_strings():
    answer = json.dumps({"Topic": ["trains", "rails"], "sentiment_intensity": 3, "other": "x", "tone": " "})
    assert parse_attributes(answer, "stop", (*NAMES, "tone")).attributes == (("topic", "trains, rails"), ("sentiment intensity", "3"))
    assert parse_attributes('{"attributes": {"topic": "x"}}', "stop", NAMES).attributes == (("topic", "x"),)
    assert parse_attributes('{"colour": "red"}', "stop", NAMES).status == "unparsable"
    called = {"name": "attributes", "arguments": {"topic": {"value": "x"}, "sentiment intensity": "none"}}
    assert parse_attributes(json.dumps(called), "stop", NAMES).attributes == (("topic", "x"), ("sentiment intensity", "none"))


@pytest.mark.parametrize("value", ["...", "\u2026", "string", "N/A", "null", "-", ["...", "?"]])
def test_what_stands_for_a_value_is_none(value):
    """A prompt's own dots said back, and a schema's own word: the next prompt would ask for a row of the topic "..."."""
    assert parse_attributes(json.dumps({"topic": value}), "stop", NAMES).status == "unparsable"
    assert parse_attributes(json.dumps({"topic": value, "sentiment intensity": 3}), "stop", NAMES).attributes == (
        ("sentiment intensity", "3"),
    )


def test_attributes_within_others():
    assert parse_attributes('[{"topic": "x"}, {"tone": "y", "topic": "z"}]', "stop", ("topic", "tone")).attributes == (
        ("topic", "x"),
        ("tone", "y"),
    )


@pytest.mark.parametrize("pairs", [
    [{"name": "Topic", "value": "x"}, {"name": "tone", "value": ["y", "z"]}, {"name": "topic", "value": "w"}],
    {"attributes": [{"attribute": "topic", "summary": "x"}, {"attribute": "tone", "summary": "y, z"}, {"attribute": "mood", "summary": "w"}]},
    {"label": "good", "summary": json.dumps([["topic"], {"k": "topic", "v": "x"}, {"k": "tone", "v": "y, z"}, {"k": 3, "v": "w"}])},
])  # fmt: skip
def test_attributes_as_a_list_of_names_with_their_values(pairs):
    assert parse_attributes(json.dumps(pairs), "stop", ("topic", "tone")).attributes == (("topic", "x"), ("tone", "y, z"))


def test_rows_of_fields_are_texts_by_their_template():
    answer = json.dumps({"rows": [{"Title": " {body} ", "body": "two\nlines", "extra": "x"}, {"title": "b", "body": 3}]})
    found = parse_objects(answer, "stop", 5, names=["title", "body"], template="{title}: {body}")
    assert found.rows == ("{body}: two\nlines", "b: 3")
    assert found.fields == ({"title": "{body}", "body": "two\nlines"}, {"title": "b", "body": "3"})
    assert parse_objects(answer, "stop", 1, names=["title", "body"]).rows == ("{body}\ntwo\nlines",)


def test_one_row_without_its_list_and_a_list_without_its_object():
    one = json.dumps({"title": "a", "body": "b"})
    assert parse_objects(one, "stop", 5, names=["title", "body"]).rows == ("a\nb",)
    assert parse_objects(f"[{one}]", "stop", 5, names=["title", "body"]).rows == ("a\nb",)
    assert parse_objects(json.dumps({"rows": {"text1": "a", "text2": "b"}}), "stop", 5, names=["text1", "text2"]).rows == ("a\nb",)
    assert parse_objects(json.dumps({"text1": "a", "text2": "b"}), "stop", 5, names=["text1", "text2"]).rows == ("a\nb",)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"rows": [{"title": "a", "body": " "}, {"title": "a"}]}, "rows.0: lacks body"),
        ({"rows": ["a text"]}, "rows.0: lacks title, body"),
        ({"rows": []}, "expected"),
        ({"rows": "a"}, "expected"),
        ("a", "expected"),
    ],
)
def test_rows_that_lack_a_field_are_said(answer, said):
    found = parse_objects(json.dumps(answer), "stop", 5, names=["title", "body"])
    assert found.status == "unparsable"
    assert said in found.detail


@pytest.mark.parametrize("rows", [list, lambda items: dict(enumerate(items))])
def test_one_row_without_a_field_does_not_lose_the_others(rows):
    items = [{"title": "a", "body": "b"}, {"title": "a", "body": " "}, "text", {"title": "c", "body": "d"}]
    found = parse_objects(json.dumps({"rows": rows(items)}), "stop", 5, names=["title", "body"])
    assert (found.status, found.rows, found.places) == ("ok", ("a\nb", "c\nd"), [0, 3])
    assert [(bad.place, bad.words) for bad in found.bad] == [(1, "lacks body"), (2, "lacks title, body")]


def test_a_truncated_answer_of_fields_is_never_repaired():
    assert parse_objects('{"rows": [{"title": "a", "body": "b', "length", 5, names=["title", "body"]).status == "truncated"


@pytest.mark.parametrize(("value", "kept"), [("warm \ud83d x", "warm ? x"), (["warm", "\udc00"], "warm"), ("\ud83d\ude00", "\ud83d\ude00")])
def test_half_characters_are_repaired_since_values_go_into_prompts(value, kept):
    kept = kept.encode("utf-16", "surrogatepass").decode("utf-16")  # a pair is one character
    assert parse_attributes(json.dumps({"topic": value}), "stop", NAMES).attributes == (("topic", kept),)


@pytest.mark.parametrize("reason", ["length", "stop"])
@pytest.mark.parametrize(("tail", "status"), [("", "ok"), ("\n \n ", "ok"), (', "mo', "truncated"), (",", "truncated"), ("}", None)])
def test_attributes_that_lack_only_the_last_bracket_are_taken(reason, tail, status):
    """By hand: every value stands there, and its quotes close."""
    parsed = parse_attributes('{"tone": "warm", "topic": "a film"' + tail, reason, ("topic", "tone"))
    if status is None:
        status = "ok"
    assert parsed.status == status
    assert parsed.attributes == ((("topic", "a film"), ("tone", "warm")) if status == "ok" else ())
    assert parse_attributes('{"tone": "warm"' + tail.rstrip("}"), reason, ("topic", "tone")).status == "truncated"


def test_a_last_number_may_have_been_cut_and_names_are_read_as_anywhere():
    assert parse_attributes('{"rating": 1', "length", ("rating",)).status == "truncated"
    assert parse_attributes('{"Tone": "warm"', "length", ("tone",)).attributes == (("tone", "warm"),)


def test_a_value_that_would_swamp_the_prompt_is_shortened():
    ((_, value),) = parse_attributes(json.dumps({"tone": "very warm " * 600}), "stop", ("tone",)).attributes
    assert len(value) <= 164
    assert value.endswith(("warm ...", "very ..."))


@pytest.mark.parametrize("reason", ["eos_token", "stop_sequence", "tool_calls"])
def test_what_servers_call_the_end_is_one(reason):
    """Of text-generation-inference, and of tool calls, whose JSON may need a repair."""
    assert parse_continuation(" a fine film", reason, 1).rows == ("a fine film",)
    assert parse_rows('{"rows": ["a fine film",]}', reason, 1).rows == ("a fine film",)
    assert "token limit" not in str(parse_continuation(" a fi", "error", 1).detail)


def test_rows_that_come_by_columns_are_rows_and_paragraphs_are_one_field():
    two = ["title", "body"]
    found = parse_objects('{"title": ["One", "Two"], "body": ["First.", "Second."]}', "stop", 5, names=two)
    assert found.fields == ({"title": "One", "body": "First."}, {"title": "Two", "body": "Second."})
    (row,) = parse_objects('{"rows": [{"title": "One", "body": ["It begins.", "It ends."]}]}', "stop", 5, names=two).fields
    assert row["body"] == "It begins.\nIt ends."


def test_json_lines_and_json_within_a_text_are_read():
    assert parse_rows('{"rows": ["a"]}\n{"rows": ["b"]}', "stop", 5).rows == ("a", "b")
    assert parse_rows('{"text": "a"}\n{"text": "b"}', "stop", 5).rows == ("a", "b")
    assert parse_rows(json.dumps('{"rows": ["a", "b"]}'), "stop", 5).rows == ("a", "b")
    drafted = '{"rows": ["draft a", "draft b"]}\n{"rows": ["a", "b", "c"]}'
    assert parse_rows(drafted, "stop", 5).rows == ("a", "b", "c")
    lines = '{"title": "One", "body": "First."}\n{"title": "Two", "body": "Second."}'
    assert [row["title"] for row in parse_objects(lines, "stop", 5, names=["title", "body"]).fields] == ["One", "Two"]
