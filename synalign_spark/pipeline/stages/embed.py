"""The ``embed`` stage: corpus or synthetic -> embeddings."""

import importlib
import threading
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.config import EmbedConfig
from synalign_spark.errors import DataError
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.pipeline.given_vectors import take_given
from synalign_spark.pipeline.profile import NOTED, embedder_findings, embedder_on, in_words, limit_note, refuse, stops
from synalign_spark.pipeline.spark_progress import spark_progress
from synalign_spark.pipeline.stages.ingest import say_notes
from synalign_spark.spark.embed import (
    MOST_TASKS,
    ROWS_PER_TASK,
    embed,
    embed_in_driver,
    embeddings,
    known_vectors,
    precision_trials,
    without_known,
)
from synalign_spark.spark.length_order import Lengths
from synalign_spark.spark.profile import identical_share, one_a_text, sample_texts
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS, SYNTHETIC
from synalign_spark.udfs.encoder import HASHING, EncoderInfo, encoder_info, endpoint_info
from synalign_spark.udfs.precision import fastest

TASKS_PER_CORE = 4  # evens out what texts cost, and moves the progress bar
SHARES = ("unknown_tokens", "spelled_out", "identical", "cut")
SMALL = 512  # texts below which workers are not started: they load the model for seconds each
SMALL_BYTES = 16 * 2**20  # of such texts, which the driver collects
PRECISIONS = ("fp32", "bf16", "fp16")  # that embed.precision: auto may take


def run(ctx: Context, origin: Literal["real", "synthetic"] = "real") -> Summary:
    """Writes one vector per row of the corpus or of the synthetic set; only texts without a stored vector, there or in the source, are encoded.

    Raises ConfigError for an embedder that cannot be used, DataError for stored vectors that do not fit it, and for real rows that it
    cannot tell apart."""
    cfg = ctx.cfg.embed
    rows = ctx.lake.read(CORPUS if origin == "real" else SYNTHETIC).select("doc_id", "text", "label")
    if ctx.cfg.embedding_column(origin) is not None:
        return _given(ctx, rows, origin)
    info = _info(cfg)
    lengths = Lengths.of(rows, _cut(cfg))
    if not lengths.rows:
        raise DataError(
            f"embed: run {ctx.lake.run_id!r} has no {origin} rows; run the {'ingest' if origin == 'real' else 'generate'} stage first"
        )
    if cfg.endpoint is None and _in_driver(ctx, info, lengths) and info.model != HASHING:  # loaded while Spark looks for stored vectors
        threading.Thread(target=importlib.import_module, args=("sentence_transformers",), name="import-encoder", daemon=True).start()
    stored = ctx.lake.read_all_runs(EMBEDDINGS) if ctx.lake.has_table(EMBEDDINGS) else None
    tried: Summary = {}
    if cfg.precision == "auto":
        info, tried = _fastest(ctx, rows, stored, lengths, info, origin)
    known = known_vectors(stored, rows, info) if stored is not None else None
    fresh = without_known(rows, known)
    if known is not None and known.rows:
        lengths = Lengths.of(fresh, _cut(cfg)) if known.rows < lengths.rows else Lengths(0, 0, {}, lengths.cap)
    encoded, took = _encoded(ctx, fresh, info, lengths, known.width if known is not None else 0)
    with spark_progress(ctx, f"embed {origin}", lengths.rows):
        ctx.lake.write(EMBEDDINGS, embeddings(encoded, rows, known, info, origin), origin=origin)
    n_known = known.rows if known is not None else 0
    read = _read(ctx, rows, origin, info.forward.max_tokens)
    return {
        "origin": origin,
        "rows": lengths.rows + n_known,
        "rows_encoded": lengths.rows,
        "rows_reused": n_known,
        "model": info.model,
        "revision": info.revision,
        "width": info.width,
        "precision": info.forward.precision,
        **tried,
        **took,
        **read,
    }


def _read(ctx: Context, rows: DataFrame, origin: str, max_tokens: int) -> Summary:
    """Says how the embedder reads the rows, in shares of a sample, and which vectors are the same, of all rows. Raises DataError for real rows
    above a threshold: synthetic ones are paid, and the certificate judges them."""
    cfg = ctx.cfg
    read = embedder_on(cfg, sample_texts(rows, cfg.profile.rows_looked_at)) or {"model": cfg.embed.model, "max_tokens": max_tokens}
    read["identical"] = _identical(ctx, rows, origin)
    findings = [one for one in embedder_findings(read, cfg.embed.max_tokens) if one[1] > NOTED]
    notes = [*limit_note(cfg, max_tokens), *(f"{origin} rows: {in_words(one)}" for one in findings)]
    say_notes(ctx, f"embed {origin}", notes)
    if origin == "real":
        refuse({"stops": stops(cfg, findings)})
    return {"texts": {key: read[key] for key in SHARES if key in read}, "notes": notes}


