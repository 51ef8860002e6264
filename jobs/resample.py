"""Job ``resample``: synthetic rows, weights and corpus in; the augmented training set out."""

from jobs.context import Context, Summary
from synalign_spark.stages.resample import resample
from synalign_spark.tables import AUGMENTED, CORPUS, SYNTHETIC, WEIGHTS


def run(ctx: Context) -> Summary:
    """Reads SYNTHETIC, WEIGHTS and CORPUS, writes AUGMENTED."""
    synthetic, weights, corpus = (ctx.lake.read(table) for table in (SYNTHETIC, WEIGHTS, CORPUS))
    ctx.lake.write(AUGMENTED, resample(synthetic, weights, corpus, ctx.cfg.resample, ctx.cfg.run.seed, ctx.cfg.align.label_shares))
    counts = ctx.lake.read(AUGMENTED).selectExpr(
        "count_if(origin = 'real') AS real", "count_if(origin = 'synthetic') AS synthetic",
        "count(DISTINCT CASE WHEN origin = 'synthetic' THEN doc_id END) AS distinct_synthetic",
    ).toArrow().to_pylist()[0]  # fmt: skip
    return {
        "method": ctx.cfg.resample.method,
        "rows_real": counts["real"],
        "rows_synthetic": counts["synthetic"],
        "distinct_synthetic": counts["distinct_synthetic"],
    }


if __name__ == "__main__":
    from jobs.pipeline import main

    main("resample")
