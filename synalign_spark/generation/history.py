"""What came back from an endpoint so far: by this a single status is judged."""

from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.dialects import UNFORMED, Terms
from synalign_spark.generation.faults import DROPPABLE, named
from synalign_spark.generation.reading import holds_json
from synalign_spark.generation.replies import refused

# Calls one after another. By chance they say so once in 10^8 times (20) or 10^3 times (8) where four calls in ten fail for other reasons.
FORBIDDEN_IN_A_ROW = 20
UNFORMED_IN_A_ROW = 8
REFUSED_IN_A_ROW = 8
UNSERVED_IN_A_ROW = 4  # each of them after all of its attempts, five unless configured: as many requests as of the forbidden
MAX_RENEGOTIATIONS = 3  # there are six forms; who refuses the fourth as well refuses for another reason


class History:
    """Judges answers in the order of their arrival.

    A 403 is of the prompt (a moderation's refusal) where a call that was sent after it is answered, and else may be of the key:
    until one is, those that were forbidden are held back. A dialect is of no use any more where the server refuses it, where
    one answer after another holds no JSON, or where one call after another ends in a fault of the server."""

    def __init__(self, continues: bool) -> None:
        """continues: whether prompts are texts to continue; a dialect is sought for these prompts alone."""
        self._continues = continues
        self.answered = False  # whether any call was
        self._forbidden: list[tuple[int, Answer]] = []  # with the calls that were sent until it arrived
        self._in_a_row = 0
        self._unformed, self._unserved = 0, 0
        self._refused = 0
        self._tries = 0
        self.renegotiations = 0
        self.dialect_taken = False  # whether a look showed so, after a refusal that seemed to be of the dialect

    def hold(self, answer: Answer, sent: int) -> None:
        """Keeps a forbidden call back. sent: calls that were sent until now."""
        self._forbidden.append((sent, answer))
        self._in_a_row += 1

    def answers(self, number: int) -> list[Answer]:
        """Takes note of an answer to the number-th call, from 0. Returns the calls held back that it shows to be refusals of prompts."""
        self.answered, self._in_a_row, self._refused = True, 0, 0
        shown = [refused(held) for sent, held in self._forbidden if sent <= number]
        self._forbidden = [(sent, held) for sent, held in self._forbidden if sent > number]
        return shown

    def undecided(self, all_back: bool) -> str | None:
        """The message of the last 403, where no further answer is to be waited for that would tell what it is of.

        all_back: whether no call is in flight or will be sent."""
        if self._forbidden and (all_back or self._in_a_row >= FORBIDDEN_IN_A_ROW):
            return self._forbidden[-1][1].error or ""
        return None

    def release(self) -> list[Answer]:
        """All calls held back, as the refusals of prompts that they turned out to be."""
        released, self._forbidden, self._in_a_row = [refused(held) for _, held in self._forbidden], [], 0
        return released

    def dialect_failed(self, request: Request, answer: Answer, terms: Terms, now: Terms) -> bool:
        """Whether the dialect of ``terms``, under which the call was sent, is of no use. Counts calls without JSON, and those that the
        server failed at, under the terms of now."""
        prompt = request.prompt
        if not prompt.schema or bool(prompt.text) != self._continues or terms.of(prompt) in UNFORMED:
            return False
        if answer.status == "server_error":
            return terms != now or self._is_unserved()
        if answer.status == "answered" and terms == now:
            holds = holds_json(answer.answer, answer.finish_reason, answer.refusal)
            self._unformed, self._unserved = 0 if holds else self._unformed + 1, 0
        elif answer.status == "bad_form" and terms == now:
            self._unformed += 1
        return answer.status == "bad_form" or (terms == now and self.formless)

    def _is_unserved(self) -> bool:
        """Counts a call that the server failed at. True at the last of several in a row: some fail at a form alone, such as one whose
        grammar they cannot compile. Whether this one does is to be looked at anew."""
        self._unserved = (self._unserved + 1) % UNSERVED_IN_A_ROW
        if self._unserved == 0:
            self.dialect_taken = False
        return self._unserved == 0

    def parameters_failed(self, request: Request, answer: Answer) -> bool:
        """Whether a refused call may be so for its parameters: the server names one of them, or refuses call after call."""
        if answer.status != "bad_request":
            return False
        self._refused += 1
        sampling = tuple(name for name in DROPPABLE if name in request.sampling)
        return named(answer.error or "", sampling) is not None or self._refused >= REFUSED_IN_A_ROW

    def tried(self, found: bool) -> None:
        """Counts a try to find another dialect, and where one was found, a renegotiation."""
        self._tries, self._unformed, self._refused = self._tries + 1, 0, 0
        if found:
            self.renegotiations, self.dialect_taken = self.renegotiations + 1, False

    @property
    def may_renegotiate(self) -> bool:
        return self._tries < MAX_RENEGOTIATIONS

    @property
    def formless(self) -> bool:
        """Whether call after call brought no JSON: then a look that shows the dialect to be taken says little."""
        return self._unformed >= UNFORMED_IN_A_ROW
