"""The requests that a pool has still to send."""

import heapq
from collections.abc import Iterable

from synalign_spark.generation.calls import Request


class Waiting:
    """Requests in the order of the plan. Further ones may come, at any place, while others are on their way.

    >>> len(Waiting())
    0
    """

    def __init__(self, requests: Iterable[Request] = ()) -> None:
        """requests: for the places 0, 1, 2, ..."""
        self._heap: list[tuple[int, str]] = []
        self._known: dict[str, tuple[int, Request]] = {}  # by id; those that were sent too, since they may be lost on their way
        for place, request in enumerate(requests):
            self.add(place, request)

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, place: int, request: Request) -> None:
        """place: the smallest goes first."""
        self._known[request.request_id] = (place, request)
        heapq.heappush(self._heap, (place, request.request_id))

    def first(self) -> Request:
        """The next one, which stays. Raises IndexError where there is none."""
        return self._known[self._heap[0][1]][1]

    def take(self) -> Request:
        """The next one, which goes. Raises IndexError where there is none."""
        return self._known[heapq.heappop(self._heap)[1]][1]

    def put_back(self, request: Request) -> None:
        """A request that was taken waits again, at its old place."""
        heapq.heappush(self._heap, (self._known[request.request_id][0], request.request_id))
