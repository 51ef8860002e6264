"""``synalign dedup``: which rows of a run are copies."""

from collections.abc import Mapping, Sequence
from typing import Any

from synalign_spark.api.run import run
from synalign_spark.formatting import number
from synalign_spark.pipeline.terminal import in_words

STEPS = ("dedup", "dedup-synthetic")


def dedup_run(config: Sequence[str], settings: Sequence[str], progress: bool) -> dict[str, Any]:
    """Runs the stage ``dedup`` where it is not done; its counts by side as plain JSON values."""
    done = run(config, settings=settings, stage="dedup", progress=progress)
    sides = [done.manifest[step]["summary"] for step in STEPS if step in done.manifest]
    return {"run_id": done.cfg.run.id, "drop": done.cfg.dedup.drop, **{side["side"]: side for side in sides}}


def words(found: Mapping[str, Any]) -> str:
    """What ``synalign dedup`` prints: a line a side."""
    lines = [
        f"{side} rows: {in_words({key: value for key, value in found[side].items() if key != 'side'})}"
        for side in ("real", "synthetic")
        if side in found
    ]
    dropped = sum(found[side]["dropped"] for side in ("real", "synthetic") if side in found)
    return "\n".join([*lines, f"left out by select and resample (dedup.drop: {found['drop']}): {number(dropped)} rows"])
