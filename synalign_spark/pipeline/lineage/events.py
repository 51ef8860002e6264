"""Tells OpenLineage of a run and its stages: START, then COMPLETE, FAIL or ABORT. No text of any row, and no message of an error: it may quote one."""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.generated.error_message_run import ErrorMessageRunFacet
from openlineage.client.generated.job_type_job import JobTypeJobFacet
from openlineage.client.generated.processing_engine_run import ProcessingEngineRunFacet
from openlineage.client.generated.tags_run import TagsRunFacet, TagsRunFacetFields
from openlineage.client.uuid import generate_new_uuid

from synalign_spark import __version__
from synalign_spark.config import Config
from synalign_spark.exit_status import asked_before, fault_of, status_of
from synalign_spark.pipeline.lineage import client as clients
from synalign_spark.pipeline.lineage import datasets
from synalign_spark.pipeline.lineage.sender import Sender
from synalign_spark.pipeline.observer import Observer
from synalign_spark.pipeline.relay import End, Relay, is_stop
from synalign_spark.pipeline.steps import Step
from synalign_spark.storage.lake_view import LakeView
from synalign_spark.storage.paths import RunPaths
from synalign_spark.storage.tables import Table

PRODUCER = f"pkg:pypi/synalign-spark@{__version__}"
NOTHING: Mapping[str, int] = {}


class Lineage(Relay):
    """Sends events beside what it hands on. Nothing of it fails a run, but for settings that are wrong before it begins, and nothing holds it up but the
    look at the metadata of the tables that a stage has written, for their rows."""

    def __init__(self, then: Observer, cfg: Config) -> None:
        """Raises ConfigError for settings of the client that it cannot use."""
        super().__init__(then)
        self._cfg, self._name, self._space = cfg, str(cfg.run.lineage_job), clients.namespace()
        self._client = clients.open_client()
        self._run = (self._space, self._name, str(generate_new_uuid()))
        self._parent = clients.parent()
        self._root = clients.parent(clients.ROOT) or self._parent or self._run
        self._sender: Sender | None = None
        self._said = False
        self._stage = self._run
        self._read: dict[str, Table] = {}  # by the step that runs
        self._read_outside: dict[tuple[str, str], InputDataset] = {}  # by any step
        self._written: dict[str, OutputDataset] = {}  # in this start

    def began(self) -> None:
        super().began()
        if self._client is not None:
            self._sender = Sender(self._client.emit, self._client.close, self._say)
        self._of_run(RunState.START)

    def started(self, step: Step) -> None:
        with self._quietly():
            self._stage = (self._space, f"{self._name}.{step.name}", str(generate_new_uuid()))
            self._read.clear()
            self._of_stage(step, RunState.START)
        super().started(step)

    def read(self, table: Table) -> None:
        self._read[table.name] = table
        super().read(table)

    def finished(self, step: Step, summary: Mapping[str, Any], seconds: float) -> None:
        with self._quietly():
            outputs = self._of_stage(step, RunState.COMPLETE, self._rows(step))
            self._written |= {one.name: one for one in outputs}
        super().finished(step, summary, seconds)

    def failed(self, step: Step) -> None:
        err = sys.exception()
        fault = None if err is None else asked_before(err) or fault_of(err)
        with self._quietly():
            stopped = fault is not None and is_stop(status_of(fault))
            self._of_stage(step, RunState.ABORT if stopped else RunState.FAIL, NOTHING, fault)
        super().failed(step)

    def ended(self, end: End) -> None:
        state = RunState.COMPLETE if end.error is None else RunState.ABORT if is_stop(end.status) else RunState.FAIL
        self._of_run(state, end.error)
        super().ended(end)  # first: a backend that is slow may be all that there is time for
        if self._sender is not None:
            self._sender.close()

    def _say(self, words: str) -> None:
        """Once: of a backend that is down, one line is enough."""
        if self._said:
            return
        self._said = True
        line = f"  run.lineage_job: {words}; the run goes on without"
        self.progress.console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Whatever goes wrong with an event, the run goes on."""
        try:
            yield
        except Exception as err:
            self._say(f"an event could not be made ({type(err).__name__})")

    def _of_stage(
        self, step: Step, state: RunState, rows: Mapping[str, int] = NOTHING, err: BaseException | None = None
    ) -> list[OutputDataset]:
        outside = datasets.sources(self._cfg, step)
        self._read_outside |= {(one.namespace, one.name): one for one in outside}
        read = [datasets.table_read(self._cfg, table) for table in self._read.values() if table not in step.writes]
        outputs = [datasets.table_written(self._cfg, table, rows) for table in step.writes]
        self._emit(state, self._stage, clients.parent_facet(self._run, self._root), "STAGE", [*outside, *read], outputs, err)
        return outputs

    def _of_run(self, state: RunState, err: BaseException | None = None) -> None:
        with self._quietly():
            parent = None if self._parent is None else clients.parent_facet(self._parent, self._root)
            self._emit(state, self._run, parent, "PIPELINE", self._read_outside.values(), self._written.values(), err)

    def _emit(
        self,
        state: RunState,
        of: tuple[str, str, str],
        parent: Any,
        kind: str,
        inputs: Iterable[InputDataset],
        outputs: Iterable[OutputDataset],
        err: BaseException | None,
    ) -> None:
        if self._sender is None:
            return
        space, name, run = of
        facets: dict[str, Any] = {
            "processing_engine": ProcessingEngineRunFacet(
                version=__version__, name="synalign-spark", openlineageAdapterVersion=__version__
            ),
            "tags": TagsRunFacet(tags=[TagsRunFacetFields(key="synalign_run_id", value=self._cfg.run.id, source="SYNALIGN")]),
            **({} if parent is None else {"parent": parent}),
            **({} if err is None else {"errorMessage": self._told(err)}),
        }
        job = Job(
            namespace=space, name=name, facets={"jobType": JobTypeJobFacet(processingType="BATCH", integration="SYNALIGN", jobType=kind)}
        )
        self._sender.put(
            RunEvent(
                eventTime=datetime.now(UTC).isoformat(),
                producer=PRODUCER,
                run=Run(runId=run, facets=facets),
                job=job,
                eventType=state,
                inputs=list(inputs),
                outputs=list(outputs),
            )
        )

    def _told(self, err: BaseException) -> ErrorMessageRunFacet:
        """Its kind, and where it is told."""
        place = "/".join(datasets.named(RunPaths(self._cfg.lake.path, self._cfg.run.id).folder))
        return ErrorMessageRunFacet(message=f"{type(err).__name__}; log.jsonl in {place} says more", programmingLanguage="python")

    def _rows(self, step: Step) -> dict[str, int]:
        """Rows of the run in the tables that the step has written, from metadata; those that are not to be told are left out."""
        if self._sender is None:
            return {}
        with contextlib.suppress(Exception):
            view = LakeView(self._cfg.lake.path, self._cfg.lake.format, self._cfg.run.id, step.writes)
            return {table.name: view.count(table, step.scope) for table in step.writes}
        return {}
