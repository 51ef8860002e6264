"""Generation in rounds: what each may show and is to bring, and that a later one keeps the rows of those before."""

import pyarrow as pa
from ledgers import read_ledger
from loopback import loopback
from rich.console import Console

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.engine import generate
from synalign_spark.generation.gates.profile import RealProfile
from synalign_spark.generation.plan import demonstration_sets_of
from synalign_spark.generation.rounds import RoundEnd, not_shown, rounds_of, worth_asking
from synalign_spark.progress import Progress

COUNTS = {"a": 60, "b": 20}
ENDS = [RoundEnd(16, last_set_round=1), RoundEnd(40)]


def shown(sets):
    """Demonstrations of (round, label, set_rank), four rows each."""
    return pa.Table.from_pylist(
        [
            {"round": r, "label": label, "set_rank": rank, "cluster_id": rank, "rank_in_set": place, "doc_id": f"{r}-{label}-{rank}-{place}",
             "text": f"{label} text {place} of set {r}-{rank} alpha beta gamma delta", "posterior_sd": 1.0}
            for r, label, rank in sets for place in range(4)
        ]
    )  # fmt: skip


FIRST = [(0, "a", 0), (0, "a", 1), (0, "b", 0), (1, "a", 0)]  # a label with few clusters begins another round of sets
SECOND = [(2, "a", 0), (2, "b", 0), (2, "b", 1)]


def test_the_first_round_follows_the_labels_and_a_later_one_its_sets():
    first, second = rounds_of(demonstration_sets_of(shown(FIRST + SECOND)), COUNTS, GenerateConfig(), ENDS, shows=True)
    assert {label: [(one.round, one.set_rank) for one in sets] for label, sets in first.sets.items()} == {
        "a": [(0, 0), (0, 1), (1, 0)],
        "b": [(0, 0)],
    }
    assert first.quotas == {"a": 12, "b": 4}
    assert {label: [(one.round, one.set_rank) for one in sets] for label, sets in second.sets.items()} == {
        "a": [(2, 0)],
        "b": [(2, 0), (2, 1)],
    }
    assert second.quotas == {"a": 12 + 8, "b": 4 + 16}


def test_a_round_without_sets_asks_for_nothing():
    _, second = rounds_of(demonstration_sets_of(shown(FIRST)), COUNTS, GenerateConfig(), ENDS, shows=True)
    assert second.quotas == {"a": 12, "b": 4}


def refused_in(marked):
    """Refuses the texts of sets (round, label, set_rank), as ``language`` all rows of the first and as ``form`` those of the others."""
    places = [f"{label} text {place} of set {r}-{rank} alpha beta gamma delta" for r, label, rank in marked for place in range(4)]
    return lambda text, label: ("language" if text in places[:4] else "form") if text in places else None


def test_where_no_set_is_shown_none_is_left_out():
    sets = demonstration_sets_of(shown(FIRST))
    found = rounds_of(sets, COUNTS, GenerateConfig(), ENDS, shows=False, fault=refused_in([(0, "a", 0)]))
    assert not_shown(found) == []
    assert len(found[0].sets["a"]) == 3


def test_sets_whose_own_rows_the_gates_refuse_are_not_shown_and_said():
    sets = demonstration_sets_of(shown(FIRST + SECOND))
    found = rounds_of(sets, COUNTS, GenerateConfig(), ENDS, True, refused_in([(0, "a", 1), (2, "b", 0)]))
    assert [[(one.round, one.set_rank) for one in round_.sets["a"]] for round_ in found] == [[(0, 0), (1, 0)], [(2, 0)]]
    assert [(one.round, one.set_rank) for one in found[1].sets["b"]] == [(2, 1)]
    assert [round_.left_out for round_ in found] == [{"language": 1}, {"form": 1}]
    (note,) = not_shown(found)
    assert note.startswith("demonstration sets that are not shown to the model: 2, ")
    assert "(form 1, language 1)" in note
    assert not_shown(rounds_of(sets, COUNTS, GenerateConfig(), ENDS, True)) == []


