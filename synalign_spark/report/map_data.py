"""What the script of the map knows of its rows: places, texts and lineage, as JSON that no page takes for markup.

Texts are cut so that they fit a budget of characters: some 10 MB of page at 20,000 rows a side, whatever the rows are.
"""

import json
from typing import Any

from synalign_spark.formatting import cut
from synalign_spark.report.findings import MapPoints, Row
from synalign_spark.report.map_picture import label_places, placed

ROW_BUDGET, DEMONSTRATION_BUDGET, ATTRIBUTE_BUDGET = 4_000_000, 2_000_000, 1_500_000  # characters on one page
LONGEST, SHORTEST = 200, 20  # characters of a text
ID_CHARS = 12
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def map_json(points: MapPoints) -> str:
    """The rows of the map as JSON for a ``<script type="application/json">``; empty where no row is known by its text.

    Columns a side: x, y, label, id, text; for synthetic rows weight (over uniform), capped (why), set (place among the sets of attributes and
    demonstrations, -1 for none). A demonstration that is on the map is named by its place among the real rows."""
    if not points.real_rows or not points.synthetic_rows:
        return ""
    order, real_labels, synthetic_labels = label_places(points)
    real, synthetic = placed(points)
    longest = fitting(len(real) + len(synthetic), ROW_BUDGET)
    sets, demonstrations = _sets(points)
    written = {
        "weight": [float(f"{value:.3g}") for value in points.relative],
        "capped": [row["capped_by"] for row in points.synthetic_rows],
        "set": [sets["place"].get(row["attribute_set_id"], -1) for row in points.synthetic_rows],
    }
    found = {
        "labels": [None if label is None else cut(label, 60) for label in order],
        "real": _side(real, points.real_labels, order, real_labels, points.real_rows, longest),
        "synthetic": _side(synthetic, points.synthetic_labels, order, synthetic_labels, points.synthetic_rows, longest) | written,
        "sets": sets["found"],
        "demonstrations": demonstrations,
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).translate(_UNSAFE)


def fitting(n: int, budget: int) -> int:
    """Characters of each of n texts, so that all of them fit the budget as long as they can be read at all.

    >>> fitting(4_000, 4_000_000), fitting(40_000, 4_000_000), fitting(10**7, 4_000_000)
    (200, 100, 20)
    """
    return max(SHORTEST, min(LONGEST, budget // max(n, 1)))


def _side(xy: Any, labels: list[str | None], order: list[str | None], drawn: list[int], rows: list[Row], longest: int) -> dict[str, Any]:
    place = {label: i for i, label in enumerate(order)}
    return {
        "x": xy[:, 0].tolist(),
        "y": xy[:, 1].tolist(),
        "label": [place[label] for label in labels],
        "drawn": drawn,  # the class of its path
        "id": [row["doc_id"][:ID_CHARS] for row in rows],
        "text": [cut(row["text"], longest) for row in rows],
    }


def _sets(points: MapPoints) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sets of attributes and demonstrations that rows of the map came from, with their places by id; and the demonstrations, each once."""
    on_map = {row["doc_id"]: i for i, row in enumerate(points.real_rows)}
    wanted = {row["attribute_set_id"] for row in points.synthetic_rows} & set(points.sets)
    ids = sorted(wanted)
    shown = sorted({doc_id for name in ids for doc_id in points.sets[name]["demo_ids"]})
    number = {doc_id: i for i, doc_id in enumerate(shown)}
    longest = fitting(sum(doc_id not in on_map for doc_id in shown), DEMONSTRATION_BUDGET)
    values = fitting(sum(len(points.sets[name]["attributes"]) for name in ids), ATTRIBUTE_BUDGET)
    found = [
        {
            "attributes": [[cut(name, 40), cut(value, values)] for name, value in sorted(points.sets[one]["attributes"].items())],
            "shown": [number[doc_id] for doc_id in points.sets[one]["demo_ids"]],
        }
        for one in ids
    ]
    demonstrations = {
        "id": [doc_id[:ID_CHARS] for doc_id in shown],
        "real": [on_map.get(doc_id, -1) for doc_id in shown],
        "text": ["" if doc_id in on_map else cut(points.shown_texts.get(doc_id), longest) for doc_id in shown],
    }
    return {"found": found, "place": {name: i for i, name in enumerate(ids)}}, demonstrations
