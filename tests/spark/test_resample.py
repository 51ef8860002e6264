"""Resampling on Spark: exact counts per label, the same draws for every partitioning, and the table's contract."""

import hashlib

import numpy as np
import pytest
from pyspark.sql import functions as F

from synalign_spark.config.alignment import ResampleConfig
from synalign_spark.core.sampling import resample as core
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.spark import draws as stage
from synalign_spark.spark.resample import represented, resample
from synalign_spark.storage.tables import AUGMENTED, CORPUS, SYNTHETIC, WEIGHTS

METHODS = ("systematic", "multinomial", "topn")
IDS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(300)]
LABELS = ["cat" if i < 200 else "dog" for i in range(300)]
IN_LABEL = np.random.default_rng(0).gamma(0.5, size=300)
IN_LABEL[:3] = 0.0
IN_LABEL[:200] /= IN_LABEL[:200].sum()
IN_LABEL[200:] /= IN_LABEL[200:].sum()
REAL = [(hashlib.sha256(f"real{i}".encode()).hexdigest(), f"real {i}", "cat" if i < 45 else "dog", None, 6, None) for i in range(60)]


def test_fields_of_a_row_come_along_and_real_rows_have_none(spark):
    synthetic, weights, corpus = tables(spark)
    parts = F.create_map(F.lit("title"), F.col("text"))
    found = (
        resample(synthetic.withColumn("fields", parts), weights, corpus, ResampleConfig(), 0, 300.0)
        .toArrow()
        .to_pylist(maps_as_pydicts="strict")
    )
    assert {row["origin"] for row in found} == {"real", "synthetic"}
    assert all(row["fields"] == (None if row["origin"] == "real" else {"title": row["text"]}) for row in found)


def tables(spark, partitions=1, labels=LABELS):
    synthetic = [(key, f"text {key[:6]}", label, "imported", "unknown", *[None] * 8) for key, label in zip(IDS, labels, strict=True)]
    weights = [(key, label, 0.5 * w, w, 1 / 100, *[None] * 5) for key, label, w in zip(IDS, labels, IN_LABEL.tolist(), strict=True)]
    frames = [spark.createDataFrame(rows, t.ddl) for rows, t in ((synthetic, SYNTHETIC), (weights, WEIGHTS), (REAL, CORPUS))]
    return [frame.repartition(partitions) for frame in frames]


def test_weights_of_the_real_rows_shape_the_quotas(spark):
    synthetic, weights, corpus = tables(spark)
    heavy = corpus.withColumn("prior_weight", F.when(F.col("label") == "dog", F.lit(9.0)))  # 45 cats, 15 dogs of weight 9
    drawn = resample(synthetic, weights, heavy, ResampleConfig(rows=400, include_real=False), 0, 300.0)
    assert drawn.where("label = 'dog'").count() == 300


def rows_of(frame):
    assert frame.columns == list(AUGMENTED.column_names)
    return sorted(frame.toArrow().to_pylist(), key=lambda row: row["row_id"])


@pytest.mark.parametrize("method", METHODS)
def test_exactly_the_quota_of_each_label_whatever_the_partitions(spark, method, monkeypatch):
    monkeypatch.setattr(core, "ROWS_A_BUCKET", 20)  # several buckets a label
    cfg = ResampleConfig(method=method, rows=81)
    got = rows_of(resample(*tables(spark), cfg, 0, 300.0))
    drawn = [row for row in got if row["origin"] == "synthetic"]
    assert {label: sum(row["label"] == label for row in drawn) for label in ("cat", "dog")} == {"cat": 61, "dog": 20}  # 45 : 15 of 81
    assert sum(row["origin"] == "real" for row in got) == 60
    assert len({row["row_id"] for row in got}) == len(got)
    assert not {row["doc_id"] for row in drawn} & set(IDS[:3])  # weight 0
    if method == "topn":
        assert len({row["doc_id"] for row in drawn}) == 81
    assert rows_of(resample(*tables(spark, partitions=7), cfg, 0, 300.0)) == got


def test_systematic_buckets_give_what_one_pass_over_the_sorted_rows_gives(spark, monkeypatch):
    monkeypatch.setattr(core, "ROWS_A_BUCKET", 20)
    drawn = rows_of(resample(*tables(spark), ResampleConfig(rows=400, include_real=False), 3, 300.0))
    plan = stage._systematic_plan("=dog", {"": 1}, 1, 3)[""]
    dogs = sorted(zip(IDS[200:], IN_LABEL[200:], strict=True))
    ticks = core.to_ticks(np.array([w for _, w in dogs]))
    copies = core.systematic_copies(ticks, 0, int(ticks.sum()), 100, plan.keywords["u"])
    want = {key: int(n) for (key, _), n in zip(dogs, copies, strict=True) if n}
    got = {}
    for row in drawn:
        if row["label"] == "dog":
            got[row["doc_id"]] = got.get(row["doc_id"], 0) + 1
    assert got == want


