"""The order in which requests are sent, by hand."""

import weakref
from dataclasses import replace

import pytest

from synalign_spark.config import LlmConfig
from synalign_spark.generation.calls import make_request
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.waiting import Waiting

PROMPT = Prompt((), {}, "", text="words")


def requests(labels):
    """One a place, named by label and number."""
    return [replace(make_request("rows", label, PROMPT, LlmConfig(), str(n)), request_id=f"{label}{n}") for n, label in enumerate(labels)]


def places(labels):
    return {label: [n for n, other in enumerate(labels) if other == label] for label in set(labels)}


def taken(waiting, n=99):
    return [waiting.take().request_id for _ in range(min(n, len(waiting)))]


def test_requests_go_in_the_order_of_their_places_and_come_back_to_theirs():
    waiting = Waiting(requests("abab"))
    first = waiting.first()
    assert waiting.take() is first
    assert taken(waiting, 1) == ["b1"]
    waiting.put_back(first)
    assert taken(waiting) == ["a0", "a2", "b3"]
    with pytest.raises(ValueError, match="empty"):
        waiting.take()


def test_a_label_that_lost_calls_goes_ahead_by_as_many_and_all_are_sent_in_the_end():
    labels = "abcabcabcabc"
    waiting = Waiting(requests(labels), places(labels))
    assert taken(waiting, 3) == ["a0", "b1", "c2"]
    waiting.lost("c", 1)
    assert taken(waiting, 4) == ["c5", "a3", "b4", "c8"]  # c has one call more than before, and then its turn again
    waiting.lost("b", 0.4)  # less than half a call
    assert taken(waiting) == ["a6", "b7", "c11", "a9", "b10"]


def test_labels_that_are_dropped_are_named_by_their_requests():
    waiting = Waiting(requests("abab"))
    assert waiting.drop(["a", "unknown"]) == {"a0", "a2"}
    assert taken(waiting) == ["b1", "b3"]


def test_a_request_that_has_ended_is_forgotten():
    """A wave has thousands of prompts, of kilobytes each."""
    waiting = Waiting(requests("aaa"))
    kept = weakref.ref(waiting.take())
    assert kept() is not None  # it may be lost on its way
    waiting.ended("a0")
    assert kept() is None
    assert len(waiting) == 2
