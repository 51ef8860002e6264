"""Alignment on Spark: one answer for every partitioning and runtime, and clear errors for bad input."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from synalign_spark.alignment import gathered
from synalign_spark.alignment.align import align
from synalign_spark.alignment.arrow_side import ArrowSide
from synalign_spark.alignment.runtimes.choose import choose_runtime
from synalign_spark.alignment.spark_side import SparkSide, real_side, synthetic_side
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.storage.tables import CERTIFICATE, CORPUS, EMBEDDINGS, SOLVER_TRACE, SYNTHETIC, WEIGHTS
from synalign_spark.udfs.arrow import from_matrix

SMALL = {"regularization": "mmd_rule", "n_features": 64, "certificate_rows": 300, "permutations": 99, "tolerance": 1e-8}
SHARES = {"cat": (0.7, 0.2, 0.1), "dog": (0.1, 0.2, 0.7)}
CENTRES = np.random.default_rng(0).standard_normal((3, 12))


BY_LABEL = (7, "label")  # seven partitions, of which two labels leave at least five empty


def vectors(label, n, seed, shares=None):
    """Unit vectors around three centres, in the shares of the label."""
    rng = np.random.default_rng([seed, len(label)])
    x = CENTRES[rng.choice(3, n, p=shares or SHARES[label])] + 0.5 * rng.standard_normal((n, 12))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def rows_of(kind, parts, seed):
    """(doc_id, label, vector) of each row; parts: label to count, real rows in their shares and synthetic ones in equal shares."""
    shares = None if kind == "real" else [1 / 3] * 3
    return [
        (hashlib.sha256(f"{kind}{label}{i}".encode()).hexdigest(), label, x)
        for label, n in parts.items()
        for i, x in enumerate(vectors(label or "cat", n, seed, shares))
    ]


def tables(spark, real, synthetic, prior=None, partitions=1):
    """EMBEDDINGS of both sides, CORPUS and SYNTHETIC."""
    partitions = partitions if isinstance(partitions, tuple) else (partitions,)

    def embeddings(rows, origin):
        columns = [[origin] * len(rows), [r[0] for r in rows], [r[1] for r in rows], ["m"] * len(rows), ["1"] * len(rows)]
        arrays = [pa.array(column, pa.string()) for column in columns]
        x = from_matrix(np.stack([r[2] for r in rows])) if rows else pa.array([], pa.list_(pa.float32()))
        return spark.createDataFrame(pa.table([*arrays, x], names=list(EMBEDDINGS.column_names)), EMBEDDINGS.ddl).repartition(*partitions)

    priors = prior or [None] * len(synthetic)
    rows = [(r[0], "text", r[1], "imported", "unknown", *[None] * 6, p, None) for r, p in zip(synthetic, priors, strict=True)]
    corpus = spark.createDataFrame([(r[0], f"text of {r[0]}", r[1], None, 4, None) for r in real], CORPUS.ddl)
    fake = spark.createDataFrame(rows, SYNTHETIC.ddl).repartition(*partitions)
    return embeddings(real, "real"), embeddings(synthetic, "synthetic"), corpus, fake


def run(spark, real, synthetic, prior=None, partitions=1, **cfg):
    """Weights by id, certificate by label, and trace rows."""
    done = align(*tables(spark, real, synthetic, prior, partitions), AlignConfig(**SMALL | cfg), 0)
    weights, certificate, trace = done.weights, done.certificate, done.trace
    assert (weights.columns, certificate.columns, trace.columns) == tuple(
        list(t.column_names) for t in (WEIGHTS, CERTIFICATE, SOLVER_TRACE)
    )
    found = {row["doc_id"]: row for row in weights.toArrow().to_pylist()}
    return found, {row["label"]: row for row in certificate.toArrow().to_pylist()}, trace.toArrow().to_pylist()


def column(found, name="weight"):
    return np.array([found[key][name] for key in sorted(found)])


REAL = rows_of("real", {"cat": 1000, "dog": 500}, 1)
FAKE = rows_of("fake", {"cat": 240, "dog": 160}, 2)


@pytest.fixture(scope="module")
def whole(spark):
    return run(spark, REAL, FAKE)


def test_few_rows_are_aligned_in_this_process_to_the_same_bits(spark, whole, monkeypatch):
    monkeypatch.setattr(gathered, "MOST_ROWS", len(REAL) + len(FAKE))
    monkeypatch.setattr(SparkSide, "scan", None)  # of the whole run no pass is left to the executors
    found, certificate, trace = run(spark, REAL, FAKE, partitions=2)
    assert found == whole[0]
    for rows, others in ((certificate.values(), whole[1].values()), (trace, whole[2])):
        for row, other in zip(rows, others, strict=True):
            same = [name for name, value in row.items() if value == value and name != "seconds"]  # NaN is not itself
            assert {name: row[name] for name in same} == {name: other[name] for name in same}


def test_few_rows_whose_features_the_driver_may_not_keep_stay_on_the_executors(spark, monkeypatch):
    monkeypatch.setattr(gathered, "MOST_ROWS", 20_000)
    found, _, _ = run(spark, REAL, FAKE, memory_gb=1e-6, tasks=1)
    assert len(found) == len(FAKE)


@pytest.mark.parametrize(
    "limits",
    [
        {"MOST_ROWS": len(REAL) + len(FAKE) - 1},
        {"MOST_ROWS": 20_000, "MOST_BYTES": 1_000},
        {"MOST_ROWS": 20_000, "MOST_TEXT_BYTES": 4 * len(FAKE) - 1},
    ],
)
def test_more_rows_or_a_runtime_on_the_executors_stay_there(spark, monkeypatch, limits):
    for name, value in limits.items():
        monkeypatch.setattr(gathered, name, value)
    embeddings, written, corpus, fake = tables(spark, REAL, FAKE)
    texts = fake.select("doc_id", "text")
    sides = real_side(embeddings, None, None, True, 0, holdout=0.2, validation=0.4), synthetic_side(written, fake, texts, True, 0)
    assert gathered.gathered(*sides, (corpus, fake), AlignConfig()) == sides
    monkeypatch.setattr(gathered, "MOST_ROWS", 20_000)
    monkeypatch.setattr(gathered, "MOST_BYTES", 2**26)
    monkeypatch.setattr(gathered, "MOST_TEXT_BYTES", 2**27)
    assert gathered.gathered(*sides, (corpus, fake), AlignConfig(runtime="barrier")) == sides
    assert isinstance(gathered.gathered(*sides, (corpus, fake), AlignConfig(runtime="local"))[0], ArrowSide)


def test_weights_sum_to_one_and_follow_the_corpus_shares(whole):
    found, _, _ = whole
    assert len(found) == len(FAKE)
    for label, share in (("cat", 2 / 3), ("dog", 1 / 3)):
        in_label = {key: row for key, row in found.items() if row["label"] == label}
        assert column(in_label, "weight_in_label").sum() == pytest.approx(1.0, abs=1e-9)
        assert column(in_label, "base_weight").sum() == pytest.approx(1.0, abs=1e-9)
        assert column(in_label).sum() == pytest.approx(share, abs=1e-9)


def test_the_certificate_shows_the_gain_on_rows_that_shaped_nothing(whole):
    found, certificate, trace = whole
    assert set(certificate) == {None, "cat", "dog"}
    for label, row in certificate.items():
        assert row["mmd2_after"] < 0.25 * row["mmd2_before"], label
        assert row["mmd2_after_low"] == 0.0 < row["mmd2_after_high"] < row["mmd2_before_high"]
        assert abs(row["mmd2_floor"]) < 3 * row["mmd2_floor_error"]
        assert row["mmd2_fit_after"] < row["mmd2_fit_before"]
        assert row["relative_gap"] <= 1e-8
        assert row["p_adjusted_before"] >= row["p_value_before"] >= 1 / 100, "99 permutations"
        assert row["p_value_after"] > 0.05
        assert row["detectable_mmd2_after"] > 0
        assert row["n_tested_after"] <= 1 / row["max_weight"] * (3 if label is None else 1.3), (
            "each row once: 1 / max weight, but for chance"
        )
    for label in ("cat", "dog"):
        row = certificate[label]
        assert 0.5 < row["closed_share_low"] <= row["closed_share"] <= row["closed_share_high"] <= 1.0
        assert row["mmd2_before_low"] > 0
        assert row["p_value_before"] <= 0.05
        assert "of the distance is closed (95% " in row["verdict"]
    assert certificate[None]["verdict"].startswith("no difference was seen"), "real rows alone tell cats from dogs"
    weights = column({key: row for key, row in found.items() if row["label"] == "cat"}, "weight_in_label")
    assert certificate["cat"]["ess"] == pytest.approx(1 / np.sum(weights**2), rel=1e-6)
    assert certificate["cat"]["max_weight"] == pytest.approx(weights.max(), rel=1e-6)
    overall = column(found)
    assert certificate[None]["ess"] == pytest.approx(1 / np.sum(overall**2), rel=1e-6)
    assert certificate[None]["max_weight"] == pytest.approx(overall.max(), rel=1e-6)
    assert [sum(row["chosen"] for row in trace if row["label"] == label) for label in ("cat", "dog")] == [1, 1]


def test_weights_recover_the_shares_of_the_real_rows(whole):
    """Known parameters: synthetic rows come in equal shares of three centres, real cats in 0.7, 0.2, 0.1."""
    found, _, _ = whole
    nearest = {key: int(np.argmax(CENTRES @ x / np.linalg.norm(CENTRES, axis=1))) for key, _, x in FAKE}
    for label, shares in SHARES.items():
        weight = [
            sum(row["weight_in_label"] for key, row in found.items() if row["label"] == label and nearest[key] == k) for k in range(3)
        ]
        np.testing.assert_allclose(weight, shares, atol=0.1)


@pytest.mark.parametrize("partitions", [2, BY_LABEL])
def test_partitions_change_no_bit_of_the_local_runtime(spark, whole, partitions):
    found, certificate, _ = run(spark, REAL[::-1], FAKE[::-1], partitions=partitions)
    np.testing.assert_array_equal(column(found), column(whole[0]))
    for label, row in certificate.items():
        same = [name for name, value in row.items() if value == value and name != "seconds"]  # NaN is not itself
        assert {name: row[name] for name in same} == {name: whole[1][label][name] for name in same}


@pytest.mark.parametrize("partitions", [BY_LABEL, pytest.param(1, marks=pytest.mark.slow)])
def test_the_driver_loop_gives_the_same_weights(spark, whole, partitions):
    found, certificate, _ = run(spark, REAL, FAKE, partitions=partitions, runtime="driver_loop")
    np.testing.assert_allclose(column(found), column(whole[0]), rtol=1e-6)
    assert certificate["dog"]["p_value_after"] == whole[1]["dog"]["p_value_after"]
    assert certificate["dog"]["mmd2_after"] == pytest.approx(whole[1]["dog"]["mmd2_after"], rel=1e-5)


def test_a_warm_start_on_a_sample_ends_at_the_same_optimum(spark):
    fake, cfg = rows_of("fake", {"cat": 2600}, 2), {"regularization": 0.01, "tolerance": 1e-10}
    cold, _, _ = run(spark, REAL[:1000], fake, **cfg)
    warm, certificate, _ = run(spark, REAL[:1000], fake, warm_start_rows=300, **cfg)
    np.testing.assert_allclose(column(warm), column(cold), rtol=1e-3)
    assert certificate["cat"]["rule"] == "fixed"


def test_one_mixture_without_labels(spark):
    real, fake = ([(key, None, x) for key, _, x in rows] for rows in (REAL[:200], FAKE[:200]))
    found, certificate, _ = run(spark, real, fake)
    assert list(certificate) == [None]
    assert column(found).sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(column(found), column(found, "weight_in_label"))


def test_one_mixture_over_labels_still_sums_to_one_in_each_label(spark):
    found, certificate, _ = run(spark, REAL, FAKE, per_label=False, regularization=0.1)
    assert list(certificate) == [None]
    for label in ("cat", "dog"):
        in_label = [row for row in found.values() if row["label"] == label]
        assert sum(row["weight_in_label"] for row in in_label) == pytest.approx(1.0)
        assert sum(row["base_weight"] for row in in_label) == pytest.approx(1.0)
    assert column(found).sum() == pytest.approx(1.0)


def test_prior_weights_pin_rows_and_scale_others(spark):
    prior = [0.0 if i % 4 == 0 else 2.0 for i in range(len(FAKE))]
    found, _, _ = run(spark, REAL, FAKE, prior=prior, regularization=1e6)
    for (key, label, _), p in zip(FAKE, prior, strict=True):
        want = 0.0 if p == 0 else 1 / (0.75 * {"cat": 240, "dog": 160}[label])
        assert found[key]["weight_in_label"] == pytest.approx(want, rel=1e-4)
        assert found[key]["base_weight"] == pytest.approx(want, rel=1e-9)


def test_few_real_rows_keep_their_base_weights(spark):
    real = rows_of("real", {"cat": 300, "dog": 3}, 1)
    found, certificate, _ = run(spark, real, FAKE)
    dogs = [row["weight_in_label"] for row in found.values() if row["label"] == "dog"]
    np.testing.assert_allclose(dogs, 1 / 160, rtol=1e-12)
    assert certificate["dog"]["rule"] == "uniform"
    assert certificate["dog"]["mmd2_after"] is None
    assert "too few real rows" in certificate["dog"]["verdict"]


def test_one_synthetic_row_and_identical_rows_have_a_defined_answer(spark):
    same = np.tile(CENTRES[:1] / np.linalg.norm(CENTRES[0]), (40, 1)).astype(np.float32)
    real = [(f"{i:064x}", "cat", x) for i, x in enumerate(same)]
    fake = [(f"{i + 100:064x}", "cat", x) for i, x in enumerate(same)]
    found, certificate, _ = run(spark, real, fake)
    np.testing.assert_allclose(column(found), 1 / 40, rtol=1e-9)
    for row in certificate.values():
        assert (row["p_value_before"], row["p_value_after"], row["mmd2_after"]) == (None, None, None)
        assert "the vectors of its rows are nearly all the same" in row["verdict"]
    found, _, _ = run(spark, REAL[:1000], FAKE[:1])
    assert column(found).tolist() == [pytest.approx(1.0)]


def test_a_label_without_synthetic_rows_is_named(spark):
    found, certificate, _ = run(spark, REAL, FAKE[:240])
    assert column(found).sum() == pytest.approx(1.0)
    assert "no synthetic rows for label dog" in certificate[None]["verdict"]


def bad_vector(rows, value):
    return [*rows[:-1], (*rows[-1][:2], np.full(len(rows[-1][2]), value, dtype=np.float32))]


@pytest.mark.parametrize(
    ("real", "fake", "prior", "message"),
    [
        ([], FAKE, None, "there are no real rows"),
        (REAL, [], None, "there are no synthetic rows"),
        (REAL[:1000], FAKE, None, "labels without any real row: dog"),
        (bad_vector(REAL, np.nan), FAKE, None, "1 of 1500 real rows have no usable embedding"),
        (REAL, bad_vector(FAKE, np.inf), None, "1 of 400 synthetic rows have no usable embedding"),
        ([(key, label, x[:6]) for key, label, x in REAL], FAKE, None, "widths from 6 to 12"),
        (REAL, FAKE, [-1.0] * 400, "prior_weight of 400 of 400"),
        (REAL, FAKE, [1.0] * 240 + [0.0] * 160, "all base weights .* are 0 for label dog"),
        ([*REAL[:-1], (REAL[-1][0], None, REAL[-1][2])], FAKE, None, "1 real rows have no label while others do"),
    ],
)
def test_bad_input_is_named(spark, real, fake, prior, message):
    with pytest.raises(DataError, match=message):
        run(spark, real, fake, prior)


def test_synthetic_rows_without_a_vector_are_counted(spark):
    real, embedded, corpus, synthetic = tables(spark, REAL, FAKE)
    with pytest.raises(DataError, match="1 of 400 synthetic rows have no usable embedding"):
        align(real, embedded.where(f"doc_id <> '{FAKE[0][0]}'"), corpus, synthetic, AlignConfig(**SMALL), 0)


@pytest.mark.parametrize("storage", ["float32", *(pytest.param(name, marks=pytest.mark.slow) for name in ("int16", "recompute"))])
def test_the_barrier_stage_gives_the_same_weights(spark, whole, tmp_path, storage):
    """Half a megabyte holds the features of the 400 rows; a tenth of it only in 16 bits, a hundredth not at all."""
    budget = {"float32": 0.5, "int16": 0.03 * 1.2, "recompute": 0.005}[storage] / 1024
    lines = []
    done = align(
        *tables(spark, REAL, FAKE, partitions=3), AlignConfig(**SMALL, runtime="barrier", memory_gb=budget, tasks=2), 0, lines.append,
        checkpoint=str(tmp_path),
    )  # fmt: skip
    assert any("runtime barrier: 2 tasks (master local[2]" in line and storage in line.replace("made again", "recompute") for line in lines)
    found = {row["doc_id"]: row for row in done.weights.toArrow().to_pylist()}
    np.testing.assert_allclose(column(found), column(whole[0]), rtol=1e-4 if storage == "int16" else 1e-6)
    assert list(tmp_path.iterdir()) == []  # the state of the solve is gone after success


def test_the_local_runtime_in_sixteen_bits(spark, whole):
    found, _, _ = run(spark, REAL, FAKE, runtime="local", memory_gb=0.00009)
    np.testing.assert_allclose(column(found), column(whole[0]), rtol=1e-4)


def test_the_runtime_goes_by_size_and_says_why(spark):
    """The session's master is local[2]; 2,048 features of a million rows take 7.6 GB."""

    def chosen(rows, **cfg):
        found = choose_runtime(spark, AlignConfig(**cfg), rows, 384)
        return found.name, found.storage, found.tasks, found.reason

    assert chosen(10_000)[:3] == ("local", "float32", 1)
    name, storage, tasks, reason = chosen(1_000_000)
    assert (name, storage, tasks) == ("barrier", "float32", 2)
    assert "500,000 rows x 2,048 features a process take 3.81 GB as float32, of 4.00 GB allowed" in reason
    assert chosen(2_000_000)[:2] == ("barrier", "int16")
    assert chosen(9_000_000)[:2] == ("barrier", "recompute")
    assert chosen(9_000_000, tasks=3)[0] == "driver_loop"
    assert "only 2 can run at once" in chosen(9_000_000, tasks=3)[3]
    assert chosen(10, runtime="driver_loop")[0] == "driver_loop"
    with pytest.raises(ConfigError, match=r"align.tasks is 3, but only 2 can run at once.*set align.runtime to driver_loop"):
        chosen(10, runtime="barrier", tasks=3)
