"""``synalign evaluate``: how good the rows of a run are."""

from collections.abc import Mapping, Sequence
from typing import Any

from synalign_spark.api.run import Run, run
from synalign_spark.evaluation.figures import Value
from synalign_spark.evaluation.result import in_order, in_words

UNKNOWN = float("nan")


def evaluate_run(config: Sequence[str], settings: Sequence[str], progress: bool) -> dict[str, Any]:
    """Runs the stage ``evaluate`` where it is not done; the figures, the nearest pairs, sizes and what is not there as plain JSON values."""
    done = run(config, settings=settings, stage="evaluate", progress=progress)
    summary = done.manifest["evaluate"]["summary"]
    return {
        "run_id": done.cfg.run.id,
        "figures": _rows(done, "evaluation", "figure_group", "figure"),
        "pairs": _rows(done, "nearest_pairs", "rank"),
        "sizes": summary["sizes"],
        "skipped": summary["skipped"],
    }


def _rows(done: Run, table: str, *order: str) -> list[dict[str, Any]]:
    found = done.table(table)
    return [
        {name: None if value != value else value for name, value in row.items()}  # NaN is no JSON
        for row in found.sort_values(list(order), kind="stable").to_dict("records")
    ]


def words(found: Mapping[str, Any]) -> str:
    """The table that ``synalign evaluate`` prints, in the order of the library's."""
    values: dict[str, dict[str, Value]] = {}
    for row in found["figures"]:
        ends = (UNKNOWN if row[end] is None else row[end] for end in ("low", "high"))
        values.setdefault(row["figure"], {})[row["kind"]] = Value(row["value"], *ends)
    return in_words({name: values[name] for name in in_order(values)}, found["sizes"], found["skipped"])
