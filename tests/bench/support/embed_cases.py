"""The parts of the embedding benchmark: each returns figures for its JSON."""

import io
import tempfile
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.console import Console

import synalign_spark.pipeline.stages.embed as stage
from synalign_spark.config import Config, EmbedConfig
from synalign_spark.pipeline.context import Context
from synalign_spark.progress import Progress
from synalign_spark.spark.embed import embed
from synalign_spark.spark.length_order import Lengths, by_length
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS
from synalign_spark.udfs.batches import slots
from synalign_spark.udfs.encoder import encoder, encoder_info
from synalign_spark.udfs.sentence_model import CPU_ROWS
from tests.bench.support.processes import cpu_seconds
from tests.bench.support.review_texts import texts

WORKERS = "pyspark.daemon"  # in the command of Spark's Python workers
INFO = encoder_info(EmbedConfig())
FAST = encoder_info(EmbedConfig(precision="bf16"))


def frame(spark: SparkSession, rows: list[str]) -> DataFrame:
    """doc_id, text and label; texts may repeat, ids do not."""
    return spark.createDataFrame([(f"{i:08d}", text, "a") for i, text in enumerate(rows)], "doc_id string, text string, label string")


def ratio(spark: SparkSession, kind: str, rows: int, tasks: list[int], rounds: int) -> dict[str, Any]:
    """Rows a CPU second of the workers over those of plain ``encode`` on one thread, in turns; workers are warm, as plain is. Of the rounds
    the best counts: what else runs on the machine only ever adds to CPU seconds."""
    import torch

    torch.set_num_threads(1)
    wanted = texts(kind, rows)
    data = frame(spark, wanted).localCheckpoint()
    lengths = Lengths.of(data, INFO.forward.max_tokens)
    model: Any = encoder(INFO).model
    model.model.encode(wanted[:8])
    for info in (INFO, FAST):
        _run(embed(data.limit(16), info, lengths, 2))
    seconds: dict[str, float] = {}
    for _ in range(rounds):
        started = time.process_time()
        model.model.encode(wanted, show_progress_bar=False)
        _least(seconds, "plain", time.process_time() - started)
        for name, info in (("fp32", INFO), ("bf16", FAST)):
            for n in tasks:
                with cpu_seconds(WORKERS) as spent:
                    _run(embed(data, info, lengths, n))
                _least(seconds, f"{name}_{n}", spent[0])
    rates = {name: rows / value for name, value in seconds.items()}
    return {
        f"{kind}_rows_per_cpu_second": {name: round(value, 1) for name, value in rates.items()},
        f"{kind}_fp32_ratio": {str(n): round(rates[f"fp32_{n}"] / rates["plain"], 3) for n in tasks},
        f"{kind}_fast_ratio": {str(n): round(rates[f"bf16_{n}"] / rates["plain"], 3) for n in tasks},
    }


def cosines(kind: str, rows: int) -> dict[str, Any]:
    """Mean and least cosine of bf16 with fp32."""
    wanted = texts(kind, rows)
    found = np.einsum("ij,ij->i", encoder(INFO).encode(wanted), encoder(FAST).encode(wanted), dtype=np.float64)
    return {f"{kind}_fast_cosine": {"mean": round(float(found.mean()), 6), "least": round(float(found.min()), 6)}}


