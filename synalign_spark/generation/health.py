"""Tells a hopeless endpoint, or a hopeless label, from a bad patch."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from synalign_spark.errors import EndpointError
from synalign_spark.generation.calls import TRANSIENT, Answer
from synalign_spark.generation.reading import Parsed

HOPELESS_CALLS, HOPELESS_SHARE = 20, 0.9


@dataclass
class PoolHealth:
    """Faults that no single prompt is to blame for. describe: what went wrong so far, in words."""

    limit: int
    describe: Callable[[], str]
    streak: int = 0

    def arrived(self, answer: Answer) -> None:
        """Counts faults in the order of arrival. Raises EndpointError when call after call fails for good."""
        self.streak = self.streak + 1 if answer.status in TRANSIENT else 0
        if self.streak >= self.limit:
            raise EndpointError(
                f"{self.streak} calls in a row failed, all retries included (last: {answer.status}: {answer.error}); {self.describe()} "
                "stored answers are kept, start the run again to go on"
            )


@dataclass
class LabelHealth:
    """What became of a label's calls, in the order of the plan.

    calls: all; useless: those without an answer that could be parsed, whose faults ``errors`` counts; asked: candidate rows."""

    calls: int = 0
    useless: int = 0
    asked: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def taken(self, answer: Answer, parsed: Parsed | None) -> None:
        """Counts a call. parsed: None for one without an answer."""
        self.calls += 1
        if parsed is None or parsed.status != "ok":
            self.useless += 1
            self.errors[f"{parsed.status if parsed else answer.status}: {answer.error or (parsed.detail if parsed else '')}"] += 1

    def calls_on_trial(self, accepted: int) -> int | None:
        """Calls that may be made before the label is judged, at least one; None before its first call and once it has rows."""
        return max(1, HOPELESS_CALLS - self.calls) if self.calls and not accepted else None

    def hopeless(self, accepted: int, refused: Counter[str]) -> str | None:
        """Why the label should be given up, or None. accepted, refused: its rows."""
        if self.calls < HOPELESS_CALLS:
            return None
        if self.useless > HOPELESS_SHARE * self.calls:
            return f"{self.useless} of its first {self.calls} calls gave nothing usable; {describe(self.errors, refused)}"
        if not accepted:
            return f"no row of its first {self.calls} calls was accepted; {describe(self.errors, refused)}"
        return None


def describe(errors: Counter[str], refused: Counter[str]) -> str:
    """The commonest error and the refused rows, in words.

    >>> describe(Counter({"unparsable: no JSON in the answer": 3}), Counter(too_short=2))
    'the commonest error: unparsable: no JSON in the answer (3 calls); rows refused: too_short 2.'
    """
    parts = [f"the commonest error: {error[:400]} ({n} calls)" for error, n in errors.most_common(1)]
    parts += ["rows refused: " + ", ".join(f"{reason} {n}" for reason, n in refused.most_common())] if refused else []
    return "; ".join(parts) + ("." if parts else "")
