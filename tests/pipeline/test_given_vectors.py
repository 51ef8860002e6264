"""Vectors that the source has already: the weights are those of the embedder that made them, no model is loaded, and unusable ones are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from synalign_spark.api.run import run
from synalign_spark.cli import doctor
from synalign_spark.compat import to_arrow
from synalign_spark.config import Config
from synalign_spark.core.hashing import HashingEncoder
from synalign_spark.errors import DataError
from synalign_spark.pipeline.stages import embed as stage
from synalign_spark.spark.given_vectors import given_vectors
from synalign_spark.udfs.encoder import Encoder
from tests.pipeline.films import film_reviews, quiet

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 64
TWO = {
    "source": {"path": "real", "embedding_column": "v"},
    "generate": {"strategy": "imported", "imported": {"path": "other", "embedding_column": "v"}},
}


def with_vectors(rows, scale=1.0):
    """The rows as a table with the vectors of the model 'hashing'."""
    x = Encoder(HashingEncoder(WIDTH)).encode([row["text"] for row in rows])
    lengths = scale * np.linspace(0.5, 2, len(rows))[:, None]  # no unit vectors
    columns = {name: [row[name] for row in rows] for name in ("text", "label")}
    return pa.table({**columns, "v": pa.array((x * lengths).tolist(), pa.list_(pa.float64()))})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """100 real and 40 other film reviews with vectors, as Parquet."""
    folder = tmp_path_factory.mktemp("given")
    rows = film_reviews()[::61]
    pq.write_table(with_vectors(rows[40:140]), folder / "real.parquet")
    pq.write_table(with_vectors(rows[:40]), folder / "other.parquet")
    return folder


def config(folder, lake, *, real, other, embed):
    sides = [{"path": str(folder / f"{name}.parquet"), "label_column": "label"} | ({"embedding_column": "v"} if given else {}) for name, given in (("real", real), ("other", other))]  # fmt: skip
    return {
        "lake": {"path": str(lake), "format": "parquet"},
        "source": sides[0],
        "generate": {"strategy": "imported", "imported": sides[1]},
        "embed": embed,
        "cluster": {"k": 4},
        "align": {"n_features": 128, "permutations": 99},
    }


HASHING = {"model": "hashing", "hashing_width": WIDTH}


def weights(done):
    found = to_arrow(done.table("weights").select("doc_id", "weight"))
    return dict(zip(found["doc_id"].to_pylist(), found["weight"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def embedded(spark, folder, tmp_path_factory):
    """The weights of the same rows where the model makes their vectors."""
    return weights(
        run(config(folder, tmp_path_factory.mktemp("lake"), real=False, other=False, embed=HASHING), spark=spark, progress=quiet())
    )


@pytest.mark.slow  # four whole runs
@pytest.mark.parametrize(("real", "other", "embed"), [(True, True, {}), (True, False, HASHING), (False, True, HASHING)])
def test_weights_are_those_of_the_embedder_that_made_them(spark, folder, embedded, tmp_path, monkeypatch, real, other, embed):
    if real and other:
        monkeypatch.setattr(stage, "encoder_info", lambda cfg: pytest.fail("no embedder is needed"))
    done = run(config(folder, tmp_path, real=real, other=other, embed=embed), spark=spark, progress=quiet())
    found = weights(done)
    assert found.keys() == embedded.keys()
    np.testing.assert_allclose([found[key] for key in embedded], list(embedded.values()), atol=1e-5)
    for step, given in (("embed", real), ("embed-synthetic", other)):
        summary = done.manifest[step]["summary"]
        assert (summary["rows_encoded"] == 0, summary["width"]) == (given, WIDTH)
        assert given == (summary["revision"] == "given")
        assert (summary.get("cosine_with_model") == pytest.approx(1, abs=1e-5)) == (given and not (real and other))


def test_another_embedder_is_found_out(spark, folder, tmp_path):
    cfg = config(folder, tmp_path, real=True, other=False, embed=HASHING | {"hashing_width": 32})
    with pytest.raises(DataError, match="vectors of width 64, and embed.model 'hashing' makes 32 numbers"):
        run(cfg, spark=spark, progress=quiet())
    x = pq.read_table(folder / "real.parquet")
    turned = [v[1:] + v[:1] for v in x["v"].to_pylist()]
    pq.write_table(x.set_column(2, "v", pa.array(turned)), tmp_path / "real.parquet")
    cfg = config(folder, tmp_path / "lake", real=True, other=False, embed=HASHING)
    with pytest.raises(
        DataError,
        match=r"source.embedding_column: of 32 rows the vectors have a mean cosine of -?0\.\d+ with those that embed.model 'hashing'",
    ):
        run(cfg | {"source": cfg["source"] | {"path": str(tmp_path / "real.parquet")}}, spark=spark, progress=quiet())


def test_both_sides_have_one_width(spark, folder, tmp_path):
    x = pq.read_table(folder / "other.parquet")
    pq.write_table(x.set_column(2, "v", pa.array([v[:5] for v in x["v"].to_pylist()])), tmp_path / "other.parquet")
    cfg = config(folder, tmp_path / "lake", real=True, other=True, embed={})
    cfg["generate"]["imported"]["path"] = str(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="generate.imported.embedding_column: vectors of width 5, and those of the real rows have 64"):
        run(cfg, spark=spark, progress=quiet())


GOOD = [[1.0, 2.0], [2.0, 1.0], [0.5, 0.5], [3.0, 0.0]]


def taken(spark, path, vectors, parts=2, **source):
    """What is taken of a source with these vectors beside the texts a, b, ...; the accepted rows are those of the source."""
    texts = [chr(ord("a") + i) for i in range(len(vectors))]
    path.write_text("".join(json.dumps({"text": text, "v": v}) + "\n" for text, v in zip(texts, vectors, strict=True)))
    cfg = Config.model_validate(TWO | {"source": {"path": str(path), "embedding_column": "v", **source}}).source
    rows = spark.createDataFrame([(text, None) for text in texts], "text string, label string").repartition(parts)
    rows = rows.selectExpr("sha2(text, 256) as doc_id", "text", "label")
    with given_vectors(spark, cfg, rows) as given:
        found = {row["doc_id"]: row["embedding"] for row in given.vectors.collect()}
        return given, [found[row["doc_id"]] for row in sorted(rows.collect(), key=lambda row: row["text"])]


@pytest.mark.parametrize("parts", [1, 2, 7])  # of seven some are empty
def test_vectors_have_length_one_however_rows_lie(spark, tmp_path, parts):
    given, found = taken(spark, tmp_path / "x.jsonl", GOOD, parts)
    np.testing.assert_allclose(found, np.asarray(GOOD) / np.linalg.norm(GOOD, axis=1)[:, None], atol=1e-7)
    assert (given.rows, given.width, given.several) == (4, 2, 0)


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ([*GOOD, None], "1 of 5 rows have no vector (such as 'e'); give them one, or leave them out by source.where"),
        ([*GOOD, "1, 2"], "1 of 5 rows have no vector (such as 'e')"),
        ([*GOOD, []], "1 of 5 rows have no vector (such as 'e')"),
        ([*GOOD, [None, 1.0]], "1 of 5 rows have a vector that holds null, NaN or infinity (such as 'e')"),
        ([*GOOD, [1e300, 1.0]], "1 of 5 rows have a vector that holds null, NaN or infinity (such as 'e')"),
        ([*GOOD, [0, 0]], "1 of 5 rows have a vector of zeros, which has no direction (such as 'e')"),
        ([*GOOD, [1.0, 2.0, 3.0]], "vectors of widths 2 to 3; embed all rows with one embedder"),
        ([[2.0, 2.0], [1.0, 1.0], [4.0, 4.0]], "all 3 vectors are the same"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused(spark, tmp_path, vectors, words):
    with pytest.raises(DataError) as caught:
        taken(spark, tmp_path / "x.jsonl", vectors)
    assert str(caught.value).startswith("source.embedding_column 'v': ")
    assert words in str(caught.value)


def test_rows_of_one_text_may_bring_several(spark, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(
        "".join(json.dumps({"text": text, "v": v}) + "\n" for text, v in [("a", [0, 2]), (" a ", [0, 1]), ("b", [1, 0]), ("b", [1, 0])])
    )
    source = Config.model_validate(TWO | {"source": {"path": str(path), "embedding_column": "v"}}).source
    rows = spark.createDataFrame([("a", None), ("b", None)], "text string, label string").selectExpr(
        "sha2(text, 256) as doc_id", "text", "label"
    )
    with given_vectors(spark, source, rows) as given:
        assert (given.rows, given.several) == (2, 1)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 2), pa.large_list(pa.float64()), pa.list_(pa.int16())])
@pytest.mark.parametrize("end", ["parquet", "arrow"])
def test_lists_of_any_numbers_are_read(spark, tmp_path, kind, end):
    table = pa.table({"text": ["a", "b"], "v": pa.array([[3, 4], [0, 1]], kind)})
    path = tmp_path / f"x.{end}"
    if end == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    source = Config.model_validate(TWO | {"source": {"path": str(path), "embedding_column": "v"}}).source
    rows = spark.createDataFrame([("a", None), ("b", None)], "text string, label string").selectExpr(
        "sha2(text, 256) as doc_id", "text", "label"
    )
    with given_vectors(spark, source, rows) as given:
        np.testing.assert_allclose(sorted(row["embedding"] for row in given.vectors.collect()), [[0, 1], [0.6, 0.8]], atol=1e-7)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"other": [1]}, "source.embedding_column: no column 'v' in"),
        ({"v": [1.5]}, "source.embedding_column: 'v' is of type double; cast it to array<float>"),
        ({"v": [["x"]]}, "source.embedding_column: 'v' is of type array<string>; cast it to array<float>"),
    ],
)
def test_ingest_refuses_a_column_of_no_vectors(spark, tmp_path, cells, words):
    pq.write_table(pa.table({"text": ["a"], **cells}), tmp_path / "x.parquet")
    cfg = TWO | {
        "source": {"path": str(tmp_path / "x.parquet"), "embedding_column": "v"},
        "lake": {"path": str(tmp_path / "lake"), "format": "parquet"},
    }
    cfg["generate"] = {"strategy": "imported", "imported": {"path": str(tmp_path / "x.parquet"), "embedding_column": "v"}}
    with pytest.raises(DataError) as caught:
        run(cfg, spark=spark, stage="ingest", progress=quiet())
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": {"path": "x", "embedding_column": "v", "format": "csv"}}, "format is 'csv', which holds no lists of numbers"),
        (
            {"generate": {}},
            "source.embedding_column is set, and the synthetic texts are embedded by embed.model, which is not named; name the embedder that made the vectors",
        ),
        (
            {"source": {"path": "x"}},
            "the real texts are embedded by embed.model, which is not named; name the embedder that made the vectors, or set source",
        ),
        ({"dedup": {"evaluation_sets": [{"path": "x", "embedding_column": "v"}]}}, "evaluation_sets[0].embedding_column is set"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(TWO | change)
    assert words in str(caught.value)


def test_a_named_embedder_may_embed_the_other_side():
    assert Config.model_validate(TWO | {"generate": {}, "embed": {"model": "embedded:all-MiniLM-L6-v2"}}).embeds
    assert not Config.model_validate(TWO).embeds


def test_doctor_looks_for_no_embedder():
    assert doctor._embedder(Config.model_validate(TWO)) == "none is needed: vectors are in the columns 'v' and 'v'"


@pytest.mark.slow  # a JVM of its own
def test_nine_stages_without_torch_or_any_model(folder, tmp_path):
    """Packages of models cannot be imported, on the driver or on a worker: the meta path is that of a sitecustomize."""
    missing = ("torch", "sentence_transformers", "transformers", "onnxruntime", "huggingface_hub", "openai", "ray")
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nclass Finder:\n    def __init__(self, found):\n        self.found = found\n    def find_spec(self, name, path=None, target=None):\n"
        f"        return None if name.split('.')[0] in {missing!r} else self.found.find_spec(name, path, target)\n"
        "    def __getattr__(self, name):\n        return getattr(self.found, name)\nsys.meta_path[:] = map(Finder, sys.meta_path)\n"
    )
    cfg = config(folder, tmp_path / "lake", real=True, other=True, embed={})
    (tmp_path / "c.yaml").write_text(json.dumps(cfg | {"spark": {"master": "local[2]", "driver_memory": "1g"}}))
    done = subprocess.run(
        [sys.executable, "-m", "synalign_spark", "run", "--config", str(tmp_path / "c.yaml"), "--json"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    stages = json.loads(done.stdout)["stages"]
    assert len(stages) == 9
