"""Texts and lineage of the rows on the map: some rows of a few tables, found by the same hash that drew the map.

What reaches the driver is bounded by ``report.map_rows``: as many rows a side, the attribute sets behind the synthetic
ones, and the demonstrations of these.
"""

from dataclasses import replace
from typing import Protocol

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.report.findings import MapPoints, Row
from synalign_spark.report.map_data import LONGEST
from synalign_spark.spark.keys import unit
from synalign_spark.storage import tables
from synalign_spark.storage.tables import Table

_SYNTHETIC = ("doc_id", "text", "attribute_set_id")


class Reader(Protocol):
    """What of the lake is needed."""

    def read(self, table: Table, **scope: str) -> DataFrame: ...

    def has_table(self, table: Table) -> bool: ...


def with_rows(points: MapPoints, real: pa.Table, synthetic: pa.Table, lake: Reader, seed: int) -> MapPoints:
    """The points with the texts of their rows, why a weight was capped, and what stands behind the synthetic rows.

    real, synthetic: doc_id and u of the points, by rising u, as :func:`synalign_spark.report.measures.hash_sample` drew them."""
    texts = _by_id(_drawn(lake.read(tables.CORPUS), real, seed, ("doc_id", "text")))
    written_rows = _drawn(lake.read(tables.SYNTHETIC), synthetic, seed, _SYNTHETIC)
    written = _by_id(written_rows)
    weights = lake.has_table(tables.WEIGHTS)
    capped = _by_id(_drawn(lake.read(tables.WEIGHTS), synthetic, seed, ("doc_id", "capped_by"))) if weights else {}
    sets = _sets(lake, written_rows) if lake.has_table(tables.ATTRIBUTES) else {}
    no_text, no_row, not_capped = {"text": None}, dict.fromkeys(_SYNTHETIC), {"capped_by": None}
    return replace(
        points,
        real_rows=[{"doc_id": i, "text": texts.get(i, no_text)["text"]} for i in real["doc_id"].to_pylist()],
        synthetic_rows=[
            {**written.get(i, no_row), "doc_id": i, "capped_by": capped.get(i, not_capped)["capped_by"]}
            for i in synthetic["doc_id"].to_pylist()
        ],
        sets=sets,
        shown_texts=_shown(lake, written_rows) if sets else {},
    )


def _drawn(rows: DataFrame, drawn: pa.Table, seed: int, columns: tuple[str, ...]) -> DataFrame:
    """The rows that the map drew, and no more than a few others: those whose hash is not above the largest one drawn."""
    last = drawn["u"][-1].as_py()
    shown = [_start("text") if name == "text" else F.col(name) for name in columns]
    return rows.where(unit(seed, "report", "doc_id") <= F.lit(last)).select(*shown)


def _behind(lake: Reader, written: DataFrame) -> DataFrame:
    return lake.read(tables.ATTRIBUTES).join(written.select("attribute_set_id").distinct(), "attribute_set_id", "left_semi")


def _sets(lake: Reader, written: DataFrame) -> dict[str, Row]:
    found = to_arrow(_behind(lake, written).select("attribute_set_id", "attributes", "demo_ids")).to_pylist(maps_as_pydicts="lossy")
    return {row["attribute_set_id"]: {"attributes": row["attributes"] or {}, "demo_ids": row["demo_ids"] or []} for row in found}


def _shown(lake: Reader, written: DataFrame) -> dict[str, str]:
    """Texts of the demonstrations by id."""
    ids = _behind(lake, written).select(F.explode("demo_ids").alias("doc_id")).distinct()
    rows = to_arrow(lake.read(tables.CORPUS).join(ids, "doc_id", "left_semi").select("doc_id", _start("text"))).to_pylist()
    return {row["doc_id"]: row["text"] for row in rows}


def _start(name: str) -> Column:
    """What a page could show of a text: twice as much as it does, since blanks are put together there."""
    return F.substring(name, 1, 2 * LONGEST).alias(name)


def _by_id(rows: DataFrame) -> dict[str, Row]:
    return {row["doc_id"]: row for row in to_arrow(rows).to_pylist()}
