"""Ray's senders against actors that fail in every way: nobody waits for ever, and nothing is paid for twice. No Ray runs here."""

import asyncio

import pytest
import ray

from synalign_spark.config import LlmConfig
from synalign_spark.errors import EndpointDownError, EndpointError, LakeError
from synalign_spark.generation.backends import ray_senders
from synalign_spark.generation.backends.protocol import LostError
from synalign_spark.generation.backends.ray_senders import RaySenders, _Actor
from synalign_spark.generation.backends.sender import Attempt, Outcome
from synalign_spark.generation.calls import Answer, Spent, make_request
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.faults import Fault
from synalign_spark.generation.prompts import Prompt

LLM = LlmConfig(provider="openai", model="m", base_url="http://127.0.0.1:1/v1", backend="ray")
REQUEST = make_request("rows", None, Prompt(({"role": "user", "content": "x"},), {}, "rows"), LLM, "1")
ANSWER = Answer(REQUEST.request_id, "answered", 1, "hi", prompt_tokens=10, completion_tokens=10)
OUTCOME = Outcome(ANSWER, None, (10, 10), None, 0.1)


class Method:
    def __init__(self, function):
        self.remote = function


class Handle:
    """An actor. ends: what each attempt, in its turn, comes to; the error after them is raised by ``collect``."""

    def __init__(self, ends=(), then=None, post_error=None):
        self.ends, self.then, self.posted, self.killed = list(ends), then, [], False
        self.post, self.collect = Method(self._post), Method(self._collect)
        self._error = post_error

    async def _post(self, works):
        if self._error:
            raise self._error
        self.posted += works

    async def _collect(self):
        while not self.posted:
            await asyncio.sleep(0.005)
            if self.then and not self.ends:
                raise self.then
        number, _ = self.posted.pop(0)
        if not self.ends:
            raise self.then
        return [(number, self.ends.pop(0))]


class Ledger:
    def __init__(self, error=None):
        self.error, self.stored = error, []

    async def append(self, answer):
        if self.error:
            raise self.error
        self.stored.append(answer)

    async def drain(self):
        pass


def work(number=1, spent=(), named=True):
    return Attempt(REQUEST, Terms(), number, spent, 5.0, named)


def attempts(monkeypatch, handles, works, ledger=None, stored=None):
    """What comes of attempts, one after another, at actors of which each takes the dead one's place."""
    senders, found = RaySenders(LLM, "unused"), []
    handles = list(handles)
    monkeypatch.setattr(ray_senders, "find_answers", stored or (lambda folder, request_ids: {}))
    monkeypatch.setattr(ray_senders, "_kill", lambda handle: setattr(handle, "killed", True))

    async def go():
        senders._actors = [_Actor(handles.pop(0))]
        senders._make = lambda: handles.pop(0)
        senders._writer = ledger
        for one in works:
            try:
                found.append(await asyncio.wait_for(senders.attempt(one), 3))
            except Exception as err:
                found.append(err)
            await asyncio.sleep(0.05)
        await senders.close()

    asyncio.run(go())
    return found


def test_what_an_attempt_comes_to_is_handed_on_and_stored(monkeypatch):
    ledger = Ledger()
    assert attempts(monkeypatch, [Handle([OUTCOME, OUTCOME])], [work(), work(named=False)], ledger) == [OUTCOME, OUTCOME]
    assert ledger.stored == [ANSWER]  # a probe's word is nobody's answer


@pytest.mark.parametrize(
    ("handle", "ledger", "words"),
    [
        (Handle([OUTCOME]), Ledger(LakeError("disk full")), "disk full"),
        (Handle(post_error=TypeError("cannot pickle")), None, "Ray failed .TypeError: cannot pickle"),
        (Handle(then=ray.exceptions.RayError("GCS is gone\nand a page")), None, "Ray failed .RayError: GCS is gone.; see Ray's logs"),
    ],
)
def test_what_cannot_go_on_is_an_error_for_who_waits_and_who_comes_later(handle, ledger, words, monkeypatch):
    found = attempts(monkeypatch, [handle], [work(), work(2)], ledger)
    for err in found:
        with pytest.raises((EndpointError, LakeError), match=words):
            raise err


def test_an_actor_that_fails_while_nothing_flies_says_so_to_the_next(monkeypatch):
    fault = Outcome(None, Fault("server_error", "x"), (1, 1), None, 0.1)
    first, second = attempts(monkeypatch, [Handle([fault], then=ray.exceptions.RayError("gone"))], [work(), work(2)])
    assert first is fault
    assert isinstance(second, EndpointError)


def test_an_attempt_of_a_dead_actor_is_lost_or_answered_from_the_ledger(monkeypatch):
    died = ray.exceptions.ActorDiedError()
    (lost, again) = attempts(monkeypatch, [dead := Handle(then=died), Handle([OUTCOME])], [work(), work(2)])
    assert isinstance(lost, LostError)
    assert again is OUTCOME
    assert dead.killed
    stored = Answer(REQUEST.request_id, "answered", 2, "hi", prompt_tokens=110, completion_tokens=510)
    (found,) = attempts(
        monkeypatch,
        [Handle(then=died), Handle()],
        [work(2, (Spent("m", "e", 100, 500),))],
        stored=lambda folder, request_ids: dict.fromkeys(request_ids, stored),
    )
    assert found.answer is stored
    assert found.took == (10, 10)  # what the attempts before took is counted


def test_a_ledger_that_cannot_be_read_after_a_death_is_an_error(monkeypatch):
    def unreadable(folder, request_ids):
        raise LakeError("the ledger cannot be read")

    (found,) = attempts(monkeypatch, [Handle(then=ray.exceptions.ActorDiedError()), Handle()], [work()], stored=unreadable)
    assert isinstance(found, LakeError)


def test_actors_that_die_one_after_another_end_the_run(monkeypatch):
    found = attempts(monkeypatch, [Handle(then=ray.exceptions.ActorDiedError()) for _ in range(6)], [work(i) for i in range(1, 5)])
    assert [type(one) for one in found] == [LostError] * 3 + [EndpointDownError]
    assert "4 Ray actors died one after another" in str(found[-1])
