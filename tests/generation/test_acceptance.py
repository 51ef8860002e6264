"""Rows are accepted or refused by rules that can be checked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.acceptance import Acceptor
from synalign_spark.generation.gates.profile import RealProfile
from synalign_spark.storage.tables import REFUSALS

SHOWN = ["The quick brown fox jumps over the lazy dog today", "A fine film."]


def acceptor(shown=(), labels=("positive", "negative"), **settings):
    """Of the gates that ``settings`` names; the real rows are those that were shown."""
    gates = settings.get("gates", ["copied", "near_duplicate"])
    overlap = {"copy_overlap": 0.4} if "copied" in gates else {}
    cfg = GenerateConfig.model_validate({"min_chars": 10, "max_chars": 100, "gates": gates} | overlap | settings)
    return Acceptor(cfg, labels, RealProfile.of((text, None) for text in shown))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A film about trains that never stop.", None),
        ("   \n ", "empty"),
        ("?!... --", "empty"),
        ("1. 1. 2. 3. 3. 3. 3.", "empty"),
        ("Short", "too_short"),
        ("x" * 101, "too_long"),
        ("THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG today!", "copied"),
        ("I say the quick brown fox jumps over it", "copied"),  # 2 of 5 five-grams
        ("I say quick brown fox jumps over it all the time", None),  # 1 of 7
        ("a fine film", "copied"),  # fewer than eight words: equal to a real row
        ("a fine film!!", "copied"),
        ("fine old film", None),
    ],
)
def test_verdicts(text, reason):
    assert acceptor(SHOWN).check(text).reason == reason


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Positive: a fine film", "a fine film"),
        ("positive review: A fine film.", "A fine film."),
        ("[Label: POSITIVE] - a fine film", "a fine film"),
        ("**Positive review 2:** a fine film", "a fine film"),
        ("a fine film. [Label: positive]", "a fine film."),
        ("a fine film | Positive", "a fine film"),
        ("a fine film (positive).", "a fine film"),
        ("a fine film. Sentiment: positive", "a fine film."),
        ("what i liked is positive", "what i liked is positive"),
        ("Positive! The film has a story.", "The film has a story."),
        ("POSITIVE \u2013 a fine film", "a fine film"),
        ("Positive-minded people will like it.", "Positive-minded people will like it."),
        ("Positively splendid: a film.", "Positively splendid: a film."),
        ("A positive film: see it.", "A positive film: see it."),
        ("Positive Review:", ""),
        ("Positive Psychology: a film", "Positive Psychology: a film"),
        ("positive.txt:negative.txt", "positive.txt:negative.txt"),
    ],
)
def test_an_announced_label_is_no_part_of_the_text(text, left):
    assert acceptor().unpacked([text], "positive") == [left]
    assert acceptor(labels=[None]).unpacked(["Positively: a film."], None) == ["Positively: a film."]


def test_a_row_that_is_only_its_label_is_empty():
    row = acceptor(min_chars=1)
    assert row.check(*row.unpacked(["Positive Review:"], "positive"), label="positive").reason == "empty"


def test_duplicates_but_for_case_and_punctuation():
    seen = acceptor(min_chars=1)
    seen.accept(seen.check("Great film, truly!"))
    assert seen.check("great FILM... truly").reason == "duplicate"
    assert seen.check("great film, barely").reason is None
    assert acceptor(min_chars=1).check("great film truly").reason is None


@pytest.mark.parametrize(
    ("one", "other"), [("I learnt C++", "I learnt C#"), ("I love this place \U0001f600", "I love this place \U0001f44e")]
)
def test_symbols_tell_rows_apart(one, other):
    seen = acceptor(min_chars=1)
    seen.accept(seen.check(one))
    assert seen.check(other).reason is None
    assert seen.check(one + "!").reason == "duplicate"


def test_an_overlap_that_every_row_has_is_refused():
    with pytest.raises(ValueError, match="copy_overlap is 0, and every row has at least that share.*leave 'copied' out of gates"):
        GenerateConfig(copy_overlap=0.0)


def test_without_gates_only_empty_rows_the_users_limits_and_the_very_same_text_are_refused():
    free = acceptor(SHOWN, gates=[])
    for text in (
        "a fine film",
        "I'm sorry, but I can't help with that request.",
        "positive_view_of_the_world",
        "Das ist ein wirklich guter Film.",
    ):
        assert free.check(text).reason is None
        free.accept(free.check(text))
    assert free.check("A fine film").reason is None
    assert free.check("a fine film").reason == "duplicate"  # doc_id is the key of the table
    assert free.check(" ?! ").reason == "empty"
    assert free.check("x" * 101).reason == "too_long"


def test_an_unknown_language_turns_its_gate_off_and_says_so():
    klingon = acceptor(gates=["language"], language="Klingon")
    assert klingon.check("Das ist ein wirklich guter Film.").reason is None
    assert "'Klingon'" in klingon.notes[0]
    assert acceptor(gates=["language"]).notes == []


def test_personal_data_is_refused_masked_or_left():
    text = "Write to jane@example.org, please."
    refused = acceptor(gates=["pii"]).check(text)
    assert (refused.reason, refused.detail) == ("pii", "personal data (email)")
    assert acceptor(gates=["pii"], pii="mask").check(text).text == "Write to <EMAIL>, please."
    assert acceptor(gates=["pii"], pii="mask").parts({"title": text}) == {"title": "Write to <EMAIL>, please."}
    with pytest.raises(ValueError, match="pii is 'mask', but gates leaves pii out"):
        GenerateConfig(gates=[], pii="mask")
    assert acceptor(gates=["pii"], pii="off").check(text).reason is None
    assert GenerateConfig.model_validate({"pii": False}).pii == "off"  # what YAML reads of a bare off


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("Call me at +49\u00a030\u00a0901820", "Call me at <PHONE>"),
        ("4111\u00a01111\u202f1111\u00a01111", "<CARD>"),
        ("jane\u200b@example.org", "<EMAIL>"),
        ("(212)\n555-0187", "<PHONE>"),
        ("two\nlines\u00a0here", "two\nlines\u00a0here"),
    ],
)
def test_a_part_is_masked_by_its_normal_form_as_the_text_is(value, stored):
    masks = acceptor(gates=["pii"], pii="mask", min_chars=1)
    assert masks.parts({"body": value}) == {"body": stored}
    assert masks.check(value).text == " ".join(stored.split())


def test_personal_data_in_a_part_that_the_text_leaves_out_is_refused_or_masked():
    parts = {"review": "A fine film.", "contact": "+49\u00a030\u00a0901820"}
    refused = acceptor(gates=["pii"]).check("A fine film.", "positive", parts)
    assert (refused.reason, refused.detail) == ("pii", "personal data (phone) (in the field 'contact')")
    masks = acceptor(gates=["pii"], pii="mask")
    assert masks.check("A fine film.", "positive", parts).reason is None
    assert masks.parts(parts) == {"review": "A fine film.", "contact": "<PHONE>"}
    assert acceptor(gates=["pii"], pii="off").check("A fine film.", "positive", parts).reason is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I'm sorry, but I can't help with that request.", "meta"),
        ("As an AI language model, I have no opinion.", "meta"),
        ("positive.txt:negative.txt", "form"),
        ("Positive", "form"),
        ("It runs until late.", None),
        ("1999", None),
        ("1.", None),
        ("Negative: it does not run.", None),  # what a part says, as where it is unpacked
        ("Der Film ist wirklich gut.", None),  # language, length and copies are those of the whole text
    ],
)
def test_form_and_meta_look_at_each_part(answer, reason):
    judge = acceptor(gates=["form", "meta", "language"])
    question = "When does the last train of the day run?"
    verdict = judge.check(f"{question} {answer}", "positive", {"question": question, "answer": answer})
    assert verdict.reason == reason
    assert reason is None or verdict.detail.endswith("(in the field 'answer')")


def test_a_check_that_the_real_rows_fail_is_switched_off():
    names = [f"read_file_{i}" for i in range(200)]
    code = acceptor(names, gates=["form", "copied"])
    assert code.switched_off == {"form.identifier": 1.0}
    assert code.check("write_file_now").reason is None
    assert code.check("```python\nprint(1)").reason == "form"


def test_a_rare_label_may_be_what_a_check_refuses_elsewhere():
    asked = "Could you provide more information about the {} loan?"
    real = [(f"My card number {i} was charged twice.", "card") for i in range(1_600)] + [(asked.format(i), "loan") for i in range(12)]
    judge = Acceptor(GenerateConfig(gates=["meta"]), ["card", "loan"], RealProfile.of(real))
    assert judge.skipped == {"meta.announcement": {"loan": 1.0}}
    assert any("'meta.announcement'" in note and "'loan'" in note for note in judge.notes)
    assert judge.check(asked.format("student"), "loan").reason is None
    assert judge.check(asked.format("student"), "card").reason == "meta"


def test_packaging_that_the_rows_of_a_rare_label_wear_stays_on_them():
    real = [(f"My card number {i} was charged twice.", "card") for i in range(1_600)] + [(f'"Loan {i} is due"', "loan") for i in range(12)]
    judge = Acceptor(GenerateConfig(gates=[]), ["card", "loan"], RealProfile.of(real))
    assert judge.skipped == {"packaging.quotes": {"loan": 1.0}}
    assert judge.unpacked(['"It is due"'], "loan") == ['"It is due"']
    assert judge.unpacked(['"It is due"'], "card") == ["It is due"]


def test_label_agreement_asks_a_classifier_of_the_real_rows():
    real = [(f"{word} film number {i}", label) for i in range(60) for word, label in (("splendid", "positive"), ("dreadful", "negative"))]
    cfg = GenerateConfig(gates=[], label_agreement=0.3)
    asked = Acceptor(cfg, ["positive", "negative"], RealProfile.of(real))
    assert asked.check("a dreadful film", "positive").reason == "label_agreement"
    assert asked.check("a dreadful film", "negative").reason is None
    few = Acceptor(cfg, ["positive", "negative"], RealProfile.of(real[:10]))
    assert few.check("a dreadful film", "positive").reason is None
    assert "label_agreement" in few.notes[0]


def test_rows_that_only_a_pass_over_the_corpus_shows_to_be_copies_are_taken_back_together():
    class Scanned:
        in_memory, passes = False, 0

        def overlaps(self, texts):
            self.passes += 1
            return [1.0 if "real" in text else 0.2 for text in texts]

    scanned = Scanned()
    late = Acceptor(GenerateConfig(gates=["copied"]), [None], RealProfile((), scanned))
    for text in ("a row of its own", "a row that is real"):
        late.accept(late.check(text), "its source")
    assert [(v.text, v.reason, source) for v, source in late.recheck()] == [("a row that is real", "copied", "its source")]
    assert late.recheck() == []
    assert scanned.passes == 1


@given(st.lists(st.text(max_size=60) | st.text(alphabet="ab _.:{}[]\"'1@+-()*#<>/good", max_size=40), max_size=6))
def test_any_text_gets_a_verdict_of_the_contract_and_no_accepted_row_is_accepted_again(texts):
    codes = next(column.doc for column in REFUSALS.columns if column.name == "reason")
    judge = Acceptor(GenerateConfig(min_chars=1, pii="mask"), ["good"], RealProfile.of([("a real row of some words that is here", "good")]))
    for text in texts:
        (plain,) = judge.unpacked([text], "good")
        assert judge.unpacked([plain], "good") == [plain]
        verdict = judge.check(text, "good")
        assert judge.check(text, "good") == verdict
        assert verdict.reason is None or verdict.reason in codes
        verdict.text.encode()
        if verdict.reason is None:
            judge.accept(verdict)
            assert judge.check(verdict.text, "good").reason is not None


def test_what_a_template_of_fields_writes_is_no_conversation_but_a_field_may_be_one():
    judge = Acceptor(
        GenerateConfig(min_chars=5, fields=[{"name": "q", "description": "x"}, {"name": "a", "description": "y"}]),
        [None],
        RealProfile.of([]),
    )
    text = "Q: {q} A: {a}"
    good, bad = {"q": "Is it any good?", "a": "It is fine."}, {"q": "Is it any good?", "a": "Q: Is it? A: It is."}
    assert judge.check(text.format(**good), None, good).reason is None
    assert judge.check(text.format(**bad), None, bad).reason == "meta"
    assert judge.check(text.format(**good)).reason == "meta"  # one text, of which no template made it
