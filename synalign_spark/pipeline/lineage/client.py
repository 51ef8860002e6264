"""The OpenLineage client as its own configuration wants it, and the run that ours is part of."""

import logging
import os
from typing import Any

from openlineage.client import OpenLineageClient
from openlineage.client.generated.parent_run import Job, ParentRunFacet, Root, RootJob, RootRun, Run

from synalign_spark.errors import ConfigError
from synalign_spark.scrubbing import scrub

QUIET = logging.NullHandler()
PARENT, ROOT = "OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID"  # namespace/job/run, as Airflow's lineage_parent_id and dbt have it
# The folder where a run happens to be started is not its source, and the address of that repository may hold a token.
CONFIG = {"facets": {"source_code_location": {"disabled": True}}}


def open_client() -> OpenLineageClient | None:
    """The client; None where it is switched off (OPENLINEAGE_DISABLED). Raises ConfigError for settings of it that it cannot use, and where
    nothing says to where events go: it would show them in a log."""
    logging.getLogger("openlineage").addHandler(QUIET)  # what goes wrong is said in a line of ours
    try:
        client = OpenLineageClient(config=dict(CONFIG))
        told = dict(client.config.transport or {})
    except Exception as err:  # of each transport's own kind
        raise ConfigError(
            f"run.lineage_job: the OpenLineage client cannot use its settings ({scrub(str(err))}); mend OPENLINEAGE_* or openlineage.yml, or set it to null"
        ) from err
    if client.transport.kind == "noop":
        return None
    if client.transport.kind == "console" and not told.get("type"):
        raise ConfigError(
            "run.lineage_job is set, and nothing says to where OpenLineage's events go; set OPENLINEAGE_URL, or a transport in openlineage.yml, "
            "or OPENLINEAGE_DISABLED=true for no events"
        )
    return client


def namespace() -> str:
    """Of the jobs."""
    return os.environ.get("OPENLINEAGE_NAMESPACE") or "default"


def parent(name: str = PARENT) -> tuple[str, str, str] | None:
    """Namespace, job and run that started this one, as the environment says; None without. Raises ConfigError where it cannot be read."""
    told = os.environ.get(name)
    if not told:
        return None
    try:
        space, job, run = told.rsplit("/", 2)
        Run(runId=run)  # of another form, it refuses it
    except ValueError as err:
        raise ConfigError(f"{name} must be namespace/job/run with the run's UUID, got {told!r}; mend it, or unset it") from err
    return space, job, run


def parent_facet(of: tuple[str, str, str], root: tuple[str, str, str]) -> Any:
    """of, root: namespace, job and run."""
    top = Root(run=RootRun(runId=root[2]), job=RootJob(namespace=root[0], name=root[1]))
    return ParentRunFacet(run=Run(runId=of[2]), job=Job(namespace=of[0], name=of[1]), root=top)
