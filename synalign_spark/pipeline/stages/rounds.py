"""The ``rounds`` stage: certificate, witness, demonstrations -> rounds, and whether another round is to come."""

import pyarrow as pa
from pyspark.sql import functions as F

from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.pipeline import loop
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.storage.runs import RunStore
from synalign_spark.storage.tables import CERTIFICATE, ROUNDS, SELECTION_TRACE, WITNESS


def run(ctx: Context) -> Summary:
    """Says what the round brought and why the loop ends with it, and writes ROUNDS, the rounds before included."""
    manifest = RunStore(ctx.cfg.lake.path, ctx.cfg.run.id, writable=False).manifest()
    earlier = loop.earlier_rounds(manifest)
    first = earlier[-1]["last_set_round"] + 1 if earlier else 0
    certificate = to_arrow(ctx.lake.read(CERTIFICATE).where("label IS NULL")).to_pylist()[0]  # one row
    own = ctx.lake.read(SELECTION_TRACE).where(F.col("round") >= first)
    sets = to_arrow(own.agg(F.count("*").alias("n"), F.max("round").alias("last"))).to_pylist()[0]  # one row
    last = first - 1 if sets["last"] is None else sets["last"]
    row = loop.round_row(manifest, certificate, last, sets["n"], _missing_share(ctx))
    row["stopped_by"] = loop.why_stop(ctx.cfg.loop, row, manifest["generate"]["summary"]["stopped_by"])
    rounds = [*earlier, row]
    ctx.lake.write(ROUNDS, from_arrow(ctx.spark, pa.Table.from_pylist(rounds, ROUNDS.arrow), ROUNDS.ddl))
    return {**loop.round_in_words(ctx.cfg, row), loop.STOPPED: row["stopped_by"] or "", loop.OVER: rounds}


def _missing_share(ctx: Context) -> float:
    """Which share of the real rows synthetic ones lack by weight, cluster by cluster."""
    lacking = F.sum(F.col("missing_share") * F.col("real_rows") / F.col("real_share")) / F.sum("real_rows")
    found = to_arrow(ctx.lake.read(WITNESS).agg(lacking.alias("share"))).to_pylist()[0]["share"]  # one row
    return float(found)
