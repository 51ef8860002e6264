"""What probes are paid from: the calls before the work, and those that look at an endpoint while it goes on."""

import dataclasses
import uuid
from collections.abc import Callable

from synalign_spark.errors import BudgetError, EndpointError
from synalign_spark.generation.calls import PROBED, Answer, Request
from synalign_spark.generation.limits import Budget


class BudgetSpentError(BudgetError, EndpointError):
    """A budget of ``generate`` leaves no room for a probe, or for one row. key: of the limit."""

    retryable = False

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class Probing:
    """Outside of a run: no budget, and nobody who hears of waits."""

    def admit(self, request: Request) -> None:
        """Raises BudgetSpentError for a probe that the budget does not allow."""

    def spend(self, answer: Answer) -> None:
        """Counts what a probe took."""

    def say(self, words: str) -> None:
        """Tells what is waited for."""


class PaidProbing(Probing):
    """In a run: probes count against its budgets, in later starts too."""

    def __init__(
        self,
        budget: Budget,
        prices: tuple[float, float] | None,
        store: Callable[[Answer], None],
        charge: Callable[[Answer], None],
        say: Callable[[str], None],
    ) -> None:
        """prices: of the endpoint, for a million tokens of prompt and answer; store: puts what a probe took in the ledger; charge: takes it
        from what calls may take."""
        self._budget, self._prices, self._store, self._charge, self._say = budget, prices, store, charge, say

    def admit(self, request: Request) -> None:
        broken = self._budget.broken_by(1, request.prompt_tokens, request.most_tokens, self._prices)
        if broken is not None:
            message = f"generate.{broken} leaves no room for the tiny calls that find out how the endpoint is asked; raise it"
            raise BudgetSpentError(broken, message)

    def spend(self, answer: Answer) -> None:
        took = dataclasses.replace(answer, request_id=f"probe-{uuid.uuid4().hex}", status=PROBED, answer=None)
        self._budget.spend(took)
        self._charge(took)
        self._store(took)

    def say(self, words: str) -> None:
        self._say(words)


UNPAID = Probing()
