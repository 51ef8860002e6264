"""Behind ``synalign report``: where the page of a run is, and the page of two runs side by side. No Spark."""

from dataclasses import asdict, replace
from typing import Any

from synalign_spark.config import Config
from synalign_spark.errors import ConfigError, LakeError
from synalign_spark.pipeline.steps import left_to_run
from synalign_spark.report.comparison import compared
from synalign_spark.report.comparison_page import render
from synalign_spark.report.comparison_side import Side, side
from synalign_spark.report.place import page_path, write_page
from synalign_spark.scrubbing import scrub, scrubbed_json
from synalign_spark.storage.lake_view import LakeView

BETWEEN = "+"  # names of runs have none, so that no run's own page has this name


def place_of(cfg: Config) -> str:
    """Where the page of the run is. Raises LakeError where there is no such lake or run, or its report has not been written."""
    if "report" not in LakeView(cfg.lake.path, cfg.lake.format, cfg.run.id).manifest():
        raise LakeError(f"run.id: {cfg.run.id!r} has no report yet; finish it with `synalign run`")
    return str(scrub(page_path(cfg.lake.path, cfg.run.id)))


def compare(cfg: Config, first: str, second: str) -> dict[str, Any]:
    """Writes the page of two finished runs of the lake; what it says, as plain JSON values, and where it is.

    Raises ConfigError where both are one run, LakeError where one is not there or not finished."""
    if first == second:
        raise ConfigError(f"--compare: {first!r} stands twice; name two runs of lake.path {cfg.lake.path!r}")
    found = compared(*(_finished(cfg, run_id) for run_id in (first, second)))
    place = write_page(cfg.lake.path, f"{first}{BETWEEN}{second}", render(found))
    return {"page": scrub(place), **asdict(found)}


def _finished(cfg: Config, run_id: str) -> Side:
    view = LakeView(cfg.lake.path, cfg.lake.format, run_id)
    if left := left_to_run(view.manifest()):
        raise LakeError(f"run.id: {run_id!r} is not finished ({', '.join(left)} left); run it to its end with `synalign run`, then compare")
    found = side(view)
    return replace(found, settings=scrubbed_json(found.settings))  # manifests hold no secrets, but for what somebody wrote into one


def words(found: dict[str, Any]) -> str:
    """What ``synalign report --compare`` prints: the sentence, the verdicts, and where the page is."""
    verdicts = [f"{run}: {word}. {sentence}" for run, (word, sentence, _) in zip(found["runs"], found["verdicts"], strict=True)]
    return "\n".join([found["summary"], *verdicts, f"{len(found['settings'])} settings differ", f"page: {found['page']}"])
