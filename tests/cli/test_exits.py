"""The exit status of a command, by the kind of what ended it."""

import inspect
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
from py4j import clientserver, java_gateway
from typer.testing import CliRunner

from synalign_spark import errors
from synalign_spark.cli.exits import GO_ON, Ending, exit_with
from synalign_spark.cli.main import app
from synalign_spark.exit_status import KINDS, Exit, Terminated, status_of
from synalign_spark.generation.probing import BudgetSpentError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.SynalignError)]
RETRYABLE = {errors.BudgetError, errors.RunLockedError, errors.EndpointDownError, errors.DistributedError, errors.PeerLostError}


def ended(action, told=lambda ending: None):
    with pytest.raises(SystemExit) as end:
        exit_with(action, told)
    return end.value.code


def raising(err):
    def action():
        raise err

    return action


@pytest.mark.parametrize(
    ("err", "status"),
    [
        (errors.ConfigError("x"), 2),
        (errors.InstallationError("Java is missing"), 2),
        (errors.ForeignLakeError("x"), 2),
        (errors.DataError("x"), 3),
        (errors.ContractError("x"), 3),
        (errors.LakeError("x"), 3),
        (errors.RunLockedError("x"), 4),
        (errors.EndpointError("wrong key"), 5),
        (errors.EndpointDownError("no answer"), 5),
        (errors.DistributedError("x"), 5),
        (errors.PeerLostError("x"), 5),
        (errors.BudgetError("x"), 6),
        (BudgetSpentError("limits.max_requests", "no row"), 6),  # an EndpointError to who calls the library
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_each_kind_of_error_has_its_status(err, status, capsys):
    assert ended(raising(err)) == status
    said = capsys.readouterr().err
    assert (f"{type(err).__name__}: {err}" if isinstance(err, errors.SynalignError) else "start it again") in said


def test_every_class_of_error_has_a_kind_and_says_whether_it_may_pass():
    assert [kind.__name__ for kind in CLASSES if kind is not errors.SynalignError and not set(kind.__mro__) & set(KINDS)] == []
    assert {kind for kind in CLASSES if kind.retryable} == RETRYABLE
    assert Ending(Exit.TERMINATED, Terminated()).retryable
    assert not BudgetSpentError("limits.max_requests", "no row").retryable
    assert not Ending(Exit.DATA, errors.DataError("x")).retryable


def test_an_action_that_ends_well_ends_nothing_and_may_name_its_status():
    assert exit_with(lambda: None) is None
    assert ended(lambda: Exit.BUDGET) == 6


def test_a_fault_of_the_code_keeps_its_trace():
    heard = []
    with pytest.raises(ZeroDivisionError):
        exit_with(lambda: 1 / 0, heard.append)
    assert [ending.status for ending in heard] == [Exit.FAULT]
    assert status_of(ZeroDivisionError()) == 1


def test_a_signal_leaves_no_trace_of_py4j(caplog):
    """It logs by the root logger and by its own, and names of records tell the first from the user's by their file alone."""

    def action():
        exec(compile("import logging; logging.exception('Exception while sending command.')", "/x/py4j/java_gateway.py", "exec"))
        for module in (java_gateway, clientserver):
            exec(compile("logger.exception('while shutting down')", module.__file__, "exec"), vars(module))
        logging.getLogger().error("another")

    exit_with(action)
    assert [record.message for record in caplog.records] == ["another"]


def test_who_was_asked_to_end_says_so_though_clearing_away_failed(capsys):
    def action():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except Terminated as err:
            err.add_note("the answers so far are stored")
            raise
        finally:
            raise ConnectionResetError("the JVM has gone")

    before = signal.getsignal(signal.SIGTERM)
    assert ended(action) == 143
    assert capsys.readouterr().err.splitlines() == ["the answers so far are stored", GO_ON]  # not the fault, which only misleads
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["run", "--no-such-option"], 2),
        (["run", "--set", "algin.n_features=7"], 2),
        (["run", "--set", "source.path=/nowhere/x.csv"], 3),
        (["run", "--set", "source.path=/nowhere/x.csv", "--stage", "algin"], 2),
        (["show", "--set", "lake.path=/nowhere/lake"], 3),
        (["config", "--config", "/nowhere/x.yaml"], 2),
    ],
)
def test_commands_end_so(words, status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, words).exit_code == status


@pytest.mark.parametrize(
    ("faults", "status"),
    [({}, 0), ({"_java": errors.InstallationError("x")}, 2), ({"_source": errors.DataError("x"), "_ray": OSError()}, 1)],
)
def test_doctor_ends_as_the_first_of_its_faults_by_number(faults, status, monkeypatch):
    for check in ("_java", "_lake", "_embedder", "_spark", "_source", "_ray", "_endpoint"):
        fault = faults.get(check)
        monkeypatch.setattr(f"synalign_spark.cli.doctor.{check}", raising_check(fault) if fault else lambda cfg, **of: "there")
    assert CliRunner().invoke(app, ["doctor", "--set", "source.path=x"]).exit_code == status


def raising_check(fault):
    def check(cfg, **of):
        raise fault

    return check


@pytest.mark.parametrize(("read", "status"), [(True, 3), (False, 141)])
def test_a_lost_connection_is_no_reader_that_left(read, status):
    """Both are a BrokenPipeError; only of the output that nobody reads is there nothing to say."""
    code = "from synalign_spark.cli.exits import exit_with\ndef lost():\n    raise BrokenPipeError(32, 'Broken pipe')\nexit_with(lost)"
    out, into = os.pipe()
    if not read:
        os.close(out)
    ended = subprocess.run([sys.executable, "-c", code], stdout=into, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == status, ended.stderr
    assert ("Broken pipe" in ended.stderr) == read
