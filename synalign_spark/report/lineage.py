"""From a weighted row back to the real rows it came from.

weight <- synthetic <- attributes <- demonstrations <- cluster <- corpus row. The walk asks for a few
rows by key at a time, so it runs over Spark tables and over files read without Spark alike.
"""

from collections.abc import Iterable
from typing import Protocol

from synalign_spark.report.findings import Row
from synalign_spark.storage import tables
from synalign_spark.storage.tables import Table

_SYNTHETIC = ["doc_id", "text", "strategy", "model", "request_id", "attribute_set_id", "set_rank", "cluster_id"]
_ATTRIBUTE_SET = ["attribute_set_id", "attributes", "demo_ids"]
_CALL = ["request_id", "prompt_hash"]
_REAL = ["doc_id", "text", "label", "source_id"]
_PLACE = ["doc_id", "cluster_id", "sq_distance"]


class Fetch(Protocol):
    """Rows of ``table`` whose column ``key`` is one of ``values`` (few), with the named columns; none where the table is missing."""

    def __call__(self, table: Table, key: str, values: list[str], columns: list[str]) -> list[Row]: ...


def with_lineage(weighted: list[Row], fetch: Fetch) -> list[Row]:
    """The rows with text, strategy, model, call, attributes and the real rows behind them.

    weighted: rows with doc_id, label, weight. Each returned row adds text, strategy, model, request_id,
    cluster_id, attributes (name to value) and demonstrations (list of doc_id, label, text, cluster_id,
    sq_distance, source_id). A synthetic row without an attribute set has no attributes and no demonstrations."""
    written = _by(_ask(fetch, tables.SYNTHETIC, "doc_id", (row["doc_id"] for row in weighted), _SYNTHETIC), "doc_id")
    attribute_sets = _by(
        _ask(fetch, tables.ATTRIBUTES, "attribute_set_id", (row["attribute_set_id"] for row in written.values()), _ATTRIBUTE_SET),
        "attribute_set_id",
    )
    prompts = _by(_ask(fetch, tables.CALLS, "request_id", (row["request_id"] for row in written.values()), _CALL), "request_id")
    shown = [doc_id for attribute_set in attribute_sets.values() for doc_id in attribute_set["demo_ids"] or []]
    real = _by(_ask(fetch, tables.CORPUS, "doc_id", shown, _REAL), "doc_id")
    places = _by(_ask(fetch, tables.CLUSTERS, "doc_id", shown, _PLACE), "doc_id")
    found = []
    for row in weighted:
        text = written.get(row["doc_id"], dict.fromkeys(_SYNTHETIC))
        attribute_set = attribute_sets.get(text["attribute_set_id"], {"attributes": {}, "demo_ids": []})
        demonstrations = [{**dict.fromkeys(_PLACE), **real[i], **places.get(i, {})} for i in attribute_set["demo_ids"] or [] if i in real]
        found.append(
            {
                **row,
                **{name: text[name] for name in _SYNTHETIC if name != "doc_id"},
                "prompt_hash": prompts.get(text["request_id"], {}).get("prompt_hash"),
                "attributes": dict(attribute_set["attributes"] or {}),
                "demonstrations": demonstrations,
            }
        )
    return found


def _ask(fetch: Fetch, table: Table, key: str, values: Iterable[str | None], columns: list[str]) -> list[Row]:
    wanted = sorted({value for value in values if value is not None})
    return fetch(table, key, wanted, columns) if wanted else []


def _by(rows: list[Row], key: str) -> dict[str, Row]:
    return {row[key]: row for row in rows}
