"""What each label is to have and still lacks, and the calls for rows that the next wave makes of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synalign_spark.core.sampling.quota import interleaved
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.generation.plan import FIRST_WAVE_CALLS, Label

MAX_WAVE_CALLS = 5_000  # so that a wave's prompts, a few kB each, stay far below 100 MB of the driver's memory
# Share of rows accepted that a wave counts on, at least: where fewer are, it asks for five times what lacks at most, and the next wave,
# which knows more, for the rest.
LEAST_YIELD = 0.2


def label_shares(counts: Mapping[Label, int], wanted: Mapping[str, float] | None, n_sets: Mapping[Label, int] | None) -> dict[Label, float]:
    """Share of each label, summing to 1: as configured, else as in the corpus.

    counts: corpus rows a label; n_sets: demonstration sets a label, for strategies that show demonstrations, else None.
    Labels without a demonstration set are left out of the corpus's shares. Raises ConfigError for a configured label that
    the corpus does not have or that nothing can be shown for, DataError when no label is left.

    >>> label_shares({"good": 75, "bad": 25, "rare": 4}, None, {"good": 3, "bad": 1})
    {'bad': 0.25, 'good': 0.75}
    """
    usable = {label: n for label, n in counts.items() if n > 0 and (n_sets is None or n_sets.get(label, 0) > 0)}
    if not usable:
        raise DataError(
            "generate: the demonstrations table names no label of the corpus; run the select stage again (more select.demonstration_sets)"
        )
    if wanted is None:
        total = sum(usable.values())
        return {label: usable[label] / total for label in sorted(usable, key=str)}
    unknown = sorted(set(wanted) - {str(label) for label in usable})
    if unknown:
        known = ", ".join(sorted(map(str, usable)))
        raise ConfigError(f"generate.label_shares names {unknown}, which have no rows or no demonstrations; labels are: {known}")
    total_share = sum(wanted.values())
    return {label: wanted[label] / total_share for label in sorted(wanted)}


@dataclass(frozen=True)
class Demand:
    """One label before a wave. quota: rows that it is to have; accepted: those that it has; asked: candidate rows so far;
    calls: that it may be asked at most, None for no limit; rows_a_call: that one may ask for.

    >>> Demand("good", quota=24, accepted=20, asked=40, rows_a_call=5).candidates
    8
    """

    label: Label
    quota: int
    accepted: int
    asked: int
    rows_a_call: int
    calls: int | None = None

    @property
    def accepted_share(self) -> float | None:
        """Of its candidate rows; None before there are any."""
        return self.accepted / self.asked if self.asked else None

    @property
    def expected_share(self) -> float:
        """Share of further candidates that will be accepted: as so far, all of them before any is known."""
        return 1.0 if self.accepted_share is None else max(self.accepted_share, LEAST_YIELD)

    @property
    def candidates(self) -> int:
        """Candidate rows to ask for, so that those that it lacks come out of them."""
        return math.ceil((self.quota - self.accepted) / self.expected_share)


def wave_room(waves: int) -> int:
    """Calls for rows that a wave may have: each rests on twice as many results as the one before. waves: before it.

    >>> wave_room(0), wave_room(1), wave_room(99)
    (20, 40, 5000)
    """
    return min(FIRST_WAVE_CALLS << min(waves, 20), MAX_WAVE_CALLS)


def next_calls(demands: Sequence[Demand], most_calls: int, most_rows: int) -> list[tuple[Label, int]]:
    """The next calls for rows in their order, each with its label and the rows that it asks for: so that the labels fill up evenly, and
    none is asked for more than it needs.

    demands: of labels that lack rows; most_calls, most_rows: of all labels together.

    >>> next_calls([Demand("a", 6, 0, 0, 5), Demand("b", 1, 0, 0, 5)], most_calls=20, most_rows=100)
    [('a', 5), ('a', 1), ('b', 1)]
    """
    if not demands:
        return []
    gain = [demand.rows_a_call * demand.expected_share for demand in demands]
    needed = [math.ceil(demand.candidates / demand.rows_a_call) for demand in demands]
    calls = [n if demand.calls is None else min(n, demand.calls) for demand, n in zip(demands, needed, strict=True)]
    have, targets = [demand.accepted for demand in demands], [demand.quota for demand in demands]
    left, planned = [demand.candidates for demand in demands], []
    for place in interleaved(have, targets, gain, calls, most_calls):
        n_rows = min(demands[place].rows_a_call, left[place], most_rows)
        if n_rows < 1:
            break
        left[place], most_rows = left[place] - n_rows, most_rows - n_rows
        planned.append((demands[place].label, n_rows))
    return planned
