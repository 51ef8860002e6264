"""generate: the demonstrations become synthetic rows, written by a language model or brought in from elsewhere."""

from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.context import Context, Summary
from synalign_spark.errors import DataError
from synalign_spark.files import local_path
from synalign_spark.tables import ATTRIBUTES, CALLS, CORPUS, DEMONSTRATIONS, REFUSALS, REJECTS, SYNTHETIC

STRATEGIES_WITHOUT_DEMONSTRATIONS = ("simprompt", "attrprompt")
MAX_LABELS = 10_000


def run(ctx: Context) -> Summary:
    """Reads demonstrations and label counts; writes attributes, synthetic, refusals and calls."""
    cfg = ctx.cfg.generate
    counts = label_counts(ctx)
    if cfg.strategy == "imported":
        return import_rows(ctx, counts)
    from synalign_spark.llm.engine import generate

    folder = f"{ctx.cfg.lake.path.rstrip('/')}/_synalign/{ctx.cfg.run.id}"
    local = local_path(folder)
    demonstrations = ctx.lake.read(DEMONSTRATIONS) if cfg.strategy not in STRATEGIES_WITHOUT_DEMONSTRATIONS else _empty(ctx, DEMONSTRATIONS)
    result = generate(
        demonstrations.toArrow(),  # picks x select.demonstrations rows: some hundreds
        counts,
        cfg,
        ctx.cfg.run.seed,
        f"{folder}/ledger",
        ctx.progress,
        str(local) if local else None,
    )
    for table, rows in ((ATTRIBUTES, result.attributes), (CALLS, result.calls), (REFUSALS, result.refusals), (SYNTHETIC, result.synthetic)):
        ctx.lake.write(table, _frame(ctx, rows, table))
    return result.summary


def label_counts(ctx: Context) -> dict[str | None, int]:
    """Corpus rows by label, {None: n} without labels; one small row a label reaches the driver."""
    counted = ctx.lake.read(CORPUS).groupBy("label").agg(F.count("*").alias("n")).limit(MAX_LABELS + 1).toArrow().to_pylist()
    if len(counted) > MAX_LABELS:
        raise DataError(f"source.label_column {ctx.cfg.source.label_column!r} has more than {MAX_LABELS} values; name a column of classes")
    return {row["label"]: row["n"] for row in counted}


def import_rows(ctx: Context, counts: dict[str | None, int]) -> Summary:
    """Brings in an existing synthetic set: the same checks as for real rows, no language model.

    Raises DataError when no row is left."""
    from synalign_spark.stages.imported import import_synthetic
    from synalign_spark.stages.sources import read_source

    cfg = ctx.cfg.generate
    labels = sorted(label for label in counts if label is not None)
    synthetic, rejects = import_synthetic(read_source(ctx.spark, cfg.imported), cfg.imported, ctx.cfg.ingest, labels)
    ctx.lake.write(REJECTS, rejects, origin="synthetic")
    ctx.lake.write(SYNTHETIC, synthetic)
    for table in (ATTRIBUTES, REFUSALS, CALLS):
        ctx.lake.write(table, _empty(ctx, table))
    return _import_summary(ctx)


def _import_summary(ctx: Context) -> Summary:
    written = ctx.lake.read(SYNTHETIC)
    verbatim = F.sum(F.col("real").cast("int")).alias("verbatim")
    real = ctx.lake.read(CORPUS).select("doc_id", F.lit(True).alias("real"))
    joined = written.join(real, "doc_id", "left").groupBy("label").agg(F.count("*").alias("n"), verbatim).toArrow().to_pylist()
    rejects = ctx.lake.read(REJECTS, origin="synthetic").groupBy("reason").agg(F.count("*").alias("n")).toArrow().to_pylist()
    accepted = sum(row["n"] for row in joined)
    if not accepted:
        reasons = ", ".join(f"{row['reason']} {row['n']}" for row in rejects)
        raise DataError(f"generate.imported: no row of the synthetic set was accepted ({reasons or 'it is empty'}); see table rejects, and generate.imported.rename_labels")
    return {
        "strategy": "imported",
        "accepted": accepted,
        "accepted_by_label": {str(row["label"]): row["n"] for row in sorted(joined, key=lambda row: str(row["label"]))},
        "rejected": {row["reason"]: row["n"] for row in sorted(rejects, key=lambda row: row["reason"])},
        "equal_to_a_real_row": sum(row["verbatim"] or 0 for row in joined),
    }


def _frame(ctx: Context, rows: pa.Table, table: Any) -> DataFrame:
    return ctx.spark.createDataFrame(rows, schema=table.ddl) if rows.num_rows else _empty(ctx, table)


def _empty(ctx: Context, table: Any) -> DataFrame:
    return ctx.spark.createDataFrame([], schema=table.ddl)
