"""What came back from an endpoint so far: by this a single status is judged."""

from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.client import refused
from synalign_spark.generation.dialects import UNFORMED, Terms
from synalign_spark.generation.reading import holds_json

FORBIDDEN_IN_A_ROW = 20  # without one answer before
UNFORMED_IN_A_ROW = 8
MAX_RENEGOTIATIONS = 3


class History:
    """Judges answers in the order of their arrival.

    A 403 is of the key where nothing was ever answered, and of the prompt (a moderation's refusal) where other calls are: until
    one is, those that were forbidden are held back. A dialect is of no use any more where the server refuses it, or where
    one answer after another holds no JSON."""

    def __init__(self, continues: bool) -> None:
        """continues: whether prompts are texts to continue; a dialect is sought for these prompts alone."""
        self._continues = continues
        self._answered = False
        self._forbidden: list[Answer] = []
        self._unformed = 0
        self.renegotiations = 0

    def judge(self, answer: Answer) -> list[Answer]:
        """The answers that may be handed on now: this one, or those that wait for it too, or none yet."""
        if answer.status == "forbidden":
            self._forbidden.append(answer)
        elif answer.status == "answered":
            self._answered = True
        else:
            return [answer]
        if not self._answered:
            return []
        released, self._forbidden = [refused(held) for held in self._forbidden], []
        return released if answer.status == "forbidden" else [*released, answer]

    def locked_out(self, all_back: bool) -> str | None:
        """The message of a 403 where it holds for every call; None where it does not, or where that is not known yet.

        all_back: whether no call is in flight or waiting."""
        if self._forbidden and (all_back or len(self._forbidden) >= FORBIDDEN_IN_A_ROW):
            return self._forbidden[-1].error
        return None

    def dialect_failed(self, request: Request, answer: Answer, terms: Terms, now: Terms) -> bool:
        """Whether the dialect of ``terms``, under which the call was sent, is of no use. Counts answers without JSON under the terms of now."""
        prompt = request.prompt
        if not prompt.schema or bool(prompt.text) != self._continues or terms.of(prompt) in UNFORMED:
            return False
        if answer.status == "answered" and terms == now:
            holds = holds_json(answer.answer, answer.finish_reason, answer.refusal)
            self._unformed = 0 if holds else self._unformed + 1
        return answer.status == "bad_form" or (terms == now and self._unformed >= UNFORMED_IN_A_ROW)

    def renegotiated(self) -> None:
        """Counts one."""
        self.renegotiations, self._unformed = self.renegotiations + 1, 0

    @property
    def may_renegotiate(self) -> bool:
        return self.renegotiations < MAX_RENEGOTIATIONS