def counted_slots(spark: SparkSession, kind: str, rows: int, tasks: list[int]) -> dict[str, Any]:
    """Token slots that the model computes over those of plain ``encode``, which sorts all texts by length. Counted, not timed."""
    wanted = texts(kind, rows)
    tokenizer: Any = encoder(INFO).model.model.tokenizer  # type: ignore[attr-defined]
    ids = tokenizer(wanted, truncation=True, max_length=INFO.forward.max_tokens)["input_ids"]
    tokens = np.array([len(row) for row in ids], dtype=np.int64)
    plain, size = slots(tokens, CPU_ROWS, fixed=False), CPU_ROWS
    data = frame(spark, wanted).localCheckpoint()
    lengths = Lengths.of(data, INFO.forward.max_tokens)
    result: dict[str, Any] = {}
    for name, place in {"": lambda n: by_length(data, lengths, n), "_by_hash": lambda n: data.repartition(n, "doc_id")}.items():
        for n in tasks:
            rows_of = place(n).select(F.spark_partition_id().alias("task"), F.col("doc_id").cast("int").alias("row")).toPandas()
            parts = [tokens[part.to_numpy()] for _, part in rows_of.groupby("task")["row"]]
            result.setdefault(f"{kind}_slots_ratio{name}", {})[str(n)] = round(sum(slots(p, size, False) for p in parts) / plain, 3)
            result.setdefault(f"{kind}_slots_ratio_fixed{name}", {})[str(n)] = round(sum(slots(p, size, True) for p in parts) / plain, 3)
    return result


def stored(spark: SparkSession, n_stored: int, new: int) -> dict[str, Any]:
    """Bytes shuffled by the stage for ``new`` texts beside so many stored vectors, and what a second run encodes."""
    with tempfile.TemporaryDirectory() as folder:
        others = spark.range(n_stored).select(
            F.lit("real").alias("origin"),
            F.sha2(F.col("id").cast("string"), 256).alias("doc_id"),
            F.lit("a").alias("label"),
            F.lit(INFO.model).alias("model"),
            F.lit(INFO.revision).alias("revision"),
            F.transform(F.sequence(F.lit(1), F.lit(INFO.width)), lambda i: F.rand(1).cast("float") + i.cast("float")).alias("embedding"),
        )
        _context(spark, folder, "others").lake.write(EMBEDDINGS, others, origin="real")
        ctx = _context(spark, folder, "mine")
        rows = frame(spark, texts("short", new)).select(
            F.sha2("doc_id", 256).alias("doc_id"), "text", "label", F.lit(None).cast("string").alias("source_id"),
            F.length("text").alias("n_chars"), F.lit(None).cast("double").alias("prior_weight"),
        )  # fmt: skip
        ctx.lake.write(CORPUS, rows)
        before = _shuffled(spark)
        first = stage.run(ctx)
        shuffled = _shuffled(spark) - before
        second = stage.run(ctx)
    return {
        "stored": n_stored,
        "new_rows_encoded": first["rows_encoded"],
        "new_shuffled_bytes": shuffled,
        "second_run_rows": second["rows_encoded"],
    }


def hashing(rows: int) -> dict[str, Any]:
    """Rows a CPU second of the embedder without a model."""
    loaded, wanted = encoder(encoder_info(EmbedConfig(model="hashing"))), texts("short", rows)
    loaded.encode(wanted[:8])
    started = time.process_time()
    loaded.encode([f"{text} {i}" for i, text in enumerate(wanted)])
    return {"hashing_rows_per_cpu_second": round(rows / (time.process_time() - started))}


def _context(spark: SparkSession, folder: str, run_id: str) -> Context:
    cfg = Config.model_validate({"source": {"path": "unused"}, "lake": {"path": folder, "format": "parquet"}})
    return Context(cfg, spark, Lake(spark, folder, "parquet", run_id), Progress(Console(file=io.StringIO()), live=False), SimpleNamespace())


def _run(rows: DataFrame) -> None:
    rows.write.format("noop").mode("overwrite").save()


def _least(seconds: dict[str, float], name: str, value: float) -> None:
    seconds[name] = min(seconds.get(name, value), value)


def _shuffled(spark: SparkSession) -> int:
    """Bytes that all stages of the session so far have written for shuffles."""
    jvm: Any = spark.sparkContext._jvm
    none, java_list = spark.sparkContext._gateway.new_array(jvm.double, 0), jvm.java.util.ArrayList  # type: ignore[union-attr]
    stages = spark.sparkContext._jsc.sc().statusStore().stageList(java_list(), False, False, none, java_list())  # type: ignore[union-attr]
    return sum(int(stages.apply(i).shuffleWriteBytes()) for i in range(stages.size()))
