"""The requests that a pool has still to send."""

import bisect
import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from synalign_spark.generation.calls import Request

Label = str | None


class Waiting:
    """Requests in the order of the plan. Further ones may come, at any place, while others are on their way.

    A label whose calls brought nothing goes ahead of its places by as many of its calls, so that the labels are even whenever the sending
    stops. What is sent in all stays the same, and with it what the plan makes of the answers.

    >>> len(Waiting())
    0
    """

    def __init__(self, requests: Iterable[Request] = (), places: Mapping[Label, Sequence[int]] | None = None) -> None:
        """requests: for the places 0, 1, 2, ...; places: of each label's calls for rows, ascending; without them none goes ahead."""
        self._heaps: defaultdict[Label, list[tuple[int, str]]] = defaultdict(list)
        self._known: dict[str, tuple[int, Request]] = {}  # by id; those that were sent too, since they may be lost on their way
        self._places, self._lost = places or {}, Counter[Label]()
        for place, request in enumerate(requests):
            self.add(place, request)

    def __len__(self) -> int:
        return sum(map(len, self._heaps.values()))

    def add(self, place: int, request: Request) -> None:
        """place: the smallest goes first."""
        self._known[request.request_id] = (place, request)
        heapq.heappush(self._heaps[request.label], (place, request.request_id))

    def first(self) -> Request:
        """The next one, which stays. Raises ValueError where there is none."""
        return self._known[self._heaps[self._next_label()][0][1]][1]

    def take(self) -> Request:
        """The next one, which goes. Raises ValueError where there is none."""
        return self._known[heapq.heappop(self._heaps[self._next_label()])[1]][1]

    def put_back(self, request: Request) -> None:
        """A request that was taken waits again, at its old place."""
        heapq.heappush(self._heaps[request.label], (self._known[request.request_id][0], request.request_id))

    def ended(self, request_id: str) -> None:
        """A request that will not come back: it is forgotten."""
        self._known.pop(request_id, None)

    def lost(self, label: Label, calls: float) -> None:
        """So many calls of a label brought no rows, or parts of calls."""
        self._lost[label] += calls  # type: ignore[assignment]

    def drop(self, labels: Collection[Label]) -> set[str]:
        """Requests of these labels are not sent. Returns their ids."""
        return {request_id for label in labels for _, request_id in self._heaps.pop(label, [])}

    def _next_label(self) -> Label:
        return min((label for label, heap in self._heaps.items() if heap), key=self._turn)

    def _turn(self, label: Label) -> tuple[int, int]:
        """When the first request of a label goes, against those of others."""
        place, places = self._heaps[label][0][0], self._places.get(label, ())
        ahead = round(self._lost[label])
        if not ahead or not places:
            return place, place
        at = bisect.bisect_left(places, place) - ahead
        return (min(place, places[min(at, len(places) - 1)]) if at >= 0 else at), place
