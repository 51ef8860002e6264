"""The stage ``embed`` by an endpoint: stored vectors are never asked for again, and what a run that was cut off has paid is taken over."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError
from pyspark.sql import functions as F
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))  # for the tests' own server
from embedding_server import WIDTH, Embeddings, vector

from synalign_spark.cli import doctor, plan
from synalign_spark.cli.main import _public_configuration
from synalign_spark.config import Config, EmbedConfig
from synalign_spark.config.files import validate
from synalign_spark.errors import ConfigError, DataError, EndpointError
from synalign_spark.generation import client
from synalign_spark.pipeline.context import Context
from synalign_spark.pipeline.profile import profile_source
from synalign_spark.pipeline.runner import preflight
from synalign_spark.pipeline.settings import settings_of
from synalign_spark.pipeline.stages import embed as stage
from synalign_spark.pipeline.steps import BY_NAME
from synalign_spark.progress import Progress
from synalign_spark.report.gather import shown_config
from synalign_spark.spark.embed import known_vectors
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.paths import RunPaths
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS
from synalign_spark.udfs.encoder import encoder_info, endpoint_info

TEXTS = [f"sentence {i}" for i in range(23)]
SECRET = "http://me:hush@host/v1?sig=hush&api-version=2"


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(client, "backoff", lambda request_id, n: 0.01)


def context(spark, lake, address, run_id="r1", **embed):
    endpoint = {"base_url": address, "texts_per_request": 4, "concurrency": 2, "max_attempts": 2} | embed.pop("endpoint", {})
    sections = {"embed": {"model": "m", "endpoint": endpoint} | embed, "lake": {"path": str(lake), "format": "parquet"}}
    source = {"path": "unused", "label_column": "label", "label_separator": "|"}  # a text is a row of each of its labels
    cfg = Config.model_validate({"source": source, "run": {"id": run_id}, **sections})
    log = SimpleNamespace(warning=lambda words: None)
    return Context(cfg, spark, Lake(spark, str(lake), "parquet", run_id), Progress(Console(file=io.StringIO()), live=False), log)


def write_corpus(ctx, texts, parts=3, labels=("a",)):
    rows = ctx.spark.createDataFrame([(t, label) for t in texts for label in labels], "text string, label string").repartition(parts)
    empty = {"source_id": F.lit(None).cast("string"), "prior_weight": F.lit(None).cast("double")}
    made = rows.withColumns({"doc_id": F.sha2(F.concat("text", "label"), 256), "n_chars": F.length("text"), **empty})
    ctx.lake.write(CORPUS, made.select(*CORPUS.column_names))


def vectors(ctx):
    """Vectors by text, which a corpus row of each label has."""
    joined = ctx.lake.read(EMBEDDINGS).join(ctx.lake.read(CORPUS).select("doc_id", "text"), "doc_id")
    return {(row.text, row.label): row.embedding for row in joined.select("text", "label", "embedding").collect()}


def require_right(found, texts, labels=("a",)):
    assert found.keys() == {(text, label) for text in texts for label in labels}
    for (text, _), x in found.items():
        np.testing.assert_allclose(x, np.array(vector(text)) / np.linalg.norm(vector(text)), atol=1e-7)


@pytest.mark.parametrize("parts", [1, 2, 7, 40])  # of the last most are empty
def test_any_partitioning_has_the_same_vectors_and_each_text_is_asked_for_once(spark, tmp_path, parts):
    server = Embeddings()
    with server.serving() as address:
        ctx = context(spark, tmp_path, address, endpoint={"price_input_usd": 1.0})
        write_corpus(ctx, TEXTS, parts, labels=("a", "b"))  # two rows of each text
        summary = stage.run(ctx)
        assert (summary["rows"], summary["rows_encoded"], summary["rows_reused"]) == (46, 46, 0)
        assert (summary["texts_asked"], summary["requests"], summary["tokens"], summary["width"]) == (23, 6, 46, WIDTH)
        assert summary["revision"] == address
        assert summary["cost_usd"] == 0.000046
        require_right(vectors(ctx), TEXTS, ("a", "b"))
        assert set(server.answered.values()) == {1}
        assert server.answered.keys() == set(TEXTS)


def test_what_a_run_that_was_cut_off_has_paid_is_not_paid_again(spark, tmp_path):
    down = [4]
    server = Embeddings(fault=lambda texts, n: (401, {}, {"error": {"message": "expired"}}) if down and n >= down[0] else None)
    with server.serving() as address:
        ctx = context(spark, tmp_path, address)
        write_corpus(ctx, TEXTS)
        with pytest.raises(EndpointError, match="expired"):
            stage.run(ctx)
        assert not ctx.lake.has_table(EMBEDDINGS)
        assert server.answered.total() == 12
        ledger = Path(RunPaths(str(tmp_path), "r1").embedding_ledger)
        (ledger / "torn.jsonl").write_text('{"request_id": "x", "status": "answered", "answer": "{\\"keys\\": [')  # by a kill
        down.clear()
        summary = stage.run(ctx)
    assert (summary["texts_asked"], summary["rows_encoded"]) == (11, 23)
    require_right(vectors(ctx), TEXTS)
    assert set(server.answered.values()) == {1}
    assert server.answered.keys() == set(TEXTS)
    again = stage.run(ctx)  # and the server is gone
    assert (again["rows_encoded"], again["rows_reused"], again["width"]) == (0, 23, WIDTH)


def test_vectors_of_other_runs_are_reused_and_only_under_the_same_key(spark, tmp_path):
    server = Embeddings()
    with server.serving() as address:
        first = context(spark, tmp_path, address)
        write_corpus(first, TEXTS[:5])
        stage.run(first)
        other = context(spark, tmp_path, address, "r2")
        write_corpus(other, TEXTS[:9])
        assert (summary := stage.run(other))["rows_reused"] == 5
        assert summary["texts_asked"] == 4
        require_right(vectors(other), TEXTS[:9])
        shorter = context(spark, tmp_path, address, "r3", endpoint={"dimensions": 4})
        write_corpus(shorter, TEXTS[:2])
        assert (stage.run(shorter)["width"], {len(x) for x in vectors(shorter).values()}) == (4, {4})


def test_a_server_that_changes_its_width_is_refused_by_stored_vectors_and_by_the_ledger(spark, tmp_path):
    wide = Embeddings(shape=lambda data: [one | {"embedding": [1.0] * 9} for one in data])
    narrow = Embeddings(fault=lambda texts, n: (401, {}, {}) if n > 1 else None)
    with narrow.serving() as address:
        ctx = context(spark, tmp_path, address, endpoint={"concurrency": 1})
        write_corpus(ctx, TEXTS)
        with pytest.raises(EndpointError):
            stage.run(ctx)
        narrow.fault, narrow.shape = lambda texts, n: None, wide.shape
        with pytest.raises(EndpointError, match="vectors of 9 numbers, and 6 are expected"):
            stage.run(ctx)
        narrow.shape = lambda data: data
        stage.run(ctx)
        info = endpoint_info(ctx.cfg.embed)
        mixed = ctx.lake.read(EMBEDDINGS).withColumn("embedding", F.expr("if(doc_id < '8', slice(embedding, 1, 3), embedding)"))
        with pytest.raises(DataError, match="width 3 under model 'm'"):
            known_vectors(mixed, ctx.lake.read(CORPUS), info)


@pytest.mark.parametrize(
    ("embed", "words"),
    [
        ({"endpoint": {}}, "which no endpoint has; set it to the name"),
        ({"model": "hashing", "endpoint": {}}, "which no endpoint has"),
        ({"model": "m", "endpoint": {}, "max_tokens": 512}, "max_tokens is for models of this machine.*set endpoint.max_chars"),
        ({"model": "m", "endpoint": {}, "long_texts": "mean_of_windows"}, "long_texts is for models of this machine"),
        ({"model": "m", "endpoint": {}, "precision": "bf16"}, "remove precision"),
        ({"model": "m", "endpoint": {}, "batch_size": 8}, "set endpoint.texts_per_request"),
        ({"model": "m", "endpoint": {"base_url": "http://host:99999/v1"}}, "the port is no number"),
        ({"model": "m", "endpoint": {"limits": {"max_cost_usd": 1}}}, "limits.max_cost_usd needs price_input_usd"),
        ({"model": "m", "endpoint": {"api_key_env": "abcdef0123456789abcdef0123456789"}}, "looks like a key itself"),
        ({"model": "m", "endpoint": {"headers": {"a b": "X"}}}, "is no name of a header"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(embed, words):
    with pytest.raises(ValidationError, match=words):
        EmbedConfig.model_validate(embed)


def test_faults_of_the_configuration_name_their_key():
    with pytest.raises(ConfigError, match=r"embed\.endpoint\.dimension: unknown key; did you mean `dimensions`\?"):
        validate({"source": {"path": "x"}, "embed": {"model": "m", "endpoint": {"dimension": 3}}})
    with pytest.raises(ConfigError, match=r"embed\.endpoint\.dimensions: got 0; "):
        validate({"source": {"path": "x"}, "embed": {"model": "m", "endpoint": {"dimensions": 0}}})


def test_what_may_be_secret_is_in_no_key_no_manifest_no_report_and_no_printed_configuration(capsys):
    cfg = validate({"source": {"path": "x"}, "embed": {"model": "m", "endpoint": {"base_url": SECRET}}})
    assert endpoint_info(cfg.embed).revision == "http://host/v1?api-version=2"
    settings = settings_of(BY_NAME["embed"], cfg)
    assert settings["embed.endpoint.base_url"].startswith("http://host/v1?api-version=2 (sha256 ")
    shown = json.dumps(settings) + shown_config(cfg) + _public_configuration(cfg)
    assert "hush" not in shown + "".join(capsys.readouterr())


def test_keys_that_shape_no_vector_ask_for_no_redo_and_a_lake_of_before_is_not_foreign():
    def settings(**endpoint):
        return settings_of(BY_NAME["embed"], validate({"source": {"path": "x"}, "embed": {"model": "m", "endpoint": endpoint}}))

    assert settings() == settings(
        timeout_s=1, texts_per_request=2, concurrency=3, price_input_usd=1, limits={"max_requests": 5}, headers={"a": "B"}
    )
    assert settings() != settings(dimensions=3)
    assert settings() != settings(max_chars=3)
    assert settings_of(BY_NAME["embed"], validate({"source": {"path": "x"}}))["embed.endpoint"] is None


def test_a_call_of_the_library_does_not_ask_the_endpoint():
    with pytest.raises(ConfigError, match=r"only the stage `embed` of a run asks an endpoint"):
        encoder_info(EmbedConfig.model_validate({"model": "m", "endpoint": {}}))


def test_preflight_profile_plan_and_doctor_know_the_endpoint(spark, tmp_path, monkeypatch):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"text": f"{text} is forty characters long, or nearly"[:40], "label": text[-1]}) + "\n" for text in TEXTS)
    )
    server = Embeddings()
    with server.serving() as address:
        given = {
            "source": {"path": str(rows), "label_column": "label"},
            "lake": {"path": str(tmp_path / "lake"), "format": "parquet"},
            "generate": {"target_rows": 100},
            "embed": {"model": "m", "endpoint": {"base_url": address, "texts_per_request": 10, "price_input_usd": 2.0}},
        }
        cfg = validate(given)
        preflight(cfg, [BY_NAME["embed"]])
        monkeypatch.setattr(plan, "make_profile", lambda cfg: profile_source(cfg, spark))
        made = plan.make_plan(cfg)
        assert made["profile"]["embedder"] is None
        assert not made["profile"]["stops"]
        assert made["embed"] == {"texts": 123, "calls": 13, "tokens": 1230, "cost_usd": 0.0025, "minutes": 0.1}
        console = Console(file=io.StringIO(), width=200)
        plan.render(made, console)
        assert "embed, calls: 13" in console.file.getvalue()
        assert "embed, cost usd: 0.0025" in console.file.getvalue()
        assert not server.bodies  # so far nothing was paid
        assert doctor._embedder(cfg).endswith("6 dimensions")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(EndpointError, match=r"embed\.endpoint\.api_key_env"):
        preflight(validate(given | {"embed": {"model": "m", "endpoint": {}}}), [BY_NAME["embed"]])
