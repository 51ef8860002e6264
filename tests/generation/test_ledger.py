"""Stored answers survive torn lines and come back as they were."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.errors import LakeError
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.ledger import LedgerWriter, read_ledger

ANSWERS = [Answer(f"id{i}", "answered", 1, answer=f"text {i} \u2028 ä", finished_at=f"2026-01-01T00:00:0{i}") for i in range(3)]


def test_missing_ledger_is_empty(tmp_path):
    assert read_ledger(str(tmp_path / "none")) == {}


def test_torn_last_line_is_passed_over_at_every_length(tmp_path):
    writer = LedgerWriter(str(tmp_path))
    writer.commit(ANSWERS)
    writer.close()
    file = next(tmp_path.glob("*.jsonl"))
    whole = file.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for length in range(start, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert read_ledger(str(tmp_path)) == {a.request_id: a for a in ANSWERS[:2]}
    second = LedgerWriter(str(tmp_path))  # a resumed run writes beside the torn file
    second.commit(ANSWERS[2:])
    second.close()
    assert read_ledger(str(tmp_path)) == {a.request_id: a for a in ANSWERS}


@given(st.text(st.characters(), max_size=50), st.text(st.characters(blacklist_categories=()), max_size=50))
def test_any_answer_comes_back(answer, refusal):
    stored = Answer("id", "answered", answer=answer, refusal=refusal)
    assert Answer.from_json(stored.to_json()) == stored


def test_waiting_answers_share_commits_and_the_first_of_two_counts(tmp_path):
    async def write():
        writer = LedgerWriter(str(tmp_path))
        commits = []
        commit = writer.commit
        writer.commit = lambda batch: (commits.append(len(batch)), commit(batch))[1]
        await asyncio.gather(*(writer.append(Answer(f"id{i % 50}", "answered", finished_at=f"{i:03d}")) for i in range(100)))
        return commits

    commits = asyncio.run(write())
    assert sum(commits) == 100
    assert len(commits) < 10
    assert {answer.finished_at for answer in read_ledger(str(tmp_path)).values()} == {f"{i:03d}" for i in range(50)}


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match="lake.path"):
        LedgerWriter(str(tmp_path / "file" / "ledger"))


def test_lone_surrogates_come_back_and_are_not_paid_again(tmp_path):
    odd = Answer("odd", "answered", answer="a \ud83d b")
    writer = LedgerWriter(str(tmp_path))
    writer.commit([odd, *ANSWERS])
    writer.close()
    assert read_ledger(str(tmp_path)) == {answer.request_id: answer for answer in (odd, *ANSWERS)}
