"""What a run has come to, as one object of plain JSON values. No Spark."""

import contextlib
from typing import Any

from synalign_spark.cli.exits import Ending
from synalign_spark.config import Config
from synalign_spark.errors import SynalignError
from synalign_spark.pipeline.recorder import Recorder
from synalign_spark.storage.lake_view import LakeView
from synalign_spark.storage.runs import RunStore

Json = dict[str, Any]


def outcome(ending: Ending, cfg: Config | None, recorder: Recorder | None) -> Json:
    """How a start of a run ended, and what its lake holds now. cfg, recorder: None where the start did not come so far."""
    error = ending.error
    found: Json = {
        "status": ending.status.name.lower(),
        "exit_code": int(ending.status),
        "error": error and {"kind": type(error).__name__, "message": ending.message, "retryable": ending.retryable},
        "run_id": cfg and cfg.run.id,
    }
    return found if cfg is None else found | _of_run(cfg, recorder)


def _of_run(cfg: Config, recorder: Recorder | None) -> Json:
    manifest: Json = {}
    rows: dict[str, int] = {}
    with contextlib.suppress(SynalignError):  # the error of the run says it
        manifest = RunStore(cfg.lake.path, cfg.run.id, writable=False).manifest()
        rows = LakeView(cfg.lake.path, cfg.lake.format, cfg.run.id).rows() if manifest else {}
    ran, left = (recorder.ran, recorder.left) if recorder else ({}, None)
    certified = "align" in manifest and "align" not in (left or ())
    return {
        "lake": {"path": cfg.lake.path, "format": cfg.lake.format},
        "stages": [
            {
                "stage": name,
                "ran": name in ran,  # in this start
                "seconds": entry["seconds"],
                # Both steps of embed write one table, each some of its rows.
                "rows": {table: entry["summary"].get("rows", rows.get(table, 0)) for table in entry["tables"]}
                if name.startswith("embed")
                else {table: rows.get(table, 0) for table in entry["tables"]},
            }
            for name, entry in manifest.items()
        ],
        "left": left,
        "verdict": manifest["align"]["summary"]["verdict"] if certified else None,
        "budget": _budget(cfg, manifest),
        "tables": {table: f"{cfg.lake.path.rstrip('/')}/{table}" for table in rows},
        "report": manifest["report"]["summary"]["report"] if "report" in manifest else None,
    }


def _budget(cfg: Config, manifest: Json) -> Json:
    """What there was of it, and what the generation has taken; stopped_by: why the generation ended."""
    spent = manifest.get("generate", {}).get("summary", {})
    limits = cfg.generate.limits.model_dump(mode="json", exclude_none=True)
    return {
        "max_minutes": cfg.run.max_minutes,
        "limits": limits,
        "stopped_by": spent.get("stopped_by"),
        "calls": sum(spent.get("calls", {}).values()),
        "tokens": spent.get("prompt_tokens", 0) + spent.get("completion_tokens", 0),
        "cost_usd": spent.get("cost_usd"),
        "missing_rows": sum(spent.get("missing_by_label", {}).values()),
        "missing_usd": spent.get("missing_usd"),
    }
