"""The ``evaluate`` stage: corpus, synthetic, weights, embeddings -> evaluation, nearest_pairs."""

import pyarrow as pa
from pyspark.sql import DataFrame

from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.errors import ConfigError
from synalign_spark.evaluation.result import Evaluation
from synalign_spark.evaluation.rows import Rows
from synalign_spark.evaluation.split import SAMPLE, evaluated
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.spark.keys import unit
from synalign_spark.storage import tables
from synalign_spark.udfs.arrow import to_matrix

SHOWN = ("mmd2", "coverage", "copied_share", "accuracy.embeddings")  # in the stage's line


def run(ctx: Context) -> Summary:
    """Evaluates a sample of the run's rows (``evaluate.max_rows`` a side) beside its held-out real ones, on the driver."""
    if not ctx.cfg.align.holdout:
        raise ConfigError("align.holdout: is 0, so that no real row is held out to compare with; set it above 0, or leave evaluate out")
    corpus = ctx.lake.read(tables.CORPUS).selectExpr("doc_id", "label", "text", "coalesce(prior_weight, 1.0) AS weight")
    written = ctx.lake.read(tables.SYNTHETIC).select("doc_id", "text")
    weights = ctx.lake.read(tables.WEIGHTS).select("doc_id", "label", "weight").join(written, "doc_id")
    (real_ids, real), (synthetic_ids, synthetic) = _sample(ctx, corpus, "real"), _sample(ctx, weights, "synthetic")
    found = evaluated(real_ids, real, synthetic, ctx.cfg.align.holdout, ctx.cfg.run.seed)
    ctx.lake.write(tables.EVALUATION, _frame(ctx, figure_rows(found), tables.EVALUATION))
    ctx.lake.write(tables.NEAREST_PAIRS, _frame(ctx, _pairs(found, synthetic_ids), tables.NEAREST_PAIRS))
    figures = {
        f"{figure.partition('.')[0]}_{kind}": round(found[figure, kind].value, 4)
        for figure in SHOWN
        for kind in ("uniform", "weighted")
        if figure in found
    }
    return {**figures, "sizes": found.sizes, "skipped": list(found.skipped)}


def figure_rows(found: Evaluation) -> list[dict[str, object]]:
    """Rows of EVALUATION."""
    return [{**row, "figure_group": row["group"], "figure": row["name"], "kind": row["rows"]} for row in found.rows]


def _pairs(found: Evaluation, ids: list[str]) -> list[dict[str, object]]:
    """Rows of NEAREST_PAIRS. ids: of the synthetic rows."""
    return [{**pair, "rank": rank, "doc_id": ids[pair["row"]], "real_doc_id": pair["real_id"]} for rank, pair in enumerate(found.pairs)]


def _sample(ctx: Context, rows: DataFrame, origin: str) -> tuple[list[str], Rows]:
    """The ids and rows of the smallest hashes. rows: doc_id, label, text, weight."""
    vectors = ctx.lake.read(tables.EMBEDDINGS, origin=origin).select("doc_id", "embedding")
    chosen = rows.withColumn("u", unit(ctx.cfg.run.seed, SAMPLE, "doc_id")).orderBy("u", "doc_id").limit(ctx.cfg.evaluate.max_rows)
    table = to_arrow(chosen.join(vectors, "doc_id").orderBy("u", "doc_id"))  # at most max_rows
    x = to_matrix(table.column("embedding").combine_chunks())
    labels = table.column("label").to_pylist()
    known = None if None in labels else labels
    return table.column("doc_id").to_pylist(), Rows(x, table.column("weight").to_numpy(), table.column("text").to_pylist(), known)


def _frame(ctx: Context, rows: list[dict[str, object]], table: tables.Table) -> DataFrame:
    names = table.arrow.names
    return from_arrow(ctx.spark, pa.Table.from_pylist([{name: row[name] for name in names} for row in rows], table.arrow))
