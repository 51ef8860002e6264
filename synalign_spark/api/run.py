"""``run``: the whole job, or one stage of it, from Python; the command line is its first caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synalign_spark.config import Config
from synalign_spark.config.files import configured
from synalign_spark.errors import DataError
from synalign_spark.extras import extras_named
from synalign_spark.pipeline.observer import Observer, Silent
from synalign_spark.pipeline.terminal import Terminal, closing_lines
from synalign_spark.storage.lake_view import LakeView
from synalign_spark.storage.tables import BY_NAME as TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synalign_spark.alignment.certificate import Certificate


@dataclass(frozen=True)
class Run:
    """A run in a lake. ``str`` of it is a short summary.

    cfg: its configuration; manifest: entry of each finished stage, in the order they finished (seconds, settings, summary, ...)."""

    cfg: Config
    manifest: dict[str, Any]
    _spark: SparkSession | None = field(default=None, repr=False)

    @property
    def certificate(self) -> Certificate:
        """What the weights achieve. Raises DataError while the stage ``align`` is not done."""
        from synalign_spark.alignment.certificate import Certificate

        if "align" not in self.manifest:
            raise DataError(f"run.id {self.cfg.run.id!r} has no certificate yet: the stage align is not done; run it, or all stages")
        return Certificate(self._view().read(TABLES["certificate"]))

    @property
    def tables(self) -> dict[str, int]:
        """Rows of this run by table, in the order of the flow; tables without any are left out. Starts no JVM."""
        return self._view().rows()

    @property
    def report(self) -> str | None:
        """Path or address of the report; None while the stage ``report`` is not done."""
        entry = self.manifest.get("report")
        return None if entry is None else str(entry["summary"]["report"])

    def table(self, name: str) -> Any:
        """The rows of a table of this run, by the columns of its contract.

        A Spark DataFrame where the run was given a session, else a pandas DataFrame of all rows (mind the memory: ``tables`` tells how
        many there are). Raises DataError for a name that is no table, LakeError for one that no stage has written yet."""
        if name not in TABLES:
            raise DataError(f"table {name!r} is not one; the tables are {', '.join(TABLES)}")
        if self._spark is None:
            return self._view().to_arrow(TABLES[name]).to_pandas()
        from synalign_spark.storage.lake import Lake

        return Lake(self._spark, self.cfg.lake.path, self.cfg.lake.format, self.cfg.run.id).read(TABLES[name])

    def _view(self) -> LakeView:
        return LakeView(self.cfg.lake.path, self.cfg.lake.format, self.cfg.run.id)

    def __str__(self) -> str:
        head = f"run {self.cfg.run.id} in {self.cfg.lake.path} ({self.cfg.lake.format})"
        if "report" not in self.manifest:
            return f"{head}\n  done: {', '.join(self.manifest) or 'nothing yet'}"
        lines = [f"  {name + ':':<20}{text}" for name, text in closing_lines(self.manifest)]
        return "\n".join([head, *lines, f"  {'Report:':<20}{self.report}"])


def run(
    config: str | Path | Sequence[str | Path] | Mapping[str, Any] | Config,
    *,
    spark: SparkSession | None = None,
    settings: Sequence[str] = (),
    stage: str | None = None,
    redo: bool = False,
    progress: bool | Observer = True,
) -> Run:
    """Runs all stages of a configuration that are not done yet for the same settings and inputs, or the one ``stage``.

    config: path of a YAML file, several (later ones win), nested mappings of the same keys, or a Config.
    spark: the session to work in: it is neither stopped nor reconfigured. None starts one, only when there is work, and stops it.
    settings: ``section.key=value`` texts on top of the configuration. redo: replace the output of stages whose settings changed.
    progress: True prints stages and progress, False nothing; an Observer is told instead.

    Returns the Run. Raises ConfigError for a fault of the configuration, DataError for a source that cannot be used or a stage whose
    inputs are missing, LakeError for a lake that cannot be written or holds the run of another configuration, RunLockedError while
    another process executes the run, EndpointError and InstallationError for what the work needs and is not there.

    >>> import tempfile
    >>> config = {"source": {"path": "none.csv"}, "lake": {"path": tempfile.mkdtemp()}}
    >>> run(config, progress=False)  # the source is looked for before Spark starts
    Traceback (most recent call last):
        ...
    synalign_spark.errors.DataError: source.path: no file at 'none.csv' ...
    """
    with extras_named():
        from synalign_spark.pipeline.runner import run_pipeline
        from synalign_spark.pipeline.session import callers_session, spark_session

    cfg = configured(config, [settings] if isinstance(settings, str) else settings)
    observer = progress if not isinstance(progress, bool) else Terminal() if progress else Silent()
    session = spark_session if spark is None else partial(callers_session, spark)
    with extras_named():
        return Run(cfg, run_pipeline(cfg, observer, redo=redo, only=stage, session=session), spark)