def test_rows_drawn_once_stand_for_the_weights(spark, monkeypatch):
    """Certain rows count their weight, the others share what is left; as many as 60 of the 200 cats by inclusion in proportion to the weight."""
    monkeypatch.setattr(core, "ROWS_A_BUCKET", 20)
    cfg = ResampleConfig(method="topn", rows=80, include_real=False)
    frames = tables(spark)
    found = rows_of(resample(*frames, cfg, 0, 300.0))
    cats = {row["doc_id"]: row["sample_weight"] for row in found if row["label"] == "cat"}
    weight = dict(zip(IDS[:200], IN_LABEL[:200].tolist(), strict=True))
    sizes = {key: core.coarse(int(ticks)) for key, ticks in zip(weight, core.to_ticks(IN_LABEL[:200]).tolist(), strict=True)}
    counted = {size: list(sizes.values()).count(size) for size in sizes.values() if size}
    edge, rest = core.certain(counted, 60)
    sure = {key for key, size in sizes.items() if size >= edge}
    assert 0 < len(sure) < 60
    assert sure <= set(cats)
    assert len(cats) == 60
    assert {key: cats[key] for key in sure} == pytest.approx({key: 60 * weight[key] for key in sure})
    left = 60 * (1 - sum(weight[key] for key in sure)) / rest
    assert [cats[key] for key in sorted(set(cats) - sure)] == pytest.approx([left] * rest)
    assert sum(cats.values()) == pytest.approx(60)
    assert rows_of(resample(*tables(spark, partitions=7), cfg, 0, 300.0)) == found
    assert {row["doc_id"] for row in rows_of(resample(*frames, cfg, 1, 300.0))} != {row["doc_id"] for row in found}


def test_sizes_are_those_of_the_core(spark):
    ticks = [1, 255, 511, 512, 1_000_003, 2**40 + 12_345, 2**50]
    frame = spark.createDataFrame([(t,) for t in ticks], "ticks bigint").select(F.expr(stage.SIZE).alias("size"), "ticks")
    assert {row["ticks"]: row["size"] for row in frame.toArrow().to_pylist()} == {t: core.coarse(t) for t in ticks}


def test_how_much_of_the_weights_equal_rows_represent(spark):
    frames = tables(spark)
    assert represented(resample(*frames, ResampleConfig(), 0, 300.0)) == pytest.approx(1.0)
    few, auto, most = (represented(resample(*frames, ResampleConfig(method="topn", rows=rows), 0, 300.0)) for rows in (12, "auto", 250))
    assert few > auto > most > 0.4
    drawn = rows_of(resample(*frames, ResampleConfig(method="topn", include_real=False), 0, 300.0))
    excess = 0.0  # by hand: of each label the weights above an equal share of its draws
    for label in ("cat", "dog"):
        given = np.array([row["weight"] for row in drawn if row["label"] == label]) / (200 if label == "cat" else 100)
        excess += len(given) / len(drawn) * np.maximum(given - 1 / len(given), 0).sum()
    assert auto == pytest.approx(1 - excess, abs=1e-3)
    assert represented(resample(*frames, ResampleConfig(), 0, 0.0)) is None


def test_sample_weights_say_what_synthetic_rows_count_beside_real_ones(spark):
    """60 real rows and 300 drawn ones."""

    def by_origin(rows):
        return {origin: {round(row["sample_weight"], 9) for row in rows if row["origin"] == origin} for origin in ("real", "synthetic")}

    assert by_origin(rows_of(resample(*tables(spark), ResampleConfig(), 0, 300.0))) == {"real": {1.0}, "synthetic": {1.0}}
    found = rows_of(resample(*tables(spark), ResampleConfig(), 0, 120.0))
    assert by_origin(found) == {"real": {2.0}, "synthetic": {0.8}}  # 60 : 120, of mean 1
    assert by_origin(rows_of(resample(*tables(spark), ResampleConfig(), 0, 0.0))) == {"real": {1.0}, "synthetic": {0.0}}
    assert {row["sample_weight"] for row in rows_of(resample(*tables(spark), ResampleConfig(include_real=False), 0, 120.0))} == {1.0}
    synthetic, weights, corpus = tables(spark)
    heavy = corpus.withColumn("prior_weight", F.when(F.col("label") == "dog", F.lit(5.0)))  # 45 of weight 1, 15 of weight 5
    kept = rows_of(resample(synthetic, weights, heavy, ResampleConfig(), 0, 120.0))
    of_real = {row["label"]: row["sample_weight"] for row in kept if row["origin"] == "real"}
    assert of_real == pytest.approx({"cat": 1.0, "dog": 5.0})  # mean 2 over the real rows, as before


