"""Structured logs: JSON lines without secrets, in the run's file while it runs; the caller's logging stays the caller's."""

import json

import structlog

from synalign_spark import logs


def test_lines_go_to_the_file_of_the_run_and_hold_no_secret(tmp_path, capsys):
    path = tmp_path / "run" / "log.jsonl"
    for stage in ("first", "second"):
        with logs.logging_to(str(path)):
            logs.get_logger(run_id="r", stage=stage).info("stage finished", api_key="x", error="401 for sk-verysecret1", api_key_env="KEY")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["run_id"], line["stage"], line["event"], line["level"]) for line in lines] == [
        ("r", stage, "stage finished", "info") for stage in ("first", "second")
    ]
    assert lines[0]["api_key"] == "[hidden]"
    assert lines[0]["api_key_env"] == "KEY"
    assert "verysecret" not in path.read_text()
    assert capsys.readouterr() == ("", "")


def test_outside_of_a_run_a_warning_goes_to_standard_error(capsys):
    with logs.logging_to(None):
        logs.get_logger().warning("checkpoint", reason="full disk")
    assert json.loads(capsys.readouterr().err)["reason"] == "full disk"


def test_a_failure_is_logged_with_its_trace(tmp_path):
    path = tmp_path / "log.jsonl"
    with logs.logging_to(str(path)):
        try:
            raise KeyError("Bearer abc.def")
        except KeyError:
            logs.get_logger().error("stage failed", exc_info=True)
    assert "KeyError" in json.loads(path.read_text())["exception"]
    assert "abc.def" not in path.read_text()


def test_the_callers_structlog_is_left_alone(tmp_path):
    before = structlog.get_config()
    with logs.logging_to(str(tmp_path / "log.jsonl")):
        logs.get_logger().info("x")
    assert structlog.get_config() == before
    assert not structlog.is_configured()


def test_a_password_of_any_letters_is_hidden_and_a_path_is_not():
    hidden = {
        "s3a://me:se/cr@et@bucket/x": "s3a://[hidden]@bucket/x",
        "read s3a://AKIA:a/b+c/d@bucket/x of 's3a://me:p@ss@b'": "read s3a://[hidden]@bucket/x of 's3a://[hidden]@b'",
        "http://me:12345678@host/": "http://[hidden]@host/",
        "http://host:8080/users/@me": "http://host:8080/users/@me",
        "mail a@b.de or see http://host/a:b": "mail a@b.de or see http://host/a:b",
    }
    assert {text: logs.scrub(text) for text in hidden} == hidden
