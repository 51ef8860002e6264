"""The ``cluster`` stage: embeddings -> centroids, clusters."""

from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.spark.cluster import cluster
from synalign_spark.storage import tables


def run(ctx: Context) -> Summary:
    """Clusters the real rows and writes both tables; rows that are held out shape no cluster and are not counted."""
    embeddings = ctx.lake.read(tables.EMBEDDINGS, origin="real")
    where: list[str] = []

    def report(line: str) -> None:
        where.append(line)
        ctx.log.info("cluster", fit=line)

    with cluster(embeddings, ctx.cfg.cluster, ctx.cfg.run.seed, ctx.cfg.align.holdout, report) as (centroids, clusters):
        ctx.lake.write(tables.CENTROIDS, centroids)
        ctx.lake.write(tables.CLUSTERS, clusters)
        seen = centroids.agg(
            F.count("*").alias("clusters"), F.sum("n_rows").alias("rows"), F.sum("inertia").alias("inertia"),
            F.max("n_rows").alias("largest_cluster"), F.min("n_rows").alias("smallest_cluster"),
        )  # fmt: skip
        summary: Summary = to_arrow(seen).to_pylist()[0]
        return summary | {"fit": where[-1]}
