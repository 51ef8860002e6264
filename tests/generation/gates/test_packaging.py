"""What models put round a row is taken off, unless the real rows wear it themselves."""

import time

import pytest

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.acceptance import Acceptor
from synalign_spark.generation.candidates import candidates
from synalign_spark.generation.gates.packaging import Packaging
from synalign_spark.generation.gates.profile import RealProfile
from synalign_spark.generation.parsing import parse_objects, parse_rows

ROW = "The film was a joy, and it isn't long."
LABELS = ["L0", "positive", "Sci/Tech"]
WRAPPED = {
    "list_number": ["1. {}", "4) {}", "(1) {}", "a) {}", "#2. {}", "12: {}"],
    "bullet": ["- {}", "* {}", "\u2022 {}", "\u2013 {}", "# {}", "### {}", "> {}"],
    "announcement": [
        "Text 3: {}", "Example 2: {}", "Review #2: {}", "**Review:** {}", "Output: {}", "Row 1: {}", "Title: {}", "Assistant: {}", "User: {}", "text: {}",
        "Movie review 12 - {}", "**Sentence 4**: {}", "[Example 1] {}", "New review: {}", "Rewritten: {}",
    ],
    "label": [
        "Label: L0 - {}", "L0: {}", "L0 review 2: {}", "**L0:** {}", "[L0] - {}", "{} (L0)", "{} [Label: L0]", "{} | L0", "{} Label: L0", "(Label: L0) - {}",
    ],
    "quotes": ['"{}"', "\u201c{}\u201d", "'{}'", "\u2018{}\u2019", "\u00ab{}\u00bb", '{}",', '"{}",', '{}"]'],
    "emphasis": ["**{}**", "*{}*", "__{}__"],
    "element": ["<p>{}</p>", "<text>{}</text>", '<i class="x">{}</i>'],
    "line_break": ["{}<br />", "<br>{}<br/>"],
    "end_mark": ["{} <|im_end|>", "{}</s>", "{} [/INST]", "<s>{}</s>", "{}<end_of_turn>", "{}<\uff5cend\u2581of\u2581sentence\uff5c>"],
    "reasoning": ["<think>ok</think>{}", "</think>{}", "[THINK]the row is[/THINK] {}"],
    "escape": ["{}\\n", "\\n {}"],
    "count": ["{} (22 words)", "{} Word count: 22", "{} [about 120 characters]"],
    "closing": ["{} Let me know if you need more.", "{} I hope this helps!", "{} Please let me know if you'd like another one."],
}  # fmt: skip
LAYERS = ['1. "L0: {}" (22 words)', "- **Review 2:** {}</s>", '<p>"{}"</p>', "<think>1.</think>Text 1: 'L0: {}'", "**1. {}**"]
LEFT = [
    '"Good" or "bad"', "'Tis good' or 'tis bad'", "Text of the year: a film", "Review of the year: fine", "12 angry men", "-3 degrees", "- 3 degrees", "3D: a film",
    "He said </s> and left", "a film of 1994", "What is positive (in a way)", "Let me know if you need more.", "I hope this helps!", "(22 words)",
    "Sci: fi and more", "U.S. film", "<b>Good</b> and <b>bad</b>", "A film, they let me know if asked.", "5 * 3 * 2", "1. Great film 2. Dull film", "** out of ****",
]  # fmt: skip


def off(text, label="L0", real=()):
    return Packaging(LABELS, [(row, "L0") for row in real]).off([text], label)[0]


@pytest.mark.parametrize(("kind", "form"), [(kind, form) for kind, forms in WRAPPED.items() for form in forms])
def test_packaging_is_taken_off_and_counted(kind, form):
    packaging = Packaging(LABELS, [])
    assert packaging.off([form.format(ROW)], "L0") == [ROW]
    assert packaging.taken_off[kind] > 0


@pytest.mark.parametrize("form", ["{}\u6807\u7b7e\uff1a\u6b63\u9762\u3002", "{} \u6807\u7b7e\uff1a\u6b63\u9762", "{}\uff08\u6b63\u9762\uff09\u3002", "{}\u3010\u6807\u7b7e:\u6b63\u9762\u3011", "{}\u60c5\u611f: \u6b63\u9762\u3002"])  # fmt: skip
def test_a_label_behind_a_text_without_spaces(form):
    """In the words and punctuation of Chinese; where no colon announces it, it is what the text says."""
    row, labels = "\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\u770b\u3002", ["\u6b63\u9762", "\u8d1f\u9762"]
    assert Packaging(labels, []).off([form.format(row)], "\u6b63\u9762") == [row]
    said = "\u8fd9\u90e8\u7535\u5f71\u7684\u60c5\u611f\u6b63\u9762\u3002"
    assert Packaging(labels, []).off([said], "\u6b63\u9762") == [said]


@pytest.mark.parametrize("form", LAYERS)
def test_packaging_in_packaging(form):
    assert off(form.format(ROW)) == ROW


