"""The ``resample`` stage: synthetic, weights, certificate, corpus -> augmented."""

from synalign_spark.compat import to_arrow
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.spark.duplicates import dropped
from synalign_spark.spark.resample import represented, resample, used_mixing_weight, within_label
from synalign_spark.storage.tables import AUGMENTED, CERTIFICATE, CORPUS, DUPLICATES, SYNTHETIC, WEIGHTS


def run(ctx: Context) -> Summary:
    """Reads SYNTHETIC, WEIGHTS, CERTIFICATE and CORPUS, writes AUGMENTED.

    The summary says the mixing weight that is used, and which share of the weights the drawn rows represent where each counts as one."""
    synthetic, weights, corpus = (ctx.lake.read(table) for table in (SYNTHETIC, WEIGHTS, CORPUS))
    if ctx.lake.exists(DUPLICATES):
        marked = ctx.lake.read(DUPLICATES)
        corpus = corpus.join(dropped(marked, "real"), "doc_id", "left_anti")
        weights = within_label(weights.join(dropped(marked, "synthetic"), "doc_id", "left_anti"))
    chosen = to_arrow(ctx.lake.read(CERTIFICATE).where("label IS NULL")).to_pylist()[0]["mixing_weight"]  # one row
    cfg = ctx.cfg
    mixing_weight = used_mixing_weight(chosen, cfg.align.mixing_weight, cfg.resample.rows)
    if mixing_weight < chosen:
        ctx.log.info(
            f"beside real rows the {cfg.resample.rows:,} rows drawn count as {mixing_weight:,.0f}, not as the {chosen:,.0f} of the certificate: none "
            "counts more than a real row (resample.rows)"
        )
    ctx.lake.write(AUGMENTED, resample(synthetic, weights, corpus, cfg.resample, cfg.run.seed, mixing_weight, cfg.align.label_shares))
    augmented = ctx.lake.read(AUGMENTED)
    counts = to_arrow(augmented.selectExpr(
        "count_if(origin = 'real') AS real", "count_if(origin = 'synthetic') AS synthetic",
        "count(DISTINCT CASE WHEN origin = 'synthetic' THEN doc_id END) AS distinct_synthetic",
    )).to_pylist()[0]  # fmt: skip
    return {
        "method": cfg.resample.method,
        "rows_real": counts["real"],
        "rows_synthetic": counts["synthetic"],
        "distinct_synthetic": counts["distinct_synthetic"],
        "mixing_weight": mixing_weight,
        "weights_represented": represented(augmented),
    }
