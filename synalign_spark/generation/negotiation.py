"""Finds out how an endpoint is asked, by a few tiny calls with the very parameters of the run.

One malformed answer says little of a dialect: the best of three counts. A parameter that the server refuses by name is left out
from then on, each once at most.
"""

import dataclasses
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import openai
import tenacity

from synalign_spark.config import LlmConfig
from synalign_spark.errors import LakeError
from synalign_spark.generation.bodies import send
from synalign_spark.generation.calls import PROBED, TRANSIENT, Answer, Request
from synalign_spark.generation.dialects import CONTINUATIONS, UNFORMED, Terms
from synalign_spark.generation.faults import DROPPABLE, NEVER_RETRIED, Fault, backoff, classify, named
from synalign_spark.generation.probes import choices_request, probe_request
from synalign_spark.generation.probing import BudgetSpentError, Probing
from synalign_spark.generation.reading import cut_off, reasons, strict_json
from synalign_spark.generation.replies import answer_of, too_few
from synalign_spark.generation.target import Target, unusable

PROBE_ATTEMPTS, DIALECT_ATTEMPTS, ANSWERS = 4, 2, 3
LONGEST_WAIT_S, SAID_WAIT_S = 60.0, 5.0  # that a server may ask for; from when on it is said
NO_CHAT = re.compile(r"chat.?template|not a chat model|chat/completions", re.IGNORECASE)
# As chat templates say it (Gemma's, Mistral's), OpenAI and Google.
NO_SYSTEM = re.compile(
    r"system.?(?:role|message|prompt|instruction)s?\b|\brole\b.{0,40}['\"`]?system\b|roles must alternate|developer instruction",
    re.IGNORECASE,
)
OF_THE_MODEL = re.compile(r"\bmodel\b|\bdeployment\b", re.IGNORECASE)  # a 404 that says so is not of the path
OF_THE_DIALECT = (404, 405, 500, 501)  # a server may have these for one dialect only


