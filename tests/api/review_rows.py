"""Labelled rows with vectors, two topics a label, for the tests of ``sa.align``."""

import numpy as np
import pandas as pd

SMALL = {"n_features": 64, "certificate_rows": 100, "permutations": 99}
TOPICS = {"bad": ("dull slow plot", "weak flat script"), "good": ("warm bright cast", "sharp tender tale")}
TOPIC_NAMES = ("bad0", "bad1", "good0", "good1")
CENTRES = dict(zip(TOPIC_NAMES, np.random.default_rng(0).standard_normal((4, 12)) * 2, strict=True))


def reviews(n, seed, shares=(0.5, 0.5), noise=0.0):
    """n labelled rows with a vector each; shares: of the two topics of a label; noise: share of labels that are wrong."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(n):
        label, topic = ("bad", "good")[i % 2], int(rng.random() > shares[0])
        x = CENTRES[f"{label}{topic}"] + rng.standard_normal(12)
        given = label if rng.random() >= noise else {"bad": "good", "good": "bad"}[label]
        rows.append(
            {"text": f"{TOPICS[label][topic]} number {seed} {i}", "label": given, "vec": (x / np.linalg.norm(x)).astype(np.float32)}
        )
    return pd.DataFrame(rows)


REAL, SYNTHETIC = reviews(500, 1, shares=(0.8, 0.2)), reviews(240, 2)


def as_spark(spark, frame, partitions=3):
    rows = frame.assign(vec=[x.tolist() for x in frame["vec"]]) if "vec" in frame else frame
    return spark.createDataFrame(rows).repartition(partitions)


def by_text(frame, column="weight"):
    return dict(zip(frame["text"], frame[column], strict=True))