def test_copies_are_numbered_and_weights_kept(spark):
    drawn = rows_of(resample(*tables(spark), ResampleConfig(rows=1000, include_real=False), 0, 300.0))
    weight = dict(zip(IDS, IN_LABEL, strict=True))
    copies = {}
    for row in drawn:
        copies.setdefault(row["doc_id"], []).append(row["draw"])
        n_label = 200 if row["label"] == "cat" else 100
        assert row["weight"] == pytest.approx(weight[row["doc_id"]] * n_label)
    assert all(sorted(draws) == list(range(len(draws))) for draws in copies.values())
    for key, draws in copies.items():
        n_label = 750 if LABELS[IDS.index(key)] == "cat" else 250
        assert abs(len(draws) - weight[key] * n_label) < 1


def test_auto_draws_as_many_rows_as_were_accepted_and_topn_as_many_as_fit(spark):
    frames = tables(spark)
    assert resample(*frames, ResampleConfig(include_real=False), 0, 300.0).count() == 300
    cfg = ResampleConfig(method="topn", include_real=False)
    weight = np.array(IN_LABEL) * np.where(np.array(LABELS) == "cat", 0.75, 0.25)  # shares of the 60 real rows
    ess = int(1 / np.sum(weight**2))
    assert 60 < ess < 200
    assert n_by_label(rows_of(resample(*frames, cfg, 0, 300.0))) == core.quotas({"cat": 0.75, "dog": 0.25}, ess)
    even = frames[1].withColumn("weight_in_label", F.when(F.col("label") == "cat", F.lit(1 / 200)).otherwise(F.lit(1 / 100)))
    fit = rows_of(resample(frames[0], even, frames[2], cfg, 0, 300.0))  # 266 effective rows: the labels have so many for their shares
    assert n_by_label(fit) == {"cat": 200, "dog": 66}


@pytest.mark.parametrize("method", METHODS)
def test_a_label_that_has_no_rows_on_any_side_stops_the_draw(spark, method):
    synthetic, weights, corpus = tables(spark, labels=["cat"] * 300)
    with pytest.raises(
        DataError, match=r"include_real is false, and label dog \(25% of the real rows\) has no synthetic rows.*set it to true"
    ):
        resample(synthetic, weights, corpus, ResampleConfig(method=method, include_real=False), 0, 300.0)
    resample(synthetic, weights, corpus, ResampleConfig(method=method, include_real=False), 0, 300.0, {"cat": 1.0})
    kept = rows_of(resample(synthetic, weights, corpus, ResampleConfig(method=method), 0, 300.0))
    of_dogs = sum(row["sample_weight"] for row in kept if row["label"] == "dog")
    assert of_dogs / sum(row["sample_weight"] for row in kept) == pytest.approx(0.25)


def n_by_label(rows):
    return {label: sum(row["label"] == label for row in rows) for label in ("cat", "dog")}


@pytest.mark.parametrize(("mixing_weight", "asked"), [(120.0, None), (300.0, None), (0.0, None), (120.0, {"cat": 0.2, "dog": 0.8})])
def test_sample_weights_keep_the_label_shares(spark, mixing_weight, asked):
    synthetic, weights, corpus = tables(spark)
    birds = [(f"bird{i}", f"bird {i}", "bird", None, 6, 2.0) for i in range(20)]  # of which there are no synthetic rows
    corpus = corpus.union(spark.createDataFrame(birds, CORPUS.ddl))
    rows = rows_of(resample(synthetic, weights, corpus, ResampleConfig(), 0, mixing_weight, asked))
    total = sum(row["sample_weight"] for row in rows)
    got = {label: sum(row["sample_weight"] for row in rows if row["label"] == label) / total for label in ("cat", "dog", "bird")}
    assert got == pytest.approx(({"bird": 0.0} | asked) if asked else {"cat": 0.45, "dog": 0.15, "bird": 0.4})
    assert total == pytest.approx(sum(row["sample_weight"] > 0 for row in rows))
    with pytest.raises(ConfigError, match=r"align.label_shares asks for a share of label bird \(0.5\), which has no synthetic rows"):
        resample(synthetic, weights, corpus, ResampleConfig(), 0, mixing_weight, {"cat": 0.5, "bird": 0.5})


def test_what_cannot_be_drawn_is_named(spark):
    frames = tables(spark)
    with pytest.raises(DataError, match=r"cat \(197 of 300\)"):
        resample(*frames, ResampleConfig(method="topn", rows=400), 0, 300.0)
    with pytest.raises(DataError, match="no label of the synthetic rows is in the corpus"):
        resample(*tables(spark, labels=["bird"] * 300), ResampleConfig(), 0, 300.0)
    with pytest.raises(DataError, match="no synthetic row of label dog has a weight"):
        resample(
            frames[0],
            frames[1].selectExpr("doc_id", "label", "weight", "IF(label = 'dog', 0D, weight_in_label) AS weight_in_label", "base_weight"),
            frames[2],
            ResampleConfig(),
            0,
            300.0,
        )
