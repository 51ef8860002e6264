"""Job ``align``: embeddings of both sides and the synthetic rows in; weights, certificate and solver trace out."""

from jobs.context import Context, Summary
from synalign_spark.stages.align import align
from synalign_spark.tables import CERTIFICATE, CORPUS, EMBEDDINGS, SOLVER_TRACE, SYNTHETIC, WEIGHTS


def run(ctx: Context) -> Summary:
    """Reads EMBEDDINGS, CORPUS and SYNTHETIC, writes WEIGHTS, CERTIFICATE and SOLVER_TRACE.

    The summary holds the certificate of all rows together."""
    real, synthetic = (ctx.lake.read(EMBEDDINGS, origin=origin) for origin in ("real", "synthetic"))
    found = align(
        real, synthetic, ctx.lake.read(CORPUS), ctx.lake.read(SYNTHETIC), ctx.cfg.align, ctx.cfg.run.seed, ctx.log.info,
        real_weights=ctx.cfg.source.weight_column is not None,
    )  # fmt: skip
    ctx.lake.write(WEIGHTS, found.weights)
    ctx.lake.write(CERTIFICATE, found.certificate)
    ctx.lake.write(SOLVER_TRACE, found.trace)
    whole = found.certificate.where("label IS NULL").toArrow().to_pylist()[0]  # one row
    shown = (
        "n_synthetic", "n_real_fit", "n_real_holdout", "rule", "lambda", "agreement_power", "mmd2_holdout_before", "mmd2_holdout_after",
        "p_value_before", "p_value_after", "relative_gap", "ess", "max_weight", "passes", "seconds", "verdict",
    )  # fmt: skip
    return {name: whole[name] for name in shown}


if __name__ == "__main__":
    from jobs.pipeline import main

    main("align")