def test_a_label_of_which_every_set_is_refused_keeps_them_in_that_round():
    sets = demonstration_sets_of(shown(FIRST + SECOND))
    first, second = rounds_of(sets, COUNTS, GenerateConfig(), ENDS, True, refused_in([(0, "b", 0), (2, "b", 0)]))
    assert [one.set_rank for one in first.sets["b"]] == [0]
    assert not first.left_out
    assert [one.set_rank for one in second.sets["b"]] == [1]
    alone = rounds_of(demonstration_sets_of(shown(FIRST)), COUNTS, GenerateConfig(), ENDS[:1], True, refused_in([(0, "b", 0)]))
    assert alone[0].sets["b"] == first.sets["b"]  # what a later round brings changes nothing of an earlier one


def test_a_set_of_which_half_the_rows_pass_is_shown():
    (one,) = demonstration_sets_of(shown([(0, "a", 0)]))["a"]
    other = demonstration_sets_of(shown([(0, "a", 1)]))["a"][0]
    two, three = (lambda text, label, n=n: "form" if text in one.texts[:n] else None for n in (2, 3))
    assert worth_asking({"a": [one, other]}, two) == ({"a": [one, other]}, {})
    assert worth_asking({"a": [one, other]}, three) == ({"a": [other]}, {"form": 1})


def test_a_later_round_adds_to_the_rows_of_those_before_and_asks_for_none_of_them_again(tmp_path):
    progress = Progress(Console(quiet=True), live=False)
    with loopback() as server:
        llm = {"provider": "openai", "base_url": server.base_url, "model": "loopback", "backend": "in_process"}
        cfg = GenerateConfig.model_validate({"strategy": "fewshot", "target_rows": 40, "rows_per_request": 2, "llm": llm})
        once = generate(shown(FIRST), COUNTS, cfg, 0, str(tmp_path / "ledger"), progress, ends=[RoundEnd(16)])
        twice = generate(shown(FIRST + SECOND), COUNTS, cfg, 0, str(tmp_path / "ledger"), progress, ends=ENDS)
        fresh = generate(shown(FIRST + SECOND), COUNTS, cfg, 0, str(tmp_path / "other"), progress, ends=ENDS)
        assert once.summary["accepted_by_label"] == {"a": 12, "b": 4}
        assert twice.summary["accepted"] == twice.summary["target_rows"] == 40
    before, after = (found.synthetic.to_pylist() for found in (once, twice))
    assert after[: len(before)] == before
    assert {row["round"] for row in after[len(before) :]} == {2}
    assert twice.synthetic == fresh.synthetic
    assert len(read_ledger(str(tmp_path / "ledger"))) == twice.calls.num_rows


def test_a_set_in_another_language_is_not_asked_with(tmp_path):
    """English rows are wanted, one set of demonstrations is Portuguese: rows after it would be, too."""
    progress = Progress(Console(quiet=True), live=False)
    words = ["o filme é muito bonito e a história emociona do começo ao fim", "uma comédia que não consegue fazer ninguém rir de verdade"]
    english = ["the film is a delight from its first scene to its last", "a comedy that never finds a reason for anyone to laugh"]
    rows = [
        {"round": 0, "label": "a", "set_rank": rank, "cluster_id": rank, "rank_in_set": place, "doc_id": f"{rank}-{place}", "text": text, "posterior_sd": 1.0}
        for rank, texts in enumerate([words, english]) for place, text in enumerate(texts)
    ]  # fmt: skip
    with loopback() as server:
        llm = {"provider": "openai", "base_url": server.base_url, "model": "loopback", "backend": "in_process"}
        cfg = GenerateConfig.model_validate({"strategy": "fewshot", "target_rows": 8, "rows_per_request": 4, "llm": llm})
        real = RealProfile.of((f"{text} on day {day}", "a") for text in english for day in range(500))
        found = generate(pa.Table.from_pylist(rows), {"a": 60}, cfg, 0, str(tmp_path / "ledger"), progress, real=real)
    assert found.summary["accepted"] == 8
    assert "(language 1)" in found.summary["gate_notes"][0]
    asked = str(found.prompts["messages"].to_pylist())
    assert english[0] in asked
    assert words[0] not in asked