def _identical(ctx: Context, rows: DataFrame, origin: str) -> float:
    """The share of rows that have the vector of another."""
    vectors = ctx.lake.read(EMBEDDINGS, origin=origin)
    if origin == "real" and ctx.cfg.source.label_separator is not None:  # a text is a row of each of its labels
        vectors = vectors.join(one_a_text(rows), "doc_id", "left_semi")
    return round(identical_share(vectors), 4)


def _info(cfg: EmbedConfig) -> EncoderInfo:
    return endpoint_info(cfg) if cfg.endpoint else encoder_info(cfg)


def _given(ctx: Context, rows: DataFrame, origin: Literal["real", "synthetic"]) -> Summary:
    """``run`` where the source brings the vectors: no text is encoded but a few that show whether ``embed.model`` made them, where it embeds
    the other side."""

    def encode(sample: DataFrame, width: int) -> DataFrame:
        info = _info(ctx.cfg.embed)
        encoded, _ = _encoded(ctx, sample, info, Lengths.of(sample, _cut(ctx.cfg.embed)), width)
        if encoded is None:
            raise ValueError("there are no rows to encode")
        return encoded

    took = take_given(ctx, rows, origin, encode)
    identical = _identical(ctx, rows, origin)
    found = [("max_identical", identical, "of the vectors are that of another row too", f"see how {took['column']} was made")]
    notes = [*took.pop("notes"), *(f"{origin} rows: {in_words(one)}" for one in found if one[1] > NOTED)]
    say_notes(ctx, f"embed {origin}", notes)
    if origin == "real":
        refuse({"stops": stops(ctx.cfg, found)})
    return {**took, "texts": {"identical": identical}, "notes": notes}


def _encoded(ctx: Context, fresh: DataFrame, info: EncoderInfo, lengths: Lengths, width: int) -> tuple[DataFrame | None, Summary]:
    """Vectors of the rows without a stored one, by an endpoint, by workers or, of few, by this process; None where there are none.
    And what there is to say of it. width: of stored vectors, 0 without any."""
    if not lengths.rows:
        return None, {"width": info.width or width}
    if ctx.cfg.embed.endpoint is not None:
        from synalign_spark.pipeline.endpoint_vectors import by_endpoint

        return by_endpoint(ctx, fresh, info, width)
    if _in_driver(ctx, info, lengths):
        return embed_in_driver(fresh, info), {}
    return embed(fresh, info, lengths, _partitions(lengths.rows, TASKS_PER_CORE * _cores(ctx))), {}


def _fastest(
    ctx: Context, rows: DataFrame, stored: DataFrame | None, lengths: Lengths, info: EncoderInfo, origin: str
) -> tuple[EncoderInfo, Summary]:
    """The encoder in the precision of this run, and what was tried.

    Real and synthetic rows are compared, so the synthetic ones have the precision of the real; and what the lake holds vectors of is not
    tried again, for a clock may decide otherwise. Few rows are not worth a trial: they stay fp32."""
    others = [encoder_info(ctx.cfg.embed.model_copy(update={"precision": precision}), info.width) for precision in PRECISIONS]
    if origin == "synthetic" and ctx.lake.exists(EMBEDDINGS, origin="real"):
        revision = ctx.lake.read(EMBEDDINGS, origin="real").select("revision").first()  # one row
        return next((other for other in others if revision and other.revision == revision[0]), info), {}
    if _small(lengths) or info.model == HASHING:
        return info, {}
    if stored is not None:
        ours = stored.where(F.col("revision").isin([other.revision for other in others]))
        held = {row[0] for row in ours.select("revision").distinct().collect()}  # three at most
        if held:
            return next(other for other in reversed(others) if other.revision in held), {}
    found = precision_trials(rows, info)
    chosen, exact = fastest(found), found[0]
    tried = {f"{trial.precision}_tried": f"{trial.rate / exact.rate:.2f} x fp32, cosine {trial.cosine:.6f}" for trial in found[1:]}
    return next(other for other in others if other.forward.precision == chosen.precision), tried


def _cut(cfg: EmbedConfig) -> int | None:
    """Tokens beyond which a text costs no more; None where it is read whole."""
    return None if cfg.model == HASHING or cfg.long_texts == "mean_of_windows" else cfg.max_tokens


def _small(lengths: Lengths) -> bool:
    return lengths.rows < SMALL and lengths.bytes < SMALL_BYTES


def _in_driver(ctx: Context, info: EncoderInfo, lengths: Lengths) -> bool:
    """Whether few texts are encoded by this process: where its processor is what workers have, which a GPU or another precision tells not."""
    local = str(ctx.spark.conf.get("spark.master", "") or "").startswith("local")
    alike = local or (info.forward.precision == "fp32" and ctx.spark.conf.get("spark.executor.resource.gpu.amount", None) is None)
    return _small(lengths) and alike and (info.device in ("auto", "cpu") or local)


def _partitions(rows: int, fewest: int) -> int:
    """Tasks for so many rows: ``fewest`` at least, so that every core has some."""
    return max(fewest, min(-(-rows // ROWS_PER_TASK), MOST_TASKS))


def _cores(ctx: Context) -> int:
    try:
        return int(ctx.spark.sparkContext.defaultParallelism)
    except Exception:  # a remote session does not tell
        return 1
