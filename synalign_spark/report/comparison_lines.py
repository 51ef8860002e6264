"""The numbers of two runs as lines: both values, and the second less the first."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from synalign_spark.formatting import duration, number, points, share, share_interval
from synalign_spark.report.comparison_side import Side
from synalign_spark.report.terms import REFUSALS
from synalign_spark.report.verdict import NORMAL_95, three_figures

NOT_ALIKE = "does not compare"


@dataclass(frozen=True)
class Line:
    """A number of both runs. term: where its name is explained; differ: the second less the first, with its interval where there is one."""

    name: str
    term: str | None
    first: str
    second: str
    differ: str


def difference(values: Sequence[float | None], errors: Sequence[float | None]) -> tuple[float, float] | None:
    """The second value less the first, and the half width of its 95% interval; None where a value or an error is not known.

    >>> difference((1.0, 1.5), (0.3, 0.4))
    (0.5, 0.98)
    """
    if any(one is None or not math.isfinite(one) for one in (*values, *errors)):
        return None
    (before, after), (error, other) = ([float(one or 0.0) for one in pair] for pair in (values, errors))
    return after - before, NORMAL_95 * math.hypot(error, other)


def numbers(first: Side, second: Side, comparable: bool) -> list[Line]:
    """Does it help, how close, and of how many rows. comparable: whether what was measured of both can be subtracted."""
    gain = difference(pair(first, second, "align.gain"), pair(first, second, "align.gain_error"))
    told = "–" if gain is None else f"{points(gain[0])} points ({points(gain[0] - gain[1])} to {points(gain[0] + gain[1])})"
    lines = [_line("Does it help, beside real rows", "points", (_answer(one, 0) for one in (first, second)), told)]
    lines.append(_closed(first, second, None, "How close: share of the distance that the weights close"))
    for name, place in (("MMD² to held-out real rows, before weighting", "before"), ("MMD² to held-out real rows, weighted", "after")):
        values, errors = pair(first, second, f"align.mmd2_{place}"), pair(first, second, f"align.mmd2_{place}_error")
        lines.append(_line(name, "MMD²", (_mmd2(one, place) for one in (first, second)), _number_difference(difference(values, errors))))
    alone = pair(first, second, "classifier.gain")
    lines.append(
        _line(
            "What the weights gain where synthetic rows stand alone, points",
            "downstream classifier",
            map(_points, alone),
            _points(_less(alone)),
        )
    )
    lines = lines if comparable else [replace(line, differ=NOT_ALIKE) for line in lines]
    lines.append(_counted("Real rows", "real rows", pair(first, second, "rows.real.total")))
    lines.append(_counted("Synthetic rows", "synthetic rows", pair(first, second, "rows.synthetic.total")))
    lines.append(_counted("Effective rows", "effective rows", pair(first, second, "align.ess")))
    return lines


def cost(first: Side, second: Side) -> list[Line]:
    """Calls, tokens, money and time."""
    lines = [
        _counted("Calls", "calls", pair(first, second, "generate.calls")),
        _counted("Prompt tokens", None, pair(first, second, "generate.tokens.prompt")),
        _counted("Completion tokens", None, pair(first, second, "generate.tokens.completion")),
    ]
    dollars = pair(first, second, "generate.cost")
    lines.append(
        _line("Cost, USD", None, (("no prices" if one is None else f"{one:,.4f}") for one in dollars), _signed(_less(dollars), ",.4f"))
    )
    each = tuple(_ratio(one.get("generate.cost"), one.get("generate.accepted")) for one in (first, second))
    lines.append(
        _line(
            "USD for 1,000 accepted rows",
            None,
            (("–" if one is None else f"{1_000 * one:,.4f}") for one in each),
            _signed(_less(each, 1_000), ",.4f"),
        )
    )
    took = (first.seconds, second.seconds)
    sign = "+" if took[1] > took[0] else "-" if took[1] < took[0] else ""
    lines.append(_line("Time of all stages", None, map(duration, took), f"{sign}{duration(abs(took[1] - took[0]))}"))
    return lines


def labels(first: Side, second: Side, comparable: bool) -> list[Line]:
    """The share of the distance that is closed, label by label; none where there are no labels."""
    names = sorted({label for one in (first, second) for name, label in one.metrics if name == "align.closed_share" and label is not None})
    lines = [replace(_closed(first, second, label, label), term=None) for label in names]
    return lines if comparable else [replace(line, differ=NOT_ALIKE) for line in lines]


def refused(first: Side, second: Side) -> list[Line]:
    """The acceptance rate, and refused rows by reason, most first."""
    counts = [one.findings.generation.refused for one in (first, second)]
    order = sorted({*counts[0], *counts[1]}, key=lambda reason: (-max(count.get(reason, 0) for count in counts), reason))
    lines = [
        _counted(REFUSALS.get(reason, reason), None, (float(counts[0].get(reason, 0)), float(counts[1].get(reason, 0)))) for reason in order
    ]
    shares = pair(first, second, "generate.acceptance")
    less = _less(shares)
    told = "–" if less is None else f"{points(less)} points"
    return [Line("Acceptance rate", "acceptance rate", share(shares[0]), share(shares[1]), told), *lines]


def pair(first: Side, second: Side, name: str, label: str | None = None) -> tuple[float | None, float | None]:
    """A metric of both runs."""
    return first.get(name, label), second.get(name, label)


def _closed(first: Side, second: Side, label: str | None, name: str) -> Line:
    values = [tuple(one.get(f"align.closed_share{end}", label) for end in ("", "_low", "_high")) for one in (first, second)]
    less = _less((values[0][0], values[1][0]))
    return _line(name, "closed", (share_interval(*one) for one in values), "–" if less is None else f"{points(less)} points")


def _answer(one: Side, place: int) -> str:
    figures = three_figures(one.findings)
    return figures[place].answer if figures else "–"


def _mmd2(one: Side, place: str) -> str:
    value, low, high = (one.get(f"align.mmd2_{place}{end}") for end in ("", "_low", "_high"))
    return number(value) if low is None or high is None else f"{number(value)} ({number(low)} to {number(high)})"


def _line(name: str, term: str | None, shown: Iterable[str], differ: str) -> Line:
    first, second = shown
    return Line(name, term, first, second, differ)


def _counted(name: str, term: str | None, values: tuple[float | None, float | None]) -> Line:
    shown = ["–" if one is None else number(round(one)) for one in values]
    return _line(name, term, shown, _signed(_less(values), ",.0f"))


def _number_difference(found: tuple[float, float] | None) -> str:
    if found is None:
        return "–"
    value, margin = found
    return f"{'+' if value > 0 else ''}{number(value)} ({number(value - margin)} to {number(value + margin)})"


def _points(value: float | None) -> str:
    return "–" if value is None else points(value)


def _less(values: Sequence[float | None], times: float = 1.0) -> float | None:
    before, after = values
    return None if before is None or after is None else times * (after - before)


def _signed(value: float | None, form: str) -> str:
    """A difference with its sign, none before nothing."""
    if value is None:
        return "–"
    shown = format(abs(value), form)
    return shown if not shown.strip("0.,") else f"{'+' if value > 0 else '-'}{shown}"


def _ratio(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else value / of
