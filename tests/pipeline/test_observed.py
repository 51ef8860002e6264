"""What is seen of a whole run of imported rows from outside: every Spark job says what runs, progress does not go back, lineage and metrics."""

import json
import re
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from synalign_spark.api.run import run
from synalign_spark.pipeline.observer import Silent
from synalign_spark.spark_jobs import DESCRIPTION, described, detailed
from synalign_spark.storage.lake_view import LakeView
from synalign_spark.storage.tables import BY_NAME, TABLES
from tests.pipeline.films import imported

STAGES = ("ingest", "embed", "cluster", "select", "generate", "embed-synthetic", "align", "resample", "evaluate", "report")


def jobs(spark) -> dict[int, str | None]:
    """Number and description of Spark's jobs, from the store behind its pages and their REST addresses (.../applications/ID/jobs)."""
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    found = context.statusStore().jobsList(None)
    listed = [found.apply(i) for i in range(found.size())]
    return {job.jobId(): job.description().get() if job.description().isDefined() else None for job in listed}


class Watching(Silent):
    """Keeps how far each piece of work said that it is."""

    def __init__(self):
        super().__init__()
        self.moves = []
        self.progress = self.progress.telling(lambda task, note: self.moves.append((id(task), task.name, task.done, task.total)))


@dataclass(frozen=True)
class Observed:
    """A run of nine stages. jobs: descriptions; events: of OpenLineage, by job, the last of each; moves: of Watching."""

    lake: str
    jobs: list[str | None]
    events: dict[str, dict]
    samples: dict[tuple[str, ...], float]
    moves: list[tuple[int, str, float, float | None]]
    description: str | None


@pytest.fixture(scope="module", params=["parquet", "delta"])
def observed(spark, corpora, tmp_path_factory, request):
    folder = tmp_path_factory.mktemp(request.param)
    before, told = jobs(spark), Watching()
    own = {"run": {"id": "e2e", "metrics_file": str(folder / "run.prom"), "lineage_job": "films"}}
    config = imported(corpora, folder / "lake") | {"lake": {"path": str(folder / "lake"), "format": request.param}} | own
    spark.sparkContext.setJobDescription("of the caller's own")
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {"TYPE": "file", "LOG_FILE_PATH": str(folder / "events.jsonl"), "APPEND": "true"}.items():
            patch.setenv(f"OPENLINEAGE__TRANSPORT__{key}", value)
        try:
            run(config, spark=spark, progress=told)
            run(config, spark=spark, progress=told, stage="evaluate")
            description = spark.sparkContext.getLocalProperty(DESCRIPTION)
        finally:
            spark.sparkContext.setJobDescription(None)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    families = text_string_to_metric_families((folder / "run.prom").read_text())
    return Observed(
        str(folder / "lake"),
        [words for number, words in jobs(spark).items() if number not in before],
        {event["job"]["name"]: event for event in events},
        {(one.name, one.labels.get("stage", "")): one.value for family in families for one in family.samples},
        told.moves,
        description,
    )


def test_every_job_of_nine_stages_says_what_runs(observed):
    assert len(observed.jobs) > 50
    assert [words for words in observed.jobs if "synalign e2e: " not in (words or "")] == []
    said = [words.partition("synalign e2e: ")[2] for words in observed.jobs]
    assert {re.split("[,:]", words)[0] for words in said} >= set(STAGES)
    written = {found.group(1) for words in said if (found := re.search(r"writing (\w+)", words))}
    assert {table.name for table in TABLES} >= written >= {"corpus", "embeddings", "clusters", "synthetic", "weights", "augmented"}
    assert observed.description == "of the caller's own"


def test_progress_never_goes_back_and_ends_with_all_that_there_is(observed):
    tasks = {}
    for key, name, done, total in observed.moves:
        tasks.setdefault((key, name), []).append((done, total))
    assert {name for _, name in tasks} >= {"embed real", "embed synthetic"}
    for states in tasks.values():
        assert [done for done, _ in states] == sorted(done for done, _ in states)
        assert states[-1][0] == states[-1][1]


def test_lineage_has_the_tables_that_each_stage_reads_and_their_rows(observed):
    def names(stage, side):
        return {one["name"].removeprefix(observed.lake + "/") for one in observed.events[f"films.{stage}"][side]}

    assert names("cluster", "inputs") == {"embeddings"}
    assert names("align", "inputs") == {"embeddings", "corpus", "synthetic", "clusters", "centroids"}
    assert names("embed-synthetic", "inputs") == {"synthetic"}
    assert names("resample", "inputs") == {"corpus", "synthetic", "weights", "certificate"}
    (given,) = [name for name in names("generate", "inputs") if name.endswith("synthetic.jsonl")]
    assert names("generate", "inputs") == {given, "corpus"}
    view = LakeView(observed.lake, "delta" if "delta" in observed.lake else "parquet", "e2e")
    rows = view.rows()
    for event in observed.events.values():
        assert event["eventType"] == "COMPLETE"
        for one in event["outputs"] if event["job"]["name"] != "films" else []:
            table, n = one["name"].rpartition("/")[2], one["outputFacets"]["outputStatistics"]["rowCount"]
            if table in ("embeddings", "rejects"):
                origin = "synthetic" if event["job"]["name"].endswith("synthetic") else "real"
                assert n == view.count(BY_NAME[table], {"origin": origin})
            else:
                assert n == rows.get(table, 0), table
    assert observed.events["films.embed-synthetic"]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == rows["synthetic"]


def test_the_metrics_have_every_stage(observed):
    assert {stage for name, stage in observed.samples if name == "synalign_stage_done"} == {*STAGES}
    assert observed.samples["synalign_rows_accepted", "generate"] > 0
    assert observed.samples["synalign_run_exit_code", ""] == 0


def test_words_are_laid_over_each_other_and_taken_away(spark):
    def now():
        return spark.sparkContext.getLocalProperty(DESCRIPTION)

    assert now() is None
    with described(spark, "a"):
        with detailed(spark, "b"):
            assert now() == "a, b"
        with pytest.raises(ZeroDivisionError), described(spark, "c"):
            1 / 0  # noqa: B018
        assert now() == "a"
    assert now() is None


class Remote:
    """As much of a Spark Connect session as is asked for: tags, and no context."""

    def __init__(self):
        self.tags, self.seen = set(), []

    def addTag(self, tag):  # noqa: N802
        self.tags.add(tag)

    def removeTag(self, tag):  # noqa: N802
        self.tags.remove(tag)


def test_spark_connect_is_given_a_tag_for_the_time_of_a_stage():
    remote = Remote()
    with described(remote, "synalign mine: embed-synthetic"), detailed(remote, "writing embeddings"):
        assert remote.tags == {"synalign-mine:-embed-synthetic"}
    assert remote.tags == set()
    with described(None, "nobody hears it"):
        pass
