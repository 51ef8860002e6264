"""What a gate is made of, and how it is held to the real rows.

A check looks at one row. What the real rows themselves are like is no fault: a check that more than ``TOLERATED`` of the
real rows fail is switched off (identifiers in a corpus of code, mail addresses in a corpus of mails).
"""

import math
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field

Label = str | None
Find = Callable[[str, Label], str | None]  # what was found in a text with this label, in words; None where there is nothing wrong

TOLERATED = 0.01  # of the real rows
UNLIKELY = 0.05  # probability that as many real rows fail although no more than TOLERATED would


@dataclass(frozen=True)
class Check:
    """One thing to look for. gate: the reason code of rows that fail; name: of the check, unique in its gate."""

    gate: str
    name: str
    find: Find

    def __str__(self) -> str:
        return f"{self.gate}.{self.name}"


@dataclass(frozen=True)
class Checks:
    """Checks in their order, after calibration. switched_off: those that too many real rows fail, with the share that does."""

    active: tuple[Check, ...]
    switched_off: Mapping[str, float] = field(default_factory=dict)

    def first(self, text: str, label: Label, gates: Container[str] | None = None) -> tuple[str, str] | None:
        """(gate, what was found) of the first check that a text fails; None where it fails none. gates: whose checks, None for all."""
        for check in self.active:
            if (gates is None or check.gate in gates) and (found := check.find(text, label)):
                return check.gate, found
        return None


def calibrated(checks: Iterable[Check], rows: Iterable[tuple[str, Label]]) -> Checks:
    """The checks that the real rows pass. rows: (text, label) of real rows; without any, every check is kept.

    >>> shouts = Check("form", "shouts", lambda text, label: "capitals" if text.isupper() else None)
    >>> calibrated([shouts], [("a fine film", None), ("A DULL ONE", None), ("SAD", None)]).switched_off
    {'form.shouts': 0.667}
    """
    rows, active, off = list(rows), [], {}
    for check in checks:
        failed = sum(check.find(text, label) is not None for text, label in rows)
        if failed and at_least(failed, TOLERATED * len(rows)) < UNLIKELY:
            off[str(check)] = round(failed / len(rows), 3)
        else:
            active.append(check)
    return Checks(tuple(active), off)


def at_least(count: int, expected: float) -> float:
    """The probability of ``count`` or more events where ``expected`` are expected (Poisson): one odd row of thirty proves nothing.

    >>> round(at_least(1, 0.3), 2), round(at_least(2, 0.3), 2)
    (0.26, 0.04)
    """
    term = below = math.exp(-expected)
    for n in range(1, count):
        term *= expected / n
        below += term
    return max(0.0, 1.0 - below)
