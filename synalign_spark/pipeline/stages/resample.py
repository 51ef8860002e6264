"""The ``resample`` stage: synthetic, weights, certificate, corpus -> augmented."""

from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.spark.resample import resample
from synalign_spark.storage.tables import AUGMENTED, CERTIFICATE, CORPUS, SYNTHETIC, WEIGHTS


def run(ctx: Context) -> Summary:
    """Reads SYNTHETIC, WEIGHTS, CERTIFICATE and CORPUS, writes AUGMENTED."""
    synthetic, weights, corpus = (ctx.lake.read(table) for table in (SYNTHETIC, WEIGHTS, CORPUS))
    mixing_weight = ctx.lake.read(CERTIFICATE).where("label IS NULL").toArrow().to_pylist()[0]["mixing_weight"]  # one row
    cfg = ctx.cfg
    if cfg.align.mixing_weight == "auto":  # no row counts more than a real one: there may be fewer to draw than align had
        mixing_weight = min(mixing_weight, float(cfg.resample.rows)) if cfg.resample.rows != "auto" else mixing_weight
    ctx.lake.write(AUGMENTED, resample(synthetic, weights, corpus, cfg.resample, cfg.run.seed, mixing_weight, cfg.align.label_shares))
    counts = ctx.lake.read(AUGMENTED).selectExpr(
        "count_if(origin = 'real') AS real", "count_if(origin = 'synthetic') AS synthetic",
        "count(DISTINCT CASE WHEN origin = 'synthetic' THEN doc_id END) AS distinct_synthetic",
    ).toArrow().to_pylist()[0]  # fmt: skip
    return {
        "method": cfg.resample.method,
        "rows_real": counts["real"],
        "rows_synthetic": counts["synthetic"],
        "distinct_synthetic": counts["distinct_synthetic"],
        "mixing_weight": mixing_weight,
    }
