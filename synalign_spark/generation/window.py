"""How many requests an endpoint bears at once, learnt from its answers, and what to do when it bears none.

Additive increase, multiplicative decrease, as TCP finds its rate (Chiu and Jain 1989): an endpoint tells by 429, 503, a timeout or a
refused connection that there are too many, whatever limits it has and whenever they change, and by answers that take nearly as long as
is waited for that there should not be more; but not where as many come while fewer requests are in flight: those are chance. An error of the server (500) or a lost connection says nothing of their number. Where one
fault after another comes without a success the endpoint is taken to be down: the circuit opens, and single probes go, ever more rarely, until one succeeds.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

TOLERATED = 0.05  # of the requests: faults that are rarer are of the requests, not of the endpoint
LONE_FAULTS = 3.0  # close together, that are chance where faults by chance are known
FEW, EVIDENCE = 0.15, 50  # share of faults that may be chance, and requests that show it
KEPT_REQUESTS = 2_000  # after which what they showed counts half
HOPELESS_CUTS, HOPELESS_FAULTS = 3, 8  # both without a success between
SLOW, TOO_SLOW = 0.5, 0.8  # share of the time-out that an answer took: the window grows no more, or shrinks
OF_NUMBER = ("rate_limited", "overloaded", "timeout")  # faults that fewer requests at once may mend
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
FIRST_OUTAGE_S = 60.0  # an endpoint that has not answered one call is given up sooner


@dataclass(frozen=True)
class Turn:
    """Leave to send one request. round: cuts of the window before it; probe: it is to ask whether the endpoint is up again, no more; level: how
    many are in flight with it, as a power of two."""

    round: int
    probe: bool
    level: int = 0


@dataclass(frozen=True)
class Refusal:
    """Why no request will go any more. status: 'not_asked' where a limit ends the run, whose key ``error`` is, or 'fatal'."""

    status: str
    error: str


@dataclass(frozen=True)
class Pressure:
    """What the pool has met so far. size, most: of the window, now and at its largest; smallest: it ever was; faults: requests by
    status; outages: times that the circuit opened; down_s: seconds since it is open, next_s: until the next probe, both None while it is closed; per_s: requests a second that may go, None without a limit."""

    size: int
    most: int
    smallest: int
    faults: dict[str, int] = field(default_factory=dict)
    outages: int = 0
    down_s: float | None = None
    next_s: float | None = None
    per_s: float | None = None

    def __str__(self) -> str:
        """For the progress line; empty while all is well."""
        last = ", ".join(f"{status} {count}" for status, count in sorted(self.faults.items()))
        if self.down_s is not None:
            return f"the endpoint is down for {self.down_s:.0f} s ({last}), next try in {self.next_s or 0.0:.0f} s"
        return f"slowed down to {self.size} of {self.most} requests at once ({last})" if self.size < self.most else ""


@dataclass(frozen=True)
class SaidPressure(Pressure):
    """said: what the progress line says of it."""

    said: str = ""

    def __str__(self) -> str:
        return self.said


def together(parts: Mapping[str, Pressure]) -> Pressure:
    """What several endpoints have met, by their names: sums, and what each says of itself."""
    found, rates = list(parts.values()), [part.per_s for part in parts.values() if part.per_s is not None]
    if len(found) == 1:
        return found[0]
    size, most, smallest, outages = (
        sum(values) for values in zip(*((one.size, one.most, one.smallest, one.outages) for one in found), strict=True)
    )
    faults = dict(sum((Counter(part.faults) for part in found), Counter[str]()))
    said = ", ".join(f"{name}: {part}" for name, part in parts.items() if str(part))
    return SaidPressure(size, most, smallest, faults, outages, per_s=sum(rates) if len(rates) == len(found) else None, said=said)


class Chance:
    """Faults that come however few requests are in flight: those of a limit come only where there are many.

    >>> chance = Chance()
    >>> for n in range(100): chance.ended(level=2, faulty=n % 20 == 0)
    >>> chance.share(below=3), chance.share(below=2)
    (0.05, 0.0)
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, float]] = {}  # requests and faults by level
        self._since = 0

    def ended(self, level: int, faulty: bool) -> None:
        requests, faults = self._seen.get(level, (0.0, 0.0))
        self._seen[level] = (requests + 1.0, faults + faulty)
        self._since += 1
        if self._since >= KEPT_REQUESTS:  # an endpoint changes
            self._since, self._seen = 0, {one: (n / 2, bad / 2) for one, (n, bad) in self._seen.items()}

    def share(self, below: int) -> float:
        """Of the requests that had fewer beside them; 0 where they say nothing, and where so many failed, of these or at the level itself,
        that it cannot be chance."""
        requests, faults = (sum(seen[place] for level, seen in self._seen.items() if level < below) for place in (0, 1))
        here, faults_here = self._seen.get(below, (0.0, 0.0))
        if requests < EVIDENCE or faults > FEW * requests or (here >= EVIDENCE and faults_here > FEW * here):
            return 0.0
        return faults / requests


