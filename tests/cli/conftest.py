"""A run whose stages are stand-ins, by its command."""

from contextlib import nullcontext

import pytest
from typer.testing import CliRunner

from synalign_spark.cli.main import app
from synalign_spark.pipeline.steps import Step
from tests.cli.stand_ins import Stages


@pytest.fixture
def stages(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text("text,label\na,b\n")
    found = Stages(tmp_path / "lake")
    monkeypatch.setattr(Step, "load", lambda step: found.load(step))
    monkeypatch.setattr("synalign_spark.pipeline.runner.preflight", lambda cfg, todo: None)
    monkeypatch.setattr("synalign_spark.pipeline.session.spark_session", lambda cfg: nullcontext(None))
    return found


@pytest.fixture
def run(stages, tmp_path):
    given = [f"source.path={tmp_path / 'x.csv'}", f"lake.path={tmp_path / 'lake'}", "lake.format=parquet", "source.label_column=label"]

    def start(*words):
        return CliRunner().invoke(app, ["run", *(part for setting in given for part in ("--set", setting)), *words])

    return start
