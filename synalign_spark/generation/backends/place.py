"""One endpoint of a pool: how it is asked now, what came back from it, and whether it is left."""

import dataclasses

from synalign_spark.config import LlmConfig
from synalign_spark.config.endpoints import Endpoint
from synalign_spark.errors import EndpointError
from synalign_spark.generation import endpoint
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.health import HOPELESS_CALLS
from synalign_spark.generation.history import History
from synalign_spark.generation.probing import BudgetSpentError, Probing
from synalign_spark.generation.target import Target, unusable


class Place:
    """number: among the endpoints of the pool; left: why nothing goes there any more, empty while calls do; unasked: whether a budget did
    not allow the last look whether it takes calls."""

    def __init__(self, number: int, configured: Endpoint, target: Target, ledger_dir: str, probing: Probing) -> None:
        """target: on the terms that were found; probing: what looks at it are paid from, and the check before. Nothing is called."""
        self.number, self.configured, self.target, self._ledger_dir, self.probing = number, configured, target, ledger_dir, probing
        self.history = History(configured.llm.continues)
        self.held: dict[str, Request] = {}  # forbidden calls of which the history judges later
        self.left, self.unasked = "", False
        self._failed = 0  # calls one after another

    @property
    def llm(self) -> LlmConfig:
        return self.configured.llm

    def terms_failed(self, request: Request, answer: Answer, sent_under: Terms) -> bool:
        """Whether the call was asked on terms that the endpoint does not keep to."""
        terms, history = self.target.terms, self.history
        return history.dialect_failed(request, answer, sent_under, terms) or history.parameters_failed(request, answer)

    def renegotiate(self, sent_under: Terms) -> bool:
        """Whether calls go under other terms from now on than those that failed."""
        if sent_under != self.target.terms:
            return True
        if not self.history.may_renegotiate or (not self.history.formless and self._still_taken()):
            return False
        terms = endpoint.renegotiate(self.llm, self.target, self._ledger_dir, self.history.formless, self.probing)
        self.history.tried(terms is not None)
        if terms is None:
            return False
        self.target = dataclasses.replace(self.target, terms=terms)
        return True

    def _still_taken(self) -> bool:
        """Whether the endpoint takes the dialect: a refusal that names a schema may speak of the prompt's. Looks once. An endpoint that
        takes nothing at all says nothing of a dialect."""
        if not self.history.dialect_taken:
            try:
                self.history.dialect_taken = endpoint.takes(self.llm, self.target, self.probing)
            except EndpointError:
                return True
        return self.history.dialect_taken

    def takes_calls(self) -> bool:
        """Whether the endpoint takes a tiny call, now; where a budget allows none, nothing says that it would not."""
        self.unasked = False
        try:
            return not self.left and endpoint.takes(self.llm, self.target, self.probing)
        except BudgetSpentError:
            self.unasked = True
            return True
        except EndpointError:
            return False

    def failing(self, answer: Answer) -> str:
        """Why the endpoint is of no use where one call after another fails for good; empty otherwise."""
        self._failed = 0 if answer.status == "answered" else self._failed + 1
        return "" if self._failed < HOPELESS_CALLS else f"{self._failed} calls in a row failed (last: {answer.status}: {answer.error})"

    @property
    def works(self) -> bool:
        """Whether its last call was answered."""
        return not self.left and self.history.answered and self._failed == 0

    def unusable(self, message: str) -> EndpointError:
        return unusable(self.llm, self.target.base_url, message)