class Negotiation:
    """One finding out. probes: requests sent so far; latency_s: seconds of the last one."""

    def __init__(self, client: openai.OpenAI, target: Target, llm: LlmConfig, probing: Probing) -> None:
        """target: with the terms to begin from; probing: what its calls are paid from."""
        self._client, self._target, self._llm, self._probing = client, target, llm, probing
        self.probes, self.latency_s = 0, 0.0
        self._cut_off = 0  # answers that ended at the token limit before they began

    def find(self, dialects: Sequence[str]) -> Terms:
        """The terms with the first of the dialects that gives what it promises. Raises EndpointError where none does."""
        terms, refusal = self._target.terms, Fault("bad_form", "")
        for dialect in dialects:
            terms, fault = self._settle(self._speaking(terms, dialect))
            if fault is None:
                self._require_choices(terms)
                return terms
            refusal = fault
        message = f"no way to ask works (tried {', '.join(dialects)}); {self._target.scrub(refusal.message)}{self._advice(terms, refusal)}"
        raise unusable(self._llm, self._target.base_url, message)

    def _require_choices(self, terms: Terms) -> None:
        """Raises EndpointError where rows are to come as several answers to one prompt and the server gives one."""
        if not self._llm.rows_as_choices:
            return
        plain = dataclasses.replace(terms, continuation=CONTINUATIONS[-1])
        tries = (self._probe(plain, number, choices_request(self._llm, number)) for number in range(ANSWERS))
        found = next((one for one in tries if one is not None), None)  # a small model may begin with an empty line
        if not isinstance(found, Terms):
            gave = f"refuses it: {self._target.scrub(found.message)}" if isinstance(found, Fault) else "gives one, or none with any text"
            said = f"asked for two answers to one prompt (n), the server {gave}; set generate.llm.rows_as_choices to false"
            raise unusable(self._llm, self._target.base_url, said)

    def taken(self) -> bool:
        """Whether the server takes a call on the terms as they are, whatever it answers. Raises EndpointError as ``find`` does."""
        return not isinstance(self._probe(self._target.terms, 0), Fault)

    def _speaking(self, terms: Terms, dialect: str) -> Terms:
        return dataclasses.replace(terms, continuation=dialect) if self._llm.continues else dataclasses.replace(terms, dialect=dialect)

    def _dialect(self, terms: Terms) -> str:
        return terms.continuation if self._llm.continues else terms.dialect

    def _settle(self, terms: Terms) -> tuple[Terms, Fault | None]:
        """The terms without what the server refuses by name, and None where the dialect works."""
        while True:
            found = self._best_of_three(terms)
            if isinstance(found, Terms):
                return found, None
            mended = self._mended(terms, found)
            if mended is None:
                return terms, found
            terms = mended

    def _mended(self, terms: Terms, fault: Fault) -> Terms | None:
        """The terms with one change that the server's refusal asks for; None where it asks for none."""
        if terms.system and not self._llm.continues and NO_SYSTEM.search(fault.message):  # with 400, or 500 out of a chat template
            return dataclasses.replace(terms, system=False)
        if fault.code not in (400, 422):
            return None
        lengths = named(fault.message, ("max_completion_tokens", "max_tokens"))
        if lengths and self._llm.token_parameter == "auto" and terms.token_parameter == "max_tokens" and not self._llm.continues:
            return dataclasses.replace(terms, token_parameter="max_completion_tokens")
        name = named(fault.message, tuple(name for name in self._sent(terms) if name in DROPPABLE))
        return None if name is None else dataclasses.replace(terms, dropped=(*terms.dropped, name))

    def _sent(self, terms: Terms) -> tuple[str, ...]:
        """The sampling parameters that go with a call, those that are missed least first."""
        given = probe_request(self._llm, self._dialect(terms), 0).sampling
        return tuple(name for name in (*DROPPABLE, *self._llm.extra_body) if name in given and name not in terms.dropped)

    def _best_of_three(self, terms: Terms) -> Terms | Fault:
        """The terms where one of three answers has the promised form. Raises EndpointError for anything beyond repair."""
        self._cut_off = 0
        for number in range(ANSWERS):
            found = self._probe(terms, number)
            if found is not None:
                return found
        if self._cut_off == ANSWERS:
            message = f"none of {ANSWERS} answers to a tiny question began within {self._llm.max_output_tokens:,} tokens"
            raise unusable(
                self._llm, self._target.base_url, f"{message}: raise generate.llm.max_output_tokens, or let the model reason less"
            )
        promised = "any text" if self._dialect(terms) in UNFORMED else f"the form that {self._dialect(terms)} promises"
        return Fault("bad_form", f"none of {ANSWERS} answers had {promised}")

    def _probe(self, terms: Terms, number: int, request: Request | None = None) -> Terms | Fault | None:
        """The terms where the answer has the promised form, else None; a Fault where the server refuses the request.

        request: None for the one that probes the dialect."""
        target, dialect = dataclasses.replace(self._target, terms=terms), self._dialect(terms)
        request = request or probe_request(self._llm, dialect, number)

        def once() -> Terms | None:
            reply, answer = self._sent_once(request, target)
            self._cut_off += not_begun(answer)
            if too_few(reply, request):
                return None
            return kept(reply, terms, dialect, lambda with_: answer_of(reply, request, dataclasses.replace(target, terms=with_), 1, 0.0))

        try:
            return retrying(dialect, _attempts, _may_be_mended, self._probing.say)(once)
        except (BudgetSpentError, LakeError):  # no fault of the endpoint's
            raise
        except Exception as err:  # every fault of a call is one of the endpoint; classify says which
            fault = classify(err)
            if fault.status not in ("bad_request", "bad_form") and fault.code not in OF_THE_DIALECT:
                raise unusable(
                    self._llm, target.base_url, target.scrub(fault.message) + _too_long(fault), fault.status in TRANSIENT
                ) from None
            return fault

    def _sent_once(self, request: Request, target: Target) -> tuple[Any, Answer]:
        """A reply, and the answer in it. What the probe took is counted, that of one that fails on the high side."""
        self._probing.admit(request)
        self.probes, started = self.probes + 1, time.monotonic()
        try:
            reply = send(self._client, request, target)
            self.latency_s = time.monotonic() - started
            answer = answer_of(reply, request, target, 1, 0.0)
        except Exception as err:
            took = (request.prompt_tokens, request.most_tokens) if classify(err).ran else (0, 0)
            failed = Answer(request.request_id, PROBED, 1, prompt_tokens=took[0], completion_tokens=took[1], tokens_estimated=True)
            self._probing.spend(dataclasses.replace(failed, model=target.model, endpoint=target.endpoint))
            raise
        self._probing.spend(answer)
        return reply, answer

    def _advice(self, terms: Terms, refusal: Fault) -> str:
        """What to change: the parameter without which the server answers, where there is one."""
        if NO_CHAT.search(refusal.message) and not self._llm.continues:
            return "; a model without a chat form is asked with generate.llm.api: completion"
        if refusal.code == 404 and not OF_THE_MODEL.search(refusal.message):
            there, other = ("completions", "chat") if self._llm.continues else ("chat/completions", "completion")
            return f"; nothing answers at /{there} below the address, which mostly ends in /v1; a server that has none is asked with generate.llm.api: {other}"
        if refusal.code not in (400, 422):
            return ""
        sent = self._sent(terms)
        for left_out in [*((name,) for name in sent), sent]:
            if left_out and isinstance(self._probe(dataclasses.replace(terms, dropped=(*terms.dropped, *left_out)), 0), Terms):
                return f"; it answers without {' and '.join(left_out)}: {', '.join(map(self._remedy, left_out))}"
        return f"; parameters that a server does not take can be left out: {', '.join(map(self._remedy, sent))}" if sent else ""

    def _remedy(self, name: str) -> str:
        if name == "seed":
            return "set generate.llm.send_seed to false"
        return f"remove {name} from generate.llm.extra_body" if name in self._llm.extra_body else f"set generate.llm.{name} to null"


