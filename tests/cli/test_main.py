"""The command line: what it prints, its exit status, and that a plan leaves no trace."""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

from synalign_spark.cli import plan
from synalign_spark.cli.exits import exit_with
from synalign_spark.cli.main import app
from synalign_spark.config.files import validate
from synalign_spark.errors import DataError
from synalign_spark.generation.estimate import RowSize

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ["--config", str(ROOT / "conf" / "quickstart.yaml")]


def run(*words):
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("command", ["run", "plan", "show", "evaluate", "profile", "doctor", "config"])
def test_every_command_has_help(command):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "--config" in done.stdout


def test_the_whole_configuration_can_be_printed_and_read_back():
    shown = json.loads(run("config", *QUICKSTART, "--set", "align.regularization=.inf").stdout)
    assert shown["align"]["regularization"] == "Infinity"
    assert shown["cluster"]["k"] == 64
    marked = run("config", *QUICKSTART, "--set", 'source.label_column="lab\\u202eel"').stdout
    assert "\u202e" not in marked
    assert json.loads(marked)["source"]["label_column"] == "lab\u202eel"
    assert json.loads(run("config", "--schema").stdout)["properties"]["align"]


def test_users_and_passwords_of_any_address_are_hidden():
    done = run("config", *QUICKSTART, "--set", "lake.path=s3a://me:hunter2@bucket/lake")
    assert json.loads(done.stdout)["lake"]["path"] == "s3a://[hidden]@bucket/lake"
    failed = run("run", "--set", "source.path=file://me:hunter2@host/none.csv")
    assert "hunter2" not in done.output + failed.output


def test_an_address_is_printed_without_what_may_be_a_secret():
    address = "generate.llm.base_url=https://me:hunter2@host:8443/v1?api-version=1"
    done = run("config", *QUICKSTART, "--set", "generate.llm.provider=openai", "--set", "generate.llm.model=m", "--set", address)
    assert json.loads(done.stdout)["generate"]["llm"]["base_url"] == "https://host:8443/v1?api-version=1"
    assert "hunter2" not in done.output
    assert "generate.llm.base_url" in done.stderr
    several = "generate.llms=[{}, {model: n, base_url: 'https://me:hunter2@host:8443/v1'}]"
    done = run("config", *QUICKSTART, "--set", "generate.llm.provider=openai", "--set", "generate.llm.model=m", "--set", several)
    assert json.loads(done.stdout)["generate"]["llms"][1]["base_url"] == "https://host:8443/v1"
    assert "hunter2" not in done.output


def test_the_prompts_are_written_once_and_checked_before_a_plan(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "make_profile", lambda cfg: a_profile({"negative": 100, "positive": 300}))
    folder = tmp_path / "mine"
    assert f"generate.prompts: {folder}" in run("prompts", str(folder)).stdout
    assert run("prompts", str(folder)).exit_code == 2
    planned = ["plan", *QUICKSTART, "--set", f"lake.path={tmp_path / 'lake'}", "--set", f"generate.prompts={folder}"]
    assert run(*planned).exit_code == 0
    (folder / "rows.j2").write_text("{{ lable }}")
    done = run(*planned)
    assert done.exit_code == 2
    assert "rows.j2, line 1: unknown variable 'lable'; did you mean label?" in done.stderr


def test_an_unknown_stage_is_named():
    done = run("run", *QUICKSTART, "--stage", "algin")
    assert done.exit_code == 2
    assert "ingest, embed, cluster" in done.stderr


def test_show_names_a_lake_that_is_not_there(tmp_path):
    done = run("show", "--set", f"lake.path={tmp_path / 'none'}")
    assert done.exit_code == 3
    assert "lake.path" in done.stderr


# In place of the quickstart's one row a call, by a model that continues text.
SEVERAL_A_CALL = [
    part
    for setting in ("generate.rows_per_request=5", "generate.max_rows_per_set=10", "generate.llm.api=chat", "generate.task=a review")
    for part in ("--set", setting)
]


def a_profile(labels, rows=0):
    """What a plan takes of a profile."""
    accepted = rows or sum(labels.values())
    return {
        "labels": labels,
        "rows": {"accepted": accepted},
        "chars": {"median": 120},
        "bytes": {"a_character": 1.0},
        "notes": [],
        "stops": [],
    }


