"""Generation in rounds: what each may show and is to bring, and that a later one keeps the rows of those before."""

import pyarrow as pa
from ledgers import read_ledger
from loopback import loopback
from rich.console import Console

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.engine import generate
from synalign_spark.generation.plan import demonstration_sets_of
from synalign_spark.generation.rounds import RoundEnd, rounds_of
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
