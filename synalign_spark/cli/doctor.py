"""``synalign doctor``: is everything there that a run needs? Each check runs the real component once."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pyarrow import fs
from rich.markup import escape

from synalign_spark.cli.exits import exit_with
from synalign_spark.cli.profile import read_in_words
from synalign_spark.config import Config, LlmConfig
from synalign_spark.config.files import lake_of
from synalign_spark.console import Console
from synalign_spark.exit_status import Exit, status_of
from synalign_spark.scrubbing import scrub
from synalign_spark.spark_errors import told_error


def doctor_command(config: Sequence[str], settings: Sequence[str], as_json: bool) -> None:
    """``synalign doctor``, and the stage ``doctor`` of spark-submit; ends the process with the status of what is worst."""

    def action() -> Exit:
        has_source = bool(config) or any(setting.startswith("source.") for setting in settings)
        findings = examine(lake_of(config, settings), has_source)
        if as_json:
            print(json.dumps({"ok": all(f["ok"] for f in findings), "checks": findings}))
        else:
            render(findings, Console(highlight=False))
        return Exit(min((f["status"] for f in findings if not f["ok"]), default=Exit.DONE))

    exit_with(action)


def examine(cfg: Config, has_source: bool = True) -> list[dict[str, Any]]:
    """One finding a component: name, ok, status (as a run's exit status would be), detail, seconds. A check that fails never stops the others. has_source: a corpus is configured, whose
    first texts the embedder is tried on."""
    checks: list[tuple[str, Callable[[Config], str]]] = [
        ("java", _java),
        ("lake", _lake),
        ("embedder", _embedder),
        ("spark and tables", _spark),
        *([("source", _source)] if has_source else []),
    ]
    if cfg.generate.strategy != "imported":
        checks += [("ray", _ray)] if cfg.generate.llm.backend == "ray" and cfg.generate.llm.mode == "calls" else []
        for number, one in enumerate(cfg.generate.endpoints, 1):
            checks.append((f"language model {number}" if cfg.generate.llms else "language model", partial(_endpoint, llm=one.llm)))
    return [_one(name, check, cfg) for name, check in checks]


def _one(name: str, check: Callable[[Config], str], cfg: Config) -> dict[str, Any]:
    started = time.monotonic()
    try:
        detail, status = check(cfg), Exit.DONE
    except Exception as err:
        found = err if isinstance(err, OSError) else told_error(err, name, {}) or err  # Spark's are traces
        detail, status = f"{type(found).__name__}: {found}", status_of(found)
    seconds = round(time.monotonic() - started, 2)
    return {"name": name, "ok": status is Exit.DONE, "status": int(status), "detail": scrub(detail), "seconds": seconds}


def _java(cfg: Config) -> str:
    from synalign_spark.pipeline.connect import server
    from synalign_spark.pipeline.session import java_version

    if server(cfg):
        return "none is needed here: Spark is a Connect server"
    return f"Java {java_version()}"


def _lake(cfg: Config) -> str:
    from synalign_spark.storage.runs import RunStore

    RunStore(cfg.lake.path, cfg.run.id)  # makes the run's folder and writes a file there
    return f"{cfg.lake.path} can be written"


def _embedder(cfg: Config) -> str:
    if not cfg.embeds:
        return f"none is needed: vectors are in the columns {cfg.embedding_column('real')!r} and {cfg.embedding_column('synthetic')!r}"
    if cfg.embed.endpoint is not None:
        from synalign_spark.generation.embedding import describe

        return describe(cfg.embed)
    from synalign_spark.udfs.encoder import encoder_info

    info = encoder_info(cfg.embed)
    less = "" if info.forward.max_tokens == cfg.embed.max_tokens else f", not the {cfg.embed.max_tokens} of embed.max_tokens"
    return f"{cfg.embed.model}: {info.width} dimensions, {info.forward.max_tokens} tokens{less}, revision {info.revision[:12]}"


def _spark(cfg: Config) -> str:
    """Starts Spark, writes a table where the run's will lie and reads it back, and has each executor run a Python function."""
    from synalign_spark.pipeline.session import start_spark
    from synalign_spark.spark.executors import examine_executors
    from synalign_spark.storage.lake import Lake
    from synalign_spark.storage.paths import RunPaths, filesystem
    from synalign_spark.storage.tables import METRICS

    address = RunPaths(cfg.lake.path, cfg.run.id).scratch
    spark = start_spark(cfg)
    try:
        lake = Lake(spark, address, cfg.lake.format, "doctor")
        rows = spark.createDataFrame([("doctor", None, 1.0, "rows")], "name string, label string, value double, unit string")
        lake.write(METRICS, rows)
        value = lake.read(METRICS).collect()[0]["value"]
        executors = examine_executors(spark, cfg.embeds and cfg.embed.endpoint is None and cfg.embed.model != "hashing")
        return f"Spark {spark.version} wrote and read a {cfg.lake.format} table in the lake ({value:.0f} row); {executors}"
    finally:
        spark.stop()
        files, place = filesystem(address)
        if files.get_file_info(place).type == fs.FileType.Directory:
            files.delete_dir(place)


def _source(cfg: Config) -> str:
    """How the embedder reads the first texts of the source. Raises DataError where a run would stop for it."""
    from synalign_spark.pipeline.profile import embedder_findings, embedder_on, refuse, stops
    from synalign_spark.pipeline.session import spark_session
    from synalign_spark.spark.sources import read_source

    with spark_session(cfg) as spark:
        rows = read_source(spark, cfg.source).where("text is not null").select("text").limit(cfg.profile.rows_looked_at).collect()
    read = embedder_on(cfg, [row["text"] for row in rows])
    refuse({"stops": stops(cfg, embedder_findings(read, cfg.embed.max_tokens))})
    if read is None:
        return f"{len(rows)} texts read; how the embedder reads them cannot be told"
    return f"of {read['texts']} texts the embedder {read_in_words(read)}"


def _ray(cfg: Config) -> str:
    import ray

    from synalign_spark.generation.backends.ray_session import ray_session

    with ray_session(cfg.generate.llm):
        return f"Ray {ray.__version__}: {ray.get(ray.remote(lambda: 1).remote())} task ran"


def _endpoint(cfg: Config, llm: LlmConfig) -> str:
    from synalign_spark.generation.endpoint import describe

    return describe(llm)


def render(findings: list[dict[str, Any]], console: Console) -> None:
    """One line a finding, then what to do."""
    for f in findings:
        mark = "[green]ok[/]    " if f["ok"] else "[red]failed[/]"
        console.print(f"{mark} {f['name']:<18} {f['seconds']:6.1f} s   {escape(f['detail'])}", soft_wrap=True)
    failed = [f["name"] for f in findings if not f["ok"]]
    console.print(f"[red]mend: {', '.join(failed)}[/]" if failed else "[green]everything is there[/]")