@pytest.mark.parametrize("text", LEFT)
def test_what_is_no_packaging_stays(text):
    assert off(text) == text


@pytest.mark.parametrize(("kind", "form"), [(kind, forms[0]) for kind, forms in WRAPPED.items()])
def test_what_real_rows_wear_is_neither_taken_off_nor_refused(kind, form):
    """2 % of the real rows are enough to show it, 0.5 % are not."""
    wearing, plain = [form.format(f"a real row of number {i}") for i in range(20)], [f"row {i} is as real as any" for i in range(980)]
    row = form.format("A film that has not been seen yet.")
    cfg = GenerateConfig(gates=["form", "meta"], language="English")
    worn = Acceptor(cfg, LABELS, RealProfile.of([(text, "L0") for text in wearing + plain]))
    assert f"packaging.{kind}" in worn.switched_off
    assert any(kind in note for note in worn.notes)
    assert worn.unpacked([row], "L0") == [row]
    assert worn.check(row, "L0").reason is None
    rare = Acceptor(cfg, LABELS, RealProfile.of([(text, "L0") for text in wearing[:5] + plain]))
    assert rare.unpacked([row], "L0") == ["A film that has not been seen yet."]


def test_list_numbers_go_where_most_rows_of_an_answer_have_one_and_a_lone_one_is_refused():
    judge = Acceptor(GenerateConfig(gates=["form"]), LABELS, RealProfile.of([]))
    most, few = ["1. a fine film", "2. a dull film", "a third film"], ["a fine film", "10. a dull film", "a third film"]
    assert judge.unpacked(most, "L0") == ["a fine film", "a dull film", "a third film"]
    assert judge.unpacked(few, "L0") == few
    assert judge.unpacked(["(500) Days of Summer is a joy"], "L0") == ["(500) Days of Summer is a joy"]
    assert judge.unpacked(["1. (500) Days of Summer is a joy"], "L0") == ["(500) Days of Summer is a joy"]
    assert judge.unpacked([f"{i}. a fine film" for i in range(101, 150)], "L0") == [f"{i}. a fine film" for i in range(101, 150)]
    assert judge.check(few[1], "L0").detail == 'a list number before it: "10."'


ORDINALS = [
    "2. Bundesliga: Hamburg wins",
    "1. FC K\u00f6ln gewinnt",
    "3. Liga: a draw",
    "1984. A novel",
    "007. The spy is back",
    "2. Weltkrieg",
]


@pytest.mark.parametrize("text", ORDINALS)
def test_an_ordinal_is_no_list_number(text):
    judge = Acceptor(GenerateConfig(gates=["form"]), LABELS, RealProfile.of([]))
    assert judge.unpacked([text], "L0") == [text]
    assert judge.unpacked([text, "a second row of it", "a third row of it"], "L0")[0] == text
    assert judge.check(text, "L0").reason is None
    assert judge.unpacked_parts([text]) == [text]  # a field of a row


def test_what_the_real_rows_number_in_their_midst_is_an_ordinal():
    rows = [(f"he played {i} games in the 2. Division of it", "L0") for i in range(3)] + [
        (f"it was row {i} of 12. The next came", "L0") for i in range(90)
    ]
    judge = Acceptor(GenerateConfig(gates=["form"]), LABELS, RealProfile.of([*rows, *((f"The row {i}", "L0") for i in range(3_000))]))
    for text, left in (
        ("2. Division: a win", "2. Division: a win"),
        ("2. The next came", "The next came"),
        ("2. Stock prices fell", "Stock prices fell"),
        ("2. A win at last", "A win at last"),
    ):
        assert judge.unpacked([text], "L0") == [left]
        assert judge.check(left, "L0").reason is None


def test_a_language_that_writes_ordinals_with_a_dot():
    judge = Acceptor(GenerateConfig(gates=["form"], language="German"), LABELS, RealProfile.of([("Der Film ist gut", "L0")]))
    for text, left in (("5. Sinfonie von Mahler", "5. Sinfonie von Mahler"), ("5. Der Film ist gut", "Der Film ist gut"), ("1. Hamburg siegt", "Hamburg siegt"),
                       ("5. ein guter Film", "ein guter Film"), ("(5) Sinfonie", "Sinfonie"), ("5) Sinfonie", "Sinfonie")):  # fmt: skip
        assert judge.unpacked([text], "L0") == [left]
    several = ["6. Hamburg siegt", "7. Bremen verliert", "8. Liga ohne Tore"]
    assert judge.unpacked(several, "L0") == [row[3:] for row in several]  # they count on, and not all are known as ordinals
    ordinals = ["1. FC K\u00f6ln gewinnt", "2. Bundesliga beginnt"]
    assert judge.unpacked(ordinals, "L0") == ordinals


