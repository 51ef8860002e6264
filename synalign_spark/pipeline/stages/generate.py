"""The ``generate`` stage: demonstrations, corpus -> attributes, synthetic, refusals, calls, prompts.

The rows are written by a language model or brought in from elsewhere; of an imported set also rejects."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.config import SourceConfig
from synalign_spark.core.copy_index import CopyIndex
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.pipeline import loop
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.pipeline.stages.ingest import say_notes
from synalign_spark.spark.holdout import held_out
from synalign_spark.spark.real_rows import copy_lookup, sample_rows
from synalign_spark.storage.paths import RunPaths
from synalign_spark.storage.runs import RunStore
from synalign_spark.storage.tables import ATTRIBUTES, CALLS, CORPUS, DEMONSTRATIONS, PROMPTS, REFUSALS, REJECTS, SYNTHETIC

if TYPE_CHECKING:
    from synalign_spark.generation.gates.profile import RealProfile
    from synalign_spark.generation.rounds import RoundEnd

STRATEGIES_WITHOUT_DEMONSTRATIONS = ("simprompt", "attrprompt")
MAX_LABELS = 10_000


def run(ctx: Context) -> Summary:
    """Reads demonstrations and label counts; writes attributes, synthetic, refusals, calls and prompts."""
    cfg = ctx.cfg.generate
    counts = label_counts(ctx)
    _refuse_unknown_shares(ctx, counts)
    if cfg.strategy == "imported":
        return import_rows(ctx, counts)
    from synalign_spark.generation.engine import generate

    demonstrations = ctx.lake.read(DEMONSTRATIONS) if cfg.strategy not in STRATEGIES_WITHOUT_DEMONSTRATIONS else _empty(ctx, DEMONSTRATIONS)
    paths = RunPaths(ctx.cfg.lake.path, ctx.cfg.run.id)
    result = generate(
        to_arrow(demonstrations),  # demonstration sets x select.rows_per_set rows: thousands, MOST_SETS sets by default at most
        counts,
        cfg,
        ctx.cfg.run.seed,
        paths.ledger,
        ctx.progress,
        paths.local_folder,
        real_profile(ctx, sum(counts.values())),
        ctx.deadline.require_time,
        round_ends(ctx),
    )
    say_notes(ctx, "generate", result.summary["gate_notes"])
    written = {
        ATTRIBUTES: result.attributes,
        PROMPTS: result.prompts,
        CALLS: result.calls,
        REFUSALS: result.refusals,
        SYNTHETIC: result.synthetic,
    }
    for table, rows in written.items():
        ctx.lake.write(table, _frame(ctx, rows, table))
    return result.summary


def _refuse_unknown_shares(ctx: Context, counts: dict[str | None, int]) -> None:
    """The alignment would refuse them too, once all is paid for."""
    asked = ctx.cfg.align.label_shares or {}
    unknown = sorted(label for label, share in asked.items() if share > 0 and label not in counts)
    if unknown:
        known = ", ".join(sorted(str(label) for label in counts)[:10])
        raise ConfigError(f"align.label_shares names {', '.join(unknown[:5])}, of which there are no real rows; labels are: {known}")


def round_ends(ctx: Context) -> "list[RoundEnd]":
    """The ends of the rounds of the loop up to the present one; none where there is no loop."""
    from synalign_spark.generation.rounds import RoundEnd

    if ctx.cfg.loop.rounds == 1:
        return []
    earlier = loop.earlier_rounds(RunStore(ctx.cfg.lake.path, ctx.cfg.run.id, writable=False).manifest())
    last: list[int | None] = [*(row["last_set_round"] for row in earlier), None]
    return [RoundEnd(rows, end) for rows, end in zip(ctx.cfg.target_rows, last, strict=False)]


def label_counts(ctx: Context) -> dict[str | None, int]:
    """Corpus rows by label, {None: n} without labels; one small row a label reaches the driver."""
    counted = to_arrow(ctx.lake.read(CORPUS).groupBy("label").agg(F.count("*").alias("n")).limit(MAX_LABELS + 1)).to_pylist()
    if len(counted) > MAX_LABELS:
        raise DataError(f"source.label_column {ctx.cfg.source.label_column!r} has more than {MAX_LABELS} values; name a column of classes")
    return {row["label"]: row["n"] for row in counted}


def real_profile(ctx: Context, n_rows: int) -> "RealProfile":
    """What the gates are told of the real rows: no text of a held-out row, only that none is to be copied."""
    from synalign_spark.generation.gates.profile import SAMPLE_ROWS, RealProfile

    corpus = ctx.lake.read(CORPUS)
    seed, copied = ctx.cfg.run.seed, "copied" in ctx.cfg.generate.gates
    fit = corpus.where(~held_out(seed, ctx.cfg.align.holdout))
    return RealProfile(tuple(sample_rows(fit, n_rows, SAMPLE_ROWS, seed)), copy_lookup(corpus) if copied else CopyIndex.of_texts([]))


def import_rows(ctx: Context, counts: dict[str | None, int]) -> Summary:
    """Brings in an existing synthetic set: the same checks as for real rows, no language model.

    Raises DataError when no row is left, ConfigError when the corpus has labels and the set names no label column."""
    from synalign_spark.spark.ingest import ingest
    from synalign_spark.spark.source_layout import layout_of
    from synalign_spark.spark.sources import read_source

    field = "generate.imported"
    source = with_corpus_labels(ctx.cfg.generate.imported, [label for label in counts if label is not None])
    layout = layout_of(source, field)
    with ingest(read_source(ctx.spark, source, field, layout), source, ctx.cfg.ingest, "synthetic", field, layout) as found:
        say_notes(ctx, "generate", found.notes)
        rows = found.accepted.select(*_imported_columns())
        ctx.lake.write(REJECTS, found.rejects, origin="synthetic")
        for table in (ATTRIBUTES, REFUSALS, CALLS, PROMPTS):
            ctx.lake.write(table, _empty(ctx, table))
        ctx.lake.write(SYNTHETIC, rows)
        real = ctx.lake.read(CORPUS).select("doc_id")
        return {
            "strategy": "imported",
            "accepted": found.n_accepted,
            "accepted_by_label": found.labels,
            "rejected": found.reasons,
            **(layout.told if layout else {}),
            "notes": found.notes,
            "equal_to_a_real_row": rows.join(real, "doc_id", "left_semi").count(),
        }


def with_corpus_labels(source: SourceConfig, labels: list[str]) -> SourceConfig:
    """The imported set's source, held to the corpus's labels: rows of other labels are rejected as unknown_label."""
    if not labels:
        return source.model_copy(update={"label_column": None, "labels": None})
    if source.label_column is None:
        raise ConfigError(
            f"generate.imported.label_column is not set, and the corpus has labels ({', '.join(sorted(labels)[:5])}); name the column with the classes"
        )
    allowed = sorted(set(labels) & set(source.labels or labels))
    if not allowed:
        raise ConfigError(
            f"generate.imported.labels {source.labels} has none of the corpus's labels ({', '.join(sorted(labels)[:5])}); see rename_labels"
        )
    return source.model_copy(update={"labels": allowed})


def _imported_columns() -> list[Column]:
    """The SYNTHETIC contract from ingested rows: what is unknown of an imported row is null."""
    given = {"doc_id", "text", "label", "prior_weight"}
    fixed = {"strategy": F.lit("imported"), "model": F.lit("unknown")}
    unknown = F.lit(None)
    return [F.col(c.name) if c.name in given else fixed.get(c.name, unknown.cast(c.dtype)).alias(c.name) for c in SYNTHETIC.columns]


def _frame(ctx: Context, rows: pa.Table, table: Any) -> DataFrame:
    return from_arrow(ctx.spark, rows, table.ddl) if rows.num_rows else _empty(ctx, table)


def _empty(ctx: Context, table: Any) -> DataFrame:
    return ctx.spark.createDataFrame([], schema=table.ddl)
