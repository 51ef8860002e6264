"""What the engine needs of a pool of calls, and what a backend must bring for one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Self

from synalign_spark.generation.backends.sender import Attempt, Outcome
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
    def left_running(self) -> str:
        """What goes on at the endpoint without us, as the end of a sentence; empty for nothing."""
        ...

    @property
    def left(self) -> dict[str, str]:
        """The endpoints, by model and address, that were left because they failed while others went on, and why."""
        ...

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

    def drain(self, say: Callable[[str], None]) -> None:
        """After an interruption or an error: sends nothing more, and waits a while for the calls in flight, which are stored. say: takes a line."""
        ...

    def takes_calls(self) -> bool:
        """Whether the endpoint takes a tiny call, now."""
        ...


class Callers(Protocol):
    """What a pool sends its requests by, and gets their answers from: calls one by one, or batches."""

    left_running: str  # see ``Pool``

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have not arrived."""
        ...

    @property
    def left(self) -> dict[int, str]:
        """The places of endpoints that no request goes to any more, and why."""
        ...

    def start(self, targets: Sequence[Target], allowance: Allowance) -> None:
        """targets: one for each endpoint. Opens connections and ledger; called once, before the first request."""
        ...

    def send(self, request: Request) -> None:
        """Takes a request."""
        ...

    def retarget(self, place: int, target: Target) -> None:
        """Further requests to the endpoint of this place go to this target."""
        ...

    def charge(self, place: int, answer: Answer) -> None:
        """Counts a probe of the endpoint of this place against what may still go."""
        ...

    def leave(self, place: int, reason: str) -> None:
        """No further request goes to the endpoint of this place."""
        ...

    def arrived(self) -> Iterator[tuple[Request, Answer]]:
        """Waits a moment for requests to end."""
        ...

    def pressure(self) -> Pressure:
        """What the endpoint bears, now."""
        ...

    def drain(self, say: Callable[[str], None]) -> None:
        """After an interruption or an error: sends nothing more, and waits a while for what is in flight. say: takes a line."""
        ...

    def close(self) -> None:
        """Ends what ``start`` has opened."""
        ...


class LostError(Exception):
    """A sender died with an attempt, and the ledger does not have its answer."""

    def __init__(self, sent: bool) -> None:
        """sent: it was with the sender already, so that whether it was answered is not known."""
        super().__init__(f"the sender died; sent: {sent}")
        self.sent = sent


class Senders(Protocol):
    """A backend: sends attempts, on the pool's event loop, and stores what is answered before it says so."""

    def start(self, target: Target) -> None:
        """Starts what sends; called once, before the first attempt, by the thread that runs the pool."""
        ...

    async def attempt(self, work: Attempt) -> Outcome:
        """What came of an attempt. Raises LostError where its sender died with it."""
        ...

    async def close(self) -> None:
        """Closes connections and ledger, on the loop."""
        ...

    def stop(self) -> None:
        """Ends what ``start`` started; harmless where nothing was started."""
        ...
