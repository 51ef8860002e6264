"""Tells a hopeless endpoint, or a hopeless label, from a bad patch."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from synalign_spark.errors import EndpointDownError
from synalign_spark.generation.calls import TRANSIENT, Answer
from synalign_spark.generation.reading import Parsed

HOPELESS_CALLS, HOPELESS_SHARE = 20, 0.9  # where half of the calls are of use, more than 18 of 20 are not once in 50,000 times
MOST_KINDS = 100  # of faults that are told apart
BARREN_ROWS = 100  # of a label one after another: where a tenth is accepted that happens once in 38,000 times
OWN_WORDS = re.compile(r"[\w-]*\d[\w-]*|\b[0-9a-f]{8,}\b")  # ids and numbers, which tell no faults apart


@dataclass(frozen=True)
class Fault:
    """What was wrong with a call. Faults are equal that differ in ids and numbers alone; example: the message of one of them.

    >>> Counter([Fault.of("500: request 7f3a failed"), Fault.of("500: request 81bc failed")]).most_common(1)
    [(Fault(example='500: request 7f3a failed'), 2)]
    """

    kind: str = field(repr=False)
    example: str = field(compare=False)

    @classmethod
    def of(cls, message: str) -> "Fault":
        return cls(OWN_WORDS.sub("", message), message)


@dataclass
class PoolHealth:
    """Faults that no single prompt is to blame for. describe: what went wrong so far, in words."""

    limit: int
    describe: Callable[[], str]
    streak: int = 0
    last: str = ""
    labels: set[str | None] = field(default_factory=set)

    def arrived(self, answer: Answer, label: str | None) -> set[str | None]:
        """Counts faults in the order of arrival. Returns the labels of the calls, where one after another fails for good; else none."""
        if answer.status not in TRANSIENT:
            self.streak, self.labels = 0, set()
            return set()
        self.streak, self.last = self.streak + 1, f"{answer.status}: {answer.error}"
        self.labels.add(label)
        return self.labels if self.streak >= self.limit else set()

    def down(self) -> EndpointDownError:
        """The error where the endpoint is at fault."""
        return EndpointDownError(
            f"{self.streak} calls in a row failed, all retries included (last: {self.last}); {self.describe()} "
            "stored answers are kept, start the run again to go on"
        )

    def excuse(self) -> str:
        """Why the labels of the calls are given up, where the endpoint takes others; forgets them."""
        words = f"{self.streak} calls in a row failed (last: {self.last}), and the endpoint takes other calls"
        self.streak, self.labels = 0, set()
        return words


@dataclass
class LabelHealth:
    """What became of a label's calls, in the order of the plan.

    calls: all but those that ask again; useless: those of them that gave nothing that could be parsed, asked again or not;
    faults: those of the endpoint, which another time may not have; asked: candidate rows; barren: those since the last accepted row,
    barren_calls the calls for them, and barren_useless those of them that gave nothing that could be parsed; errors: faults of all calls."""

    calls: int = 0
    useless: int = 0
    faults: int = 0
    asked: int = 0
    barren: int = 0
    barren_calls: int = 0
    barren_useless: int = 0
    errors: Counter[Fault] = field(default_factory=Counter)

    def taken(self, answer: Answer, parsed: Parsed | None, again: bool = False) -> None:
        """Counts a call. parsed: None for one without an answer; again: whether it repeats one that was of no use."""
        usable = parsed is not None and parsed.status == "ok"
        self.faults += answer.status in TRANSIENT
        if not again:
            self.calls += 1
            self.useless += not usable
        elif usable:
            self.useless -= 1
        if not usable:
            message = f"{parsed.status if parsed else answer.status}: {answer.error or (parsed.detail if parsed else '')}"
            self.errors[Fault.of(message)] += 1
            if len(self.errors) > MOST_KINDS:  # some quote the answer: memory is not to grow with the calls
                self.errors = Counter({fault: n for fault, n in self.errors.items() if n > 1})

    def brought(self, rows: int, accepted: int, usable: bool) -> None:
        """What a call for rows brought. rows: asked for, 0 where it repeats another; accepted: of them; usable: whether it could be parsed."""
        self.asked += rows
        if accepted:
            self.barren = self.barren_calls = self.barren_useless = 0
        elif rows:
            self.barren, self.barren_calls, self.barren_useless = (
                self.barren + rows,
                self.barren_calls + 1,
                self.barren_useless + (not usable),
            )

    def on_trial_again(self) -> None:
        """What its calls gave so far says nothing of those to come, which ask for less."""
        self.calls = self.useless = self.faults = self.barren = self.barren_calls = self.barren_useless = 0

    @property
    def ran_dry(self) -> bool:
        """Whether nothing has come for so long that nothing will: a model that repeats itself, or refuses from some point on."""
        return self.barren >= BARREN_ROWS and self.barren_calls >= HOPELESS_CALLS

    @property
    def repeats(self) -> bool:
        """Whether it ran dry for its rows, and not for answers that were none."""
        return self.ran_dry and self.barren_useless < self.barren_calls / 2

    @property
    def failing(self) -> bool:
        """Whether it was mostly the endpoint that failed."""
        return self.faults > self.useless / 2

    def calls_on_trial(self, accepted: int) -> int | None:
        """Calls that may be made before the label is judged, at least one; None before its first call and once it has rows."""
        return max(1, HOPELESS_CALLS - self.calls) if (self.calls or self.asked) and not accepted else None

    def hopeless(self, accepted: int, refused: Counter[str]) -> str | None:
        """Why the label should be given up, or None. accepted, refused: its rows."""
        if self.calls < HOPELESS_CALLS:
            return None
        if self.useless > HOPELESS_SHARE * self.calls:
            return f"{self.useless} of its first {self.calls} calls gave nothing usable; {describe(self.errors, refused)}"
        if not accepted:
            return f"no row of its first {self.calls} calls was accepted; {describe(self.errors, refused)}"
        if self.ran_dry:
            return f"none of its last {self.barren} rows was accepted; {describe(self.errors, refused)}"
        return None


def describe(errors: Counter[Fault], refused: Counter[str]) -> str:
    """The commonest error, by an example, and the refused rows, in words.

    >>> describe(Counter({Fault.of("unparsable: no JSON in the answer"): 3}), Counter(too_short=2))
    'the commonest error: unparsable: no JSON in the answer (3 calls); rows refused: too_short 2.'
    """
    parts = [f"the commonest error: {fault.example[:400]} ({n} calls)" for fault, n in errors.most_common(1)]
    parts += ["rows refused: " + ", ".join(f"{reason} {n}" for reason, n in refused.most_common())] if refused else []
    return "; ".join(parts) + ("." if parts else "")