def test_a_plan_counts_and_estimates_and_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "make_profile", lambda cfg: a_profile({"negative": 100, "positive": 300}))
    done = run("plan", *QUICKSTART, *SEVERAL_A_CALL, "--set", f"lake.path={tmp_path / 'lake'}", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["rows"] == {"real": 400, "by_label": {"negative": 100, "positive": 300}, "counted_from": "source"}
    assert [stage["will_run"] for stage in found["stages"]] == [True] * 9
    low, high = found["generate"]["calls"]
    assert 30 + 60 == low < high  # 300 rows at 5 a call, and an attribute set for every two calls
    assert found["generate"]["demonstration_sets"] == 60
    assert found["generate"]["row_chars_from"] == "the real rows"
    assert list(tmp_path.iterdir()) == []


def test_a_plan_knows_the_rounds_of_a_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "make_profile", lambda cfg: a_profile({"negative": 100, "positive": 300}))
    given = ["plan", *QUICKSTART, *SEVERAL_A_CALL, "--set", f"lake.path={tmp_path / 'lake'}"]
    loop = ["--set", "loop.rounds=4", "--set", "loop.max_mmd2=0.002"]
    alone, looped = (json.loads(run(*given, *more, "--json").stdout) for more in ([], loop))
    assert "loop" not in alone
    assert "rounds" not in [stage["stage"] for stage in alone["stages"]]
    assert "rounds" in [stage["stage"] for stage in looped["stages"]]
    assert looped["loop"]["rows_after_each"] == [looped["generate"]["rows"] * i // 4 for i in (1, 2, 3, 4)]
    assert looped["loop"]["calls_a_round"] == [-(-n // 4) for n in looped["generate"]["calls"]]
    assert looped["loop"]["ends_sooner"] == "at an mmd2_after of 0.002 or after a round that gains less than 1 standard errors"
    assert "loop: 4 rounds at most, rows after each" in run(*given, "--set", "loop.rounds=4").stdout


def test_a_plan_of_a_plain_configuration_warns_of_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "make_profile", lambda cfg: a_profile({"negative": 100, "positive": 300}))
    (tmp_path / "x.jsonl").write_text("{}\n")
    (tmp_path / "plain.yaml").write_text(
        f"source: {{path: {tmp_path / 'x.jsonl'}, label_column: label}}\nlake: {{path: {tmp_path / 'lake'}}}\n"
    )
    for settings, warnings in (([], 0), (["select.demonstration_sets=200"], 1), (["generate.target_rows=100001"], 1)):
        given = [part for setting in settings for part in ("--set", setting)]
        found = json.loads(run("plan", "--config", str(tmp_path / "plain.yaml"), *given, "--json").stdout)
        assert len(found["generate"]["budgets"]) == warnings, settings


def test_a_plan_counts_what_ingest_will_accept(spark, tmp_path, monkeypatch):
    monkeypatch.setattr("synalign_spark.pipeline.session.spark_session", lambda cfg: nullcontext(spark))
    path = tmp_path / "corpus.jsonl"
    rows = [("fine text", "good"), ("poor text", "bad"), ("a text", " "), ("fair text", "good"), ("any text", None), ("fair text", "good")]
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    source = {"path": str(path), "label_column": "label"}
    cfg = {
        "source": source,
        "lake": {"path": str(tmp_path / "lake")},
        "profile": {"max_unusable": 0.5},
        "generate": {"strategy": "imported", "imported": source},
    }
    assert plan.make_plan(validate(cfg))["rows"] == {"real": 3, "by_label": {"bad": 1, "good": 2}, "counted_from": "source"}
    with pytest.raises(DataError, match="profile.max_unusable: 33.3 % of the rows cannot be used \\(null_label 2\\)"):
        plan.make_plan(validate(cfg | {"profile": {}}))


def test_a_plan_takes_bytes_and_characters_of_the_rows_apart(spark, tmp_path, monkeypatch):
    monkeypatch.setattr("synalign_spark.pipeline.session.spark_session", lambda cfg: nullcontext(spark))
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("\u597d\u7535\u5f71", "abc", "\u597d\u7535\u5f71ab")))
    found = plan.make_profile(validate({"source": {"path": str(path), "label_column": None}}))
    assert plan.row_size(found) == RowSize(3, (9 + 3 + 11) / (3 + 3 + 5))


def test_a_plan_counts_the_demonstrations_of_a_set(tmp_path, monkeypatch):
    """Two more of 120 characters in each of 30 sets: `4. "..."` with a line end, 126 characters, 31.5 tokens."""
    monkeypatch.setattr(plan, "make_profile", lambda cfg: a_profile({"negative": 100, "positive": 300}))
    tokens = []
    for rows in (3, 5):
        settings = ["--set", f"lake.path={tmp_path / 'lake'}", "--set", f"select.rows_per_set={rows}", *SEVERAL_A_CALL]
        found = json.loads(run("plan", *QUICKSTART, *settings, "--json").stdout)
        tokens.append(found["generate"]["prompt_tokens"][0])
    assert tokens[1] - tokens[0] == 30 * 2 * 31.5


def test_a_plan_in_words_says_that_nothing_was_called(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "make_profile", lambda cfg: a_profile({}, 50))
    done = run("plan", *QUICKSTART, *SEVERAL_A_CALL, "--set", f"lake.path={tmp_path / 'lake'}")
    assert "real rows: 50 (no labels" in done.stdout
    assert "row chars from: the real rows" in done.stdout
    assert "no call to the language model was made" in done.stdout


def test_an_interrupt_says_how_far_it_was(capsys):
    def action():
        err = KeyboardInterrupt()
        err.add_note("generate: with 120 of 200 rows; missing: bad 60, good 20")
        raise err

    with pytest.raises(SystemExit) as ended:
        exit_with(action)
    assert ended.value.code == 130
    assert "missing: bad 60, good 20" in (said := capsys.readouterr().err)
    assert "start it again with the same command" in said


def test_what_spark_or_the_system_raises_is_a_message_and_what_is_our_fault_a_trace(capsys):
    def lacks():
        raise FileNotFoundError(2, "No such file or directory", "s3a://me:hunter2@bucket/x")

    with pytest.raises(SystemExit) as caught:
        exit_with(lacks)
    said = capsys.readouterr().err
    assert caught.value.code == 3
    assert "No such file or directory" in said
    assert "hunter2" not in said
    with pytest.raises(KeyError):
        exit_with(lambda: {}["our own fault"])


def test_a_reader_that_leaves_is_no_fault():
    code = "from synalign_spark.cli.exits import exit_with\nexit_with(lambda: [print('x' * 99) for _ in range(100_000)])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "x" * 99 + "\n"
        writer.stdout.close()
        assert (writer.wait(), writer.stderr.read()) == (141, "")


def test_names_that_drive_a_terminal_are_said_without(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a\x1b[31m.csv").write_text("text,la\u202ebel\x1b]0;x\x07\na,b\n")
    done = run("init", "\x1b[2J.yaml", "--source", "a\x1b[31m.csv")
    assert done.exit_code == 0
    assert not set("\x1b\x07\u202e") & set(done.stdout)