def test_a_row_that_announces_another_label_is_refused():
    judge = Acceptor(GenerateConfig(gates=["form"]), LABELS, RealProfile.of([]))
    (row,) = judge.unpacked(["Positive: a fine film"], "L0")
    assert judge.check(row, "L0").detail == 'it announces the label "Positive"'
    assert judge.check("a fine film (positive)", "L0").reason == "form"
    assert judge.check("a fine film (positive)", None).reason is None


def test_labels_that_differ_in_capitals_alone_and_labels_within_labels():
    packaging = Packaging(["US", "us", "good", "good film"], [])
    assert packaging.off(["us: we won"], "US") == ["we won"]
    assert packaging.off(["good film: we won"], "good film") == ["we won"]
    assert packaging.off(["good film: we won"], "good") == ["good film: we won"]


def test_what_is_left_empty_is_refused_as_empty():
    judge = Acceptor(GenerateConfig(gates=[]), LABELS, RealProfile.of([]))
    assert [judge.check(row, "L0").reason for row in judge.unpacked(["L0:", "<think>hm</think>", '""'], "L0")] == ["empty"] * 3


def test_rows_of_fields_are_unpacked_part_by_part_and_their_text_is_made_of_what_is_left():
    answer = (
        '{"rows": [{"title": "1. \\"Trains\\"", "body": "L0: They run\\nand run."}, {"title": "2. Boats", "body": "<p>They swim.</p>"}]}'
    )
    parsed = parse_objects(answer, "stop", 5, names=["title", "body"], template="{title}: {body}")
    judge = Acceptor(GenerateConfig(gates=[]), LABELS, RealProfile.of([]))
    found = list(candidates(parsed, judge, "L0", "{title}: {body}"))
    assert [row.text for row in found] == ["Trains: L0: They run and run.", "Boats: They swim."]
    assert [row.fields for row in found] == [
        {"title": "Trains", "body": "L0: They run\nand run."},
        {"title": "Boats", "body": "They swim."},
    ]


def test_rows_keep_their_places_beside_bad_ones():
    judge = Acceptor(GenerateConfig(gates=[]), LABELS, RealProfile.of([]))
    parsed = parse_rows('{"rows": [null, "1. a", 3, "2. b"]}', "stop", 5)
    assert [(row.place, row.text) for row in candidates(parsed, judge, "L0", None)] == [(1, "a"), (3, "b")]


def test_what_is_nothing_but_packaging_stays_and_costs_no_seconds():
    endless = "1. " * 6_000 + "a"
    packaging, before = Packaging(LABELS, []), time.process_time()
    assert packaging.off([endless], "L0") == [endless]
    assert time.process_time() - before < 2.0
    assert not packaging.taken_off


NAMED = ["positive", "negative", "card_lost", "正面", "负面"]


@pytest.mark.parametrize(
    "form",
    ["[positive] {}", "(positive) {}", "<positive> {}", "positive => {}", "positive -> {}", "#positive {}", "__label__positive {}", "Positive movie review: {}",
     "A positive review: {}", "Sentiment: positive {}", "{} - positive", "{} \u2014 positive", "{} -> positive", "{} #positive", "{} **positive**",
     "{} (positive review)", "{} Sentiment positive"],
)  # fmt: skip
def test_a_label_in_any_form_is_taken_off_and_another_one_is_refused(form):
    judge = Acceptor(GenerateConfig(gates=["form"]), NAMED, RealProfile.of([]))
    assert judge.unpacked([form.format(ROW)], "positive") == [ROW]
    (other,) = judge.unpacked([form.format(ROW)], "negative")
    assert judge.check(other, "negative").detail.casefold() == 'it announces the label "positive"'


@pytest.mark.parametrize(
    ("text", "label", "left"),
    [
        ("Card lost: I lost it.", "card_lost", "I lost it."), ("I lost it. (card lost)", "card_lost", "I lost it."), ("正面：这部电影很好看", "正面", "这部电影很好看"),
        ("【正面】这部电影很好看", "正面", "这部电影很好看"), ("这部电影很好看（正面）", "正面", "这部电影很好看"), ("评论1：这部电影很好看", "正面", "这部电影很好看"),
        ("１．这部电影很好看", "正面", "这部电影很好看"), ("①这部电影很好看", "正面", "这部电影很好看"), ("Beispiel 2: Der Film ist gut.", "positive", "Der Film ist gut."),
    ],
)  # fmt: skip
def test_labels_and_announcements_of_other_scripts_and_spellings(text, label, left):
    assert Packaging(NAMED, []).off([text], label) == [left]


def test_a_label_that_is_a_number_is_no_list_number():
    judge = Acceptor(GenerateConfig(gates=["form"]), ["0", "1"], RealProfile.of([]))
    (row,) = judge.unpacked(["0: the phone broke"], "1")
    assert judge.check(row, "1").reason == "form"
    assert judge.unpacked(["1: the phone works"], "1") == ["the phone works"]
    assert judge.unpacked(["1. the phone works", "2. the phone rings"], "1") == ["the phone works", "the phone rings"]
