"""Stored answers survive torn lines and come back as they were."""

import asyncio
import errno
import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgers import read_ledger

from synalign_spark.config import LlmConfig
from synalign_spark.errors import LakeError
from synalign_spark.generation import ledger, stored
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.ledger import LedgerWriter, count_answers, find_answers, holds_answers
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.stored import StoredAnswers

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


def test_a_write_that_fails_in_the_middle_spoils_no_later_answer(tmp_path, monkeypatch):
    """A disk that is full for a moment."""
    writer, write, written = LedgerWriter(str(tmp_path)), os.write, []

    def half(file, data):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(write(file, data[:40]))
        return written[0]

    writer.commit(ANSWERS[:1])
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space left"):
            writer.commit(ANSWERS[1:2])
    writer.commit(ANSWERS[2:])
    assert list(read_ledger(str(tmp_path))) == ["id0", "id2"]


def test_whatever_keeps_an_answer_from_the_ledger_is_told_to_who_waits(tmp_path):
    async def write():
        writer = LedgerWriter(str(tmp_path))
        writer.commit = lambda batch: (_ for _ in ()).throw(RuntimeError("can't start new thread"))
        await asyncio.wait_for(writer.append(ANSWERS[0]), 5)

    with pytest.raises(LakeError, match="could not be stored in the ledger .*can't start new thread"):
        asyncio.run(write())


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


def test_an_answer_is_read_from_its_place_wherever_the_chunks_end(tmp_path, monkeypatch):
    answers = [Answer(f"{i:064x}", "answered", 1, answer="ä\n" * (i % 40), prompt_tokens=10 * i, completion_tokens=i) for i in range(200)]
    for part in (answers[:120], answers[120:]):
        writer = LedgerWriter(str(tmp_path))
        writer.commit(part)
        writer.close()
    (tmp_path / "torn.jsonl").write_bytes(b'{"request_id": "' + b"f" * 64)
    for chunk in (7, 100, 2**20):
        monkeypatch.setattr(ledger, "CHUNK_BYTES", chunk)
        with StoredAnswers(str(tmp_path)) as found:
            assert len(found) == 200
            assert dict(found) == {answer.request_id: answer for answer in answers}
            assert "f" * 64 not in found
        assert find_answers(str(tmp_path), {"f" * 64, answers[7].request_id}) == {answers[7].request_id: answers[7]}


def test_answers_are_counted_without_a_look_at_them(tmp_path, monkeypatch):
    writer = LedgerWriter(str(tmp_path))
    writer.commit([*ANSWERS, Answer("probe", "probed", 1), Answer("said", "answered", 1, 'a text with "status": "probed"}')])
    writer.close()
    with open(tmp_path / "torn.jsonl", "w") as file:
        file.write(Answer("torn", "answered", 1, "some text").to_json()[:-1])
    monkeypatch.setattr(Answer, "from_json", None)
    assert count_answers(str(tmp_path)) == len(ANSWERS) + 1
    assert holds_answers(str(tmp_path))
    assert count_answers(str(tmp_path / "none")) == 0


def test_sums_are_of_the_answers_that_count(tmp_path):
    def answer(name, when, attempts, prompt, completion, batch_id=None):
        finished = f"2026-01-01T00:00:0{when}"
        took = {"prompt_tokens": prompt, "completion_tokens": completion}
        return Answer(name, "answered", attempts, finished_at=finished, batch_id=batch_id, **took)

    writer = LedgerWriter(str(tmp_path))
    writer.commit([answer("a", 2, 5, 500, 50), answer("a", 1, 1, 100, 10), answer("b", 1, 2, 300, 30), answer("c", 1, 1, 7, 1, "batch_1")])
    writer.commit([answer("d", 1, 3, None, None), answer("a", 1, 7, 700, 70)])  # the same moment: the first line counts
    writer.close()
    prices = Prices([LlmConfig(price_input_usd=1.0, price_output_usd=2.0, batch_discount=0.5)])
    with StoredAnswers(str(tmp_path)) as found:
        assert found["a"].attempts == 1
        sums = list(found.spent())
    assert sum(one.attempts for one in sums) == 1 + 2 + 1 + 3
    assert sum(one.tokens for one in sums) == 110 + 330 + 8
    assert sum(prices.usd(one) or 0.0 for one in sums) * 1e6 == pytest.approx(120 + 360 + 0.5 * 9)


def test_answers_of_an_object_store_are_copied_once(tmp_path, monkeypatch):
    writer = LedgerWriter(str(tmp_path))
    writer.commit(ANSWERS)
    writer.close()
    monkeypatch.setattr(stored, "local_path", lambda folder: None)
    with StoredAnswers(str(tmp_path)) as found:
        for file in tmp_path.glob("*.jsonl"):
            file.unlink()
        assert dict(found) == {a.request_id: a for a in ANSWERS}


def test_a_ledger_that_changed_under_its_index_is_an_error(tmp_path):
    writer = LedgerWriter(str(tmp_path))
    writer.commit(ANSWERS)
    writer.close()
    with StoredAnswers(str(tmp_path)) as found:
        next(tmp_path.glob("*.jsonl")).unlink()
        with pytest.raises(LakeError, match="lake.path: the ledger .* cannot be read"):
            found["id1"]


def test_whether_there_is_any_answer(tmp_path):
    assert not holds_answers(str(tmp_path / "none"))
    (tmp_path / "torn.jsonl").write_bytes(b'{"request_id": "abc", "sta')
    assert not holds_answers(str(tmp_path))
    LedgerWriter(str(tmp_path)).commit(ANSWERS)
    assert holds_answers(str(tmp_path))


def test_memory_does_not_grow_with_the_stored_answers(tmp_path):
    """The answers alone are 20 MB."""
    writer = LedgerWriter(str(tmp_path))
    for first in range(0, 10_000, 1_000):
        writer.commit([Answer(f"{i:064x}", "answered", 1, answer="word " * 400) for i in range(first, first + 1_000)])
    writer.close()
    tracemalloc.start()
    try:
        with StoredAnswers(str(tmp_path)) as found:
            assert len(found) == 10_000
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
