"""Sources written by hand, and what became of their rows."""

import json

from synalign_spark.config import IngestConfig, SourceConfig
from synalign_spark.spark.ingest import ingest
from synalign_spark.spark.source_layout import layout_of
from synalign_spark.spark.sources import read_source

LABEL = {"label_column": "label"}


def ingested(spark, path, limits=None, **keys):
    """(accepted rows as (text, label, weight), rejects as (reason, detail), notes), each sorted."""
    source = SourceConfig(path=str(path), **keys)
    layout = layout_of(source)
    with ingest(read_source(spark, source, layout=layout), source, IngestConfig(**(limits or {})), "real", layout=layout) as found:
        accepted = found.accepted.select("text", "label", "prior_weight").collect()
        return (
            sorted(tuple(row) for row in accepted),
            sorted(tuple(row) for row in found.rejects.select("reason", "detail").collect()),
            found.notes,
        )


def texts(found):
    return [row[:2] for row in found[0]]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(path, rows):
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))