class Window:
    """Requests in flight over the whole pool. The clock is the caller's: methods take ``now``, in seconds."""

    def __init__(self, most: int, outage_s: float) -> None:
        """most: requests in flight at most; outage_s: seconds without a success after which the endpoint is given up."""
        self._most, self._outage_s = most, outage_s
        self._size, self._smallest, self._known_good = float(most), most, float(most)
        self._chance = Chance()
        self._slow_start = 0.0  # below it a success adds a whole request
        self._round, self._cuts, self._streak, self._faulty = 0, 0, 0, 0.0
        self.flying = 0  # requests in flight
        self._down_since: float | None = None
        self._probe_at, self._pause, self._probing = 0.0, FIRST_PAUSE_S, False
        self._succeeded, self._outages = False, 0
        self._faults: Counter[str] = Counter()

    def wait(self, now: float) -> float:
        """0 when a request may go now, else the seconds to wait: infinity where only the end of another request can help."""
        if self._down_since is not None:
            return math.inf if self._probing else max(0.0, self._probe_at - now)
        return 0.0 if self.flying < int(self._size) else math.inf

    def given_up(self, now: float) -> bool:
        """Whether the endpoint has been down for too long. One with calls from before in flight may only be slow, and say 429 to the rest."""
        if self.flying > self._probing:
            return False
        longest = self._outage_s if self._succeeded else min(self._outage_s, FIRST_OUTAGE_S)
        return self._down_since is not None and now - self._down_since >= longest

    def enter(self) -> Turn:
        """Counts a request in, after ``wait`` was 0."""
        self.flying += 1
        self._probing = self._down_since is not None
        return Turn(self._round, self._probing, self.flying.bit_length())

    def lost(self, turn: Turn) -> None:
        """Counts a request out of whose end nothing is known."""
        self.flying -= 1
        self._probing = self._probing and not turn.probe

    def succeeded(self, turn: Turn, waited: float = 0.0) -> None:
        """Counts a request out that the endpoint has taken, whatever it said. waited: share of the time-out that it took."""
        self.lost(turn)
        self._succeeded, self._cuts, self._streak = True, 0, 0
        self._down_since, self._pause = None, FIRST_PAUSE_S
        if turn.probe:
            return
        self._chance.ended(turn.level, faulty=waited >= TOO_SLOW)
        if waited >= TOO_SLOW and turn.round == self._round:
            self._press(turn)
        elif waited < SLOW:
            self._known_good = self._size
            self._faulty = max(0.0, self._faulty - self._tolerated(turn))
            self._size = min(float(self._most), self._size + (1.0 if self._size < self._slow_start else 1.0 / self._size))

    def pressed(self, turn: Turn, status: str, now: float) -> None:
        """Counts a request out that the endpoint could not serve. Those sent before the last cut say nothing of the window after it."""
        self.lost(turn)
        self._faults[status] += 1
        self._streak += 1
        if turn.probe:
            self._pause = min(LONGEST_PAUSE_S, 2.0 * self._pause)
            self._probe_at = now + self._pause
        elif status in OF_NUMBER:
            self._chance.ended(turn.level, faulty=True)
        if self._down_since is not None or turn.round != self._round:
            return
        if status in OF_NUMBER or self._streak >= HOPELESS_FAULTS:  # any fault, where there is nothing else
            self._press(turn)
        if self._cuts >= HOPELESS_CUTS and self._streak >= HOPELESS_FAULTS:
            self._down_since, self._probe_at, self._outages = now, now + self._pause, self._outages + 1

    def pressure(self, now: float) -> Pressure:
        """What has been met so far."""
        down = None if self._down_since is None else now - self._down_since
        left = None if down is None else max(0.0, self._probe_at - now)
        return Pressure(int(self._size), self._most, self._smallest, dict(self._faults), self._outages, down, left)

    def _tolerated(self, turn: Turn) -> float:
        """The share of faults that are not of the number of requests."""
        return max(TOLERATED, 2.0 * self._chance.share(turn.level))

    def _press(self, turn: Turn) -> None:
        """Counts a sign that there are too many, and cuts the window where they are more than chance."""
        self._faulty += 1.0
        least = LONE_FAULTS if self._chance.share(turn.level) > 0 and self._streak < HOPELESS_FAULTS else 0.0
        if self._faulty <= max(least, self._tolerated(turn) * self._size):
            return
        self._slow_start = max(1.0, self._known_good / 2.0)
        self._size = max(1.0, self._size / 2.0)
        self._smallest = min(self._smallest, int(self._size))
        self._round, self._cuts, self._faulty = self._round + 1, self._cuts + 1, 0.0
