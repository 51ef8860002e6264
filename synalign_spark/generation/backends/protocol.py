"""What the engine needs of a pool of callers, and what a backend must bring for one."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, Self

from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.limits import Allowance, Budget
from synalign_spark.generation.target import Target
from synalign_spark.generation.waiting import Waiting
from synalign_spark.generation.window import Pressure


class Pool(Protocol):
    """As the engine sees it: requests in, answers out. A context manager that frees what it has started."""

    stopped_by: str | None  # key of the budget that ended the last ``run`` early
    pressure: Pressure | None  # what the endpoint bears, a moment ago; None before the first call

    @property
    def renegotiations(self) -> int:
        """Times that a dialect was given up and another one sought."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def run(self, waiting: Waiting, budget: Budget, notify: Callable[[], None]) -> Iterator[Answer]:
        """Answers in the order of arrival, each stored in the ledger before it is seen.

        Sends in the order of ``waiting``, to which requests may be added at every answer. Stops sending at the first
        request that ``budget`` does not admit: that one and those after it get no answer.
        notify: called when ``pressure`` was renewed. Raises EndpointError when the endpoint turns out to be unusable."""
        ...

    def takes_calls(self) -> bool:
        """Whether the endpoint takes a tiny call, now."""
        ...


class Callers(Protocol):
    """A backend: sends requests, all under one limiter, and stores answers. Used by one thread."""

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have not come back from ``arrived``."""
        ...

    def start(self, target: Target, allowance: Allowance) -> None:
        """Starts limiter and callers; called once, before the first ``send``."""
        ...

    def send(self, request: Request) -> None: ...

    def retarget(self, target: Target) -> None:
        """Sends what comes after on other terms."""
        ...

    def arrived(self) -> Iterable[tuple[Request, Answer | None]]:
        """Waits a moment for requests in flight to end; None for one that was lost and must be sent again."""
        ...

    def pressure(self) -> Pressure: ...

    def close(self) -> None:
        """Ends what ``start`` started, requests in flight too; harmless where nothing was started."""
        ...
