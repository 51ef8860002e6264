"""The ``align`` stage: embeddings, corpus, synthetic, clusters, centroids -> weights, certificate, solver_trace, witness."""

from synalign_spark.alignment.align import align
from synalign_spark.alignment.witness import witness
from synalign_spark.compat import to_arrow
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.storage.paths import RunPaths
from synalign_spark.storage.tables import CENTROIDS, CERTIFICATE, CLUSTERS, CORPUS, EMBEDDINGS, SOLVER_TRACE, SYNTHETIC, WEIGHTS, WITNESS


def run(ctx: Context) -> Summary:
    """Reads EMBEDDINGS, CORPUS, SYNTHETIC and the clusters, writes WEIGHTS, CERTIFICATE, SOLVER_TRACE and WITNESS.

    The summary holds the certificate of all rows together."""
    real, synthetic = (ctx.lake.read(EMBEDDINGS, origin=origin) for origin in ("real", "synthetic"))
    corpus, clusters, centroids = (ctx.lake.read(table) for table in (CORPUS, CLUSTERS, CENTROIDS))
    found = align(
        real, synthetic, corpus, ctx.lake.read(SYNTHETIC), ctx.cfg.align, ctx.cfg.run.seed, ctx.log.info,
        real_weights=ctx.cfg.source.weight_column is not None,
        checkpoint=RunPaths(ctx.cfg.lake.path, ctx.cfg.run.id).folder,
    )  # fmt: skip
    ctx.lake.write(WEIGHTS, found.weights)
    ctx.lake.write(CERTIFICATE, found.certificate)
    ctx.lake.write(SOLVER_TRACE, found.trace)
    weights = ctx.lake.read(WEIGHTS)
    ctx.lake.write(WITNESS, witness(real, corpus, clusters, centroids, synthetic, weights, found.features, found.differences))
    whole = to_arrow(found.certificate.where("label IS NULL")).to_pylist()[0]  # one row
    shown = (
        "n_synthetic", "n_real_fit", "n_real_holdout", "rule", "lambda", "label_confidence_exponent", "density_ratio_exponent", "embedding_ratio_exponent", "mixing_weight", "mmd2_before", "mmd2_after", "closed_share",
        "closed_share_low", "closed_share_high", "p_value_before", "p_value_after", "detectable_mmd2_after", "gain", "gain_error", "relative_gap", "ess", "max_weight", "passes", "seconds", "verdict",
    )  # fmt: skip
    return {name: whole[name] for name in shown}
