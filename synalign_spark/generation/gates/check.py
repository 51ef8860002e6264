"""What a gate is made of, and how it is held to the real rows.

A check looks at one row. What the real rows themselves are like is no fault: a check that more than ``TOLERATED`` of the
real rows fail is switched off (identifiers in a corpus of code, mail addresses in a corpus of mails), and one that too many
rows of one label fail is skipped for that label: a rare one is lost among all rows.
"""

import math
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field

Label = str | None
Find = Callable[[str, Label], str | None]  # what was found in a text with this label, in words; None where there is nothing wrong

TOLERATED = 0.01  # of the real rows
UNLIKELY = 0.05  # probability that as many real rows fail although no more than TOLERATED would
FEWEST_ROWS, FEWEST_FAILED = 5, 2  # of a label, before it decides for itself


@dataclass(frozen=True)
class Check:
    """One thing to look for. gate: the reason code of rows that fail; name: of the check, unique in its gate; of_template: whether the
    template of rows that are put together of parts may bring it ("Q: ... A: ..."): it looks at their parts alone."""

    gate: str
    name: str
    find: Find
    of_template: bool = False

    def __str__(self) -> str:
        return f"{self.gate}.{self.name}"


@dataclass(frozen=True)
class Checks:
    """Checks in their order, after calibration. switched_off: those that too many real rows fail, with the share that does;
    skipped: further ones that too many real rows of one label fail, by name and label, with the share of its rows."""

    active: tuple[Check, ...]
    switched_off: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, Mapping[Label, float]] = field(default_factory=dict)

    def looks(self, check: Check, label: Label) -> bool:
        """Whether a check is one for rows of a label."""
        return label not in self.skipped.get(str(check), ())

    def first(self, text: str, label: Label, has_parts: bool = False) -> tuple[str, str] | None:
        """(gate, what was found) of the first check that a text fails; None where it fails none. has_parts: whether a template made it of parts."""
        for check in self.active:
            if not (has_parts and check.of_template) and self.looks(check, label) and (found := check.find(text, label)):
                return check.gate, found
        return None

    def first_of_part(self, part: str, label: Label, gates: Container[str]) -> tuple[str, str] | None:
        """As ``first``, of a part of a row of the label. gates: whose checks. They are not told the label, as where a part is
        unpacked: "Yes: ..." may be what it says."""
        for check in self.active:
            if check.gate in gates and self.looks(check, label) and (found := check.find(part, None)):
                return check.gate, found
        return None


def calibrated(checks: Iterable[Check], rows: Iterable[tuple[str, Label]]) -> Checks:
    """The checks that the real rows pass. rows: (text, label) of real rows; without any, every check is kept.

    >>> shouts = Check("form", "shouts", lambda text, label: "capitals" if text.isupper() else None)
    >>> calibrated([shouts], [("a fine film", None), ("A DULL ONE", None), ("SAD", None)]).switched_off
    {'form.shouts': 0.667}
    >>> calibrated([shouts], [("a fine film", "a")] * 1_000 + [("SAD", "b")] * 5).skipped
    {'form.shouts': {'b': 1.0}}
    """
    rows, active, off, skipped = list(rows), [], {}, {}
    totals = Counter(label for _, label in rows)
    for check in checks:
        failed = Counter(label for text, label in rows if check.find(text, label) is not None)
        if too_many(failed.total(), len(rows)):
            off[str(check)] = round(failed.total() / len(rows), 3)
            continue
        active.append(check)
        found = {
            label: round(n / totals[label], 3)
            for label, n in failed.items()
            if n >= FEWEST_FAILED and totals[label] >= FEWEST_ROWS and too_many(n, totals[label])
        }
        if found:
            skipped[str(check)] = found
    return Checks(tuple(active), off, skipped)


def too_many(failed: int, n: int) -> bool:
    """Whether so many of n rows fail that more than TOLERATED do, beyond chance."""
    return failed > 0 and at_least(failed, TOLERATED * n) < UNLIKELY


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