def kept(reply: Any, terms: Terms, dialect: str, read: Callable[[Terms], Any]) -> Terms | None:
    """The terms under which a reply gives what its dialect promises; None where it does not. An answer cut off proves nothing against it.

    read: the stored form of the reply under given terms."""
    answer = read(terms)
    if not (answer.answer or "").strip() and _has_form(read(dataclasses.replace(terms, reasoning=True)).answer, "json_schema"):
        return dataclasses.replace(terms, reasoning=True)
    if cut_off(answer.finish_reason) and not not_begun(answer) and _may_have_form(answer.answer):
        return terms
    if dialect in UNFORMED:
        return terms if answer.answer and answer.answer.strip() else None
    return terms if _has_form(answer.answer, dialect) else None


def _has_form(text: str | None, dialect: str) -> bool:
    try:
        data = strict_json(text)
    except ValueError:
        return False
    return isinstance(data, dict) and (dialect == "json_object" or isinstance(data.get("rows"), list))


def _may_have_form(text: str | None) -> bool:
    """Whether a cut answer may have become what was asked for."""
    return bool(text) and str(text).lstrip().startswith("{")


def not_begun(answer: Answer) -> bool:
    """Whether an answer was cut off in its reasoning, or before any text."""
    return cut_off(answer.finish_reason) and (not (answer.answer or "").strip() or reasons(answer.answer or ""))


def _attempts(state: tenacity.RetryCallState) -> bool:
    """Whether to stop: sooner where another dialect may help."""
    err = state.outcome.exception() if state.outcome else None
    most = DIALECT_ATTEMPTS if isinstance(err, Exception) and classify(err).code in OF_THE_DIALECT else PROBE_ATTEMPTS
    return state.attempt_number >= most


def _may_be_mended(err: Exception) -> bool:
    """Whether another attempt may help. Nobody waits long for the start of a run."""
    fault = classify(err)
    return not isinstance(err, BudgetSpentError | LakeError) and fault.status not in NEVER_RETRIED and not _too_long(fault)


def _too_long(fault: Fault) -> str:
    """Why a server's own wait is not waited for, to end a message; empty where it is, or there is none."""
    if (fault.retry_after or 0.0) <= LONGEST_WAIT_S:
        return ""
    return f"; it asks to wait {fault.retry_after:,.0f} s (Retry-After), and no more than {LONGEST_WAIT_S:.0f} s are waited before the first call"


def retrying(
    key: str,
    stop: Callable[[tenacity.RetryCallState], bool],
    mended: Callable[[Exception], bool],
    say: Callable[[str], None] | None = None,
) -> tenacity.Retrying:
    """Tries again where ``mended`` says that this may help; waits as the calls of a run do, and as long as the server asks for on top.

    key: what the jitter follows from; say: takes a line where the server asks for a wait. The last error is raised as it is."""

    def seconds(state: tenacity.RetryCallState) -> float:
        err = state.outcome.exception() if state.outcome else None
        asked = min(LONGEST_WAIT_S, (classify(err).retry_after if isinstance(err, Exception) else None) or 0.0)
        if say is not None and asked >= SAID_WAIT_S:
            say(f"the endpoint asks to wait {asked:.0f} s before the next call (Retry-After)")
        return asked + backoff(key, state.attempt_number)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda err: isinstance(err, Exception) and mended(err)), stop=stop, wait=seconds, reraise=True
    )
