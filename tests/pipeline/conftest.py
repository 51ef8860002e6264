"""What the tests of whole runs share: the corpora, and one finished run."""

from pathlib import Path

import pytest

from synalign_spark.api.run import Run, run
from tests.pipeline.films import film_reviews, imported, quiet, write_jsonl


@pytest.fixture(scope="session")
def corpora(tmp_path_factory) -> Path:
    """240 real rows, and as a synthetic set 90 others, those about comedies first: a skewed sample of the same kind."""
    folder = tmp_path_factory.mktemp("corpora")
    rows = film_reviews()[::17]
    rows.sort(key=lambda row: ("comedy" not in row["text"], row["text"]))
    write_jsonl(rows[90:330], folder / "real" / "all.jsonl")
    write_jsonl(rows[:90], folder / "synthetic.jsonl")
    for part in range(5):  # the same real rows in other files and another order
        write_jsonl(rows[90:330][part::5][::-1], folder / "real-in-parts" / f"part-{part}.jsonl")
    return folder


@pytest.fixture(scope="session")
def finished_run(spark, corpora, tmp_path_factory) -> Run:
    """A whole run in the shared session; treat its lake as read-only."""
    return run(imported(corpora, tmp_path_factory.mktemp("lake")), spark=spark, progress=quiet())


@pytest.fixture
def finished(finished_run) -> tuple[Path, dict]:
    """(lake, manifest) of that run."""
    return Path(finished_run.cfg.lake.path), finished_run.manifest
