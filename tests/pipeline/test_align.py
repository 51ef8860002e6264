"""The align and resample jobs on a lake: tables in, tables out, and a summary of plain values."""

import json
from types import SimpleNamespace

import numpy as np

from synalign_spark.config import Config
from synalign_spark.pipeline.stages import align, resample
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.tables import (
    AUGMENTED,
    CENTROIDS,
    CERTIFICATE,
    CLUSTERS,
    CORPUS,
    EMBEDDINGS,
    SOLVER_TRACE,
    SYNTHETIC,
    WEIGHTS,
    WITNESS,
)


def test_the_jobs_fill_their_tables(spark, tmp_path):
    lake, rng = Lake(spark, str(tmp_path / "lake"), "parquet", "r1"), np.random.default_rng(0)
    ids = {"real": [f"{i:064x}" for i in range(80)], "synthetic": [f"{i:064x}" for i in range(500, 560)]}
    for origin, keys in ids.items():
        rows = [(origin, key, None, "m", "1", (rng.standard_normal(4) + (origin == "real")).tolist()) for key in keys]
        lake.write(EMBEDDINGS, spark.createDataFrame(rows, EMBEDDINGS.ddl), origin=origin)
    lake.write(CORPUS, spark.createDataFrame([(key, "real", None, None, 4, None) for key in ids["real"]], CORPUS.ddl))
    lake.write(CLUSTERS, spark.createDataFrame([(key, None, i % 2, 0.5) for i, key in enumerate(ids["real"])], CLUSTERS.ddl))
    lake.write(CENTROIDS, spark.createDataFrame([(c, [float(c)] * 4, 40, 0.5, {}, 1.0) for c in range(2)], CENTROIDS.ddl))
    lake.write(
        SYNTHETIC,
        spark.createDataFrame([(key, "made", None, "imported", "unknown", *[None] * 8) for key in ids["synthetic"]], SYNTHETIC.ddl),
    )
    cfg = Config.model_validate({"source": {"path": "x"}, "align": {"n_features": 32, "permutations": 99}, "resample": {"rows": 25}})
    ctx, lines = SimpleNamespace(cfg=cfg, lake=lake, log=SimpleNamespace(info=lambda line: lines.append(line))), []
    aligned, drawn = align.run(ctx), resample.run(ctx)
    json.dumps([aligned, drawn])
    assert aligned["n_synthetic"] == 60
    assert any("runtime local" in line for line in lines)
    assert drawn["rows_synthetic"] == 25
    assert drawn["rows_real"] == 80
    assert (aligned["mixing_weight"], drawn["mixing_weight"]) == (60.0, 25.0), "no drawn row counts more than a real one"
    assert any("25 rows drawn count as 25, not as the 60 of the certificate" in line for line in lines)
    assert drawn["weights_represented"] == 1.0
    assert [lake.read(table).count() for table in (WEIGHTS, CERTIFICATE, AUGMENTED, WITNESS)] == [60, 1, 105, 2]
    assert lake.read(SOLVER_TRACE).where("chosen").count() == 1
