"""The table of the paper's comparison: mean and standard error over seeds of each row, task and student."""

import math
from collections.abc import Sequence
from typing import Any

GOLD = "Gold (real rows)"
MEASURES = ("accuracy", "macro_f1")


def mean_and_error(values: Sequence[float]) -> list[float | None]:
    """In percent: the mean, and the standard error over seeds, None for one value.

    >>> mean_and_error([0.5, 0.7])
    [60.0, 10.0]
    >>> mean_and_error([0.5])
    [50.0, None]"""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return [round(100 * mean, 1), None]
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return [round(100 * mean, 1), round(100 * math.sqrt(variance / len(values)), 1)]


def summarised(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a source, task and row, in the order in which they came: seeds, rows, and [mean, error] of each measure by student; errors
    of runs without scores."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for score in scores:
        groups.setdefault((score["source"], score["task"], score["row"]), []).append(score)
    return [{"source": source, "task": task, "row": row, **_of_group(found)} for (source, task, row), found in groups.items()]


def _of_group(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    done = [score["scores"] for score in found if "scores" in score]
    entry: dict[str, Any] = {"seeds": len(done), "rows": [score["rows"] for score in found]}
    if errors := [score["error"] for score in found if "error" in score]:
        entry["errors"] = errors
    for measure in MEASURES:
        entry[measure] = {student: mean_and_error([one[student][measure] for one in done]) for student in (done[0] if done else ())}
    return entry


def text_table(tables: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row of the comparison a line, accuracy / macro F1 of each student; "-" where there is nothing, with the reason below."""
    names = list(dict.fromkeys(student for entry in tables for student in entry["accuracy"]))
    lines = [f"| source | task | row | rows | {' | '.join(names)} |", "|" + "---|" * (4 + len(names))]
    for entry in tables:
        cells = [" / ".join(_cell(entry[measure].get(name)) for measure in MEASURES) for name in names]
        rows = sorted(set(entry["rows"]))
        counted = f"{rows[0]:,}" if len(rows) == 1 else f"{rows[0]:,} to {rows[-1]:,}"
        lines.append(f"| {entry['source']} | {entry['task']} | {entry['row']} | {counted} | {' | '.join(cells)} |")
    lines += [f"{entry['task']}, {entry['row']}: {reason}" for entry in tables for reason in entry.get("errors", ())]
    return "\n".join(lines)


def _cell(value: list[float | None] | None) -> str:
    if value is None:
        return "-"
    mean, error = value
    return f"{mean:.1f}" if error is None else f"{mean:.1f} ± {error:.1f}"
