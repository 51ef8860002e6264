"""Two runs of one lake side by side: verdicts, numbers and what they differ by, settings that differ, refused rows. No Spark.

A difference is the second run's value less the first one's. Its interval takes both errors as independent; runs that
share their held-out real rows differ by less than that, so it rather hides a difference than makes one up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from synalign_spark.formatting import cut
from synalign_spark.report.comparison_lines import Line, cost, difference, labels, numbers, pair, refused
from synalign_spark.report.comparison_side import Side
from synalign_spark.report.verdict import Figure, headline, signal, three_figures

REAL_ROWS = ("run.seed", "align.holdout", "source.", "ingest.")  # keys, and beginnings of keys, that decide which real rows are held out
MEASURES = ("embed.", "align.bandwidth")  # of the models and of the kernel that measure with


@dataclass(frozen=True)
class Comparison:
    """What the page of two runs says. verdicts: signal, headline and three figures of each; not_alike: why distances and gains do not compare."""

    runs: tuple[str, str]
    verdicts: list[tuple[str, str, list[Figure]]]
    not_alike: str
    summary: str
    numbers: list[Line]
    cost: list[Line]
    labels: list[Line]
    refused: list[Line]
    settings: list[tuple[str, str, str]]


def compared(first: Side, second: Side) -> Comparison:
    """The two runs side by side."""
    not_alike = _not_alike(first, second)
    return Comparison(
        runs=(first.run_id, second.run_id),
        verdicts=[(signal(one.findings), headline(one.findings), three_figures(one.findings)) for one in (first, second)],
        not_alike=not_alike,
        summary=_summary(first, second, not_alike),
        numbers=numbers(first, second, comparable=not not_alike),
        cost=cost(first, second),
        labels=labels(first, second, comparable=not not_alike),
        refused=refused(first, second),
        settings=_settings(first, second),
    )


def _not_alike(first: Side, second: Side) -> str:
    if first.source != second.source:
        return "the runs have different real rows"
    for words, beginnings in (("the runs hold out different real rows", REAL_ROWS), ("the runs measure in different ways", MEASURES)):
        if keys := [key for key, _, _ in _settings(first, second) if key.startswith(beginnings)]:
            return f"{words} ({', '.join(keys)} differ{'s' if len(keys) == 1 else ''})"
    return ""


def _summary(first: Side, second: Side, not_alike: str) -> str:
    """One sentence: which run's rows help more, and which are closer to the real ones, beyond chance."""
    if not_alike:
        return f"Gains and distances do not compare: {not_alike}."
    rows = f"the rows of {second.run_id}"
    helps = _said(first, second, "align.gain", "how much the rows help", (f"{rows} help less", f"{rows} help more"))
    near = (f"{rows} are closer to held-out real rows", f"{rows} are farther from held-out real rows")
    text = f"{helps}; {_said(first, second, 'align.mmd2_after', 'how close the rows are', near)}"
    return f"{text[:1].upper()}{text[1:]}."


def _said(first: Side, second: Side, metric: str, what: str, smaller_larger: tuple[str, str]) -> str:
    """What the difference of a metric means in words."""
    found = difference(pair(first, second, metric), pair(first, second, f"{metric}_error"))
    if found is None:
        return f"{what} is not known of both"
    value, margin = found
    return f"no difference beyond chance in {what}" if abs(value) <= margin else smaller_larger[value > 0]


def _settings(first: Side, second: Side) -> list[tuple[str, str, str]]:
    """Keys whose values differ, of those that say what the run is to do; one that a run does not have is no difference to null."""
    keys = sorted({*first.settings, *second.settings})
    values = [(key, first.settings.get(key), second.settings.get(key)) for key in keys]
    return [(key, _shown(before), _shown(after)) for key, before, after in values if before != after]


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return cut(", ".join(_items(value)), 300) or "none"
    return "null" if value is None else cut(str(value).lower() if isinstance(value, bool) else str(value), 300)


def _items(value: Any) -> Iterable[str]:
    return (f"{key}: {inner}" for key, inner in value.items()) if isinstance(value, dict) else map(str, value)
