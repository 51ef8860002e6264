"""The real embedded model: answers by schema, logs what it finished, and leaves with its parent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest

from synalign_spark.config import GenerateConfig
from synalign_spark.config.language_model import SMOLLM
from synalign_spark.errors import EndpointError
from synalign_spark.generation import embedded
from synalign_spark.generation.dialects import form
from synalign_spark.generation.endpoint import check
from synalign_spark.generation.engine import generate
from synalign_spark.generation.prompts import Prompter

PARENT = """
import sys, time
from synalign_spark.generation.embedded import serve
with serve("SmolLM2-135M-Instruct", sys.argv[1]) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def server_pids(folder: Path) -> list[int]:
    """Live processes whose command line names the folder's log."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder / "llm-server.log").encode() in line:
                found.append(int(entry.name))
    return found


def wait_for_line(log, words, seconds=10.0):
    """The server logs a request once its answer has left, an instant after the client has it."""
    deadline = time.monotonic() + seconds
    while words not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_answers_by_schema_and_logs_the_request(tmp_path):
    chat = {"task": "a short sentence", "rows_per_request": 2, "min_chars": 5, "max_chars": 40, "llm": {"api": "chat"}}
    prompt = Prompter(GenerateConfig.model_validate(chat), ["positive"]).rows("positive")
    with embedded.serve(SMOLLM, str(tmp_path)) as url:
        assert check(GenerateConfig(llm={"model": SMOLLM}).llm, url).model_listed
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120)
        for pid in server_pids(tmp_path):
            os.kill(pid, signal.SIGINT)  # Ctrl-C at a terminal, which whoever asks waits after
        reply = client.chat.completions.create(
            model=SMOLLM,
            messages=list(prompt.messages),
            max_tokens=120,
            seed=1,
            **form("json_schema", prompt),
            extra_headers={"X-Request-Id": "id-1"},
        )
        wait_for_line(tmp_path / "llm-server.log", "id-1")
    assert len(json.loads(reply.choices[0].message.content)["rows"]) == 2
    lines = [json.loads(line) for line in (tmp_path / "llm-server.log").read_text().splitlines()]
    assert [(line["request_id"], line["status"]) for line in lines if line["method"] == "POST"] == [("id-1", 200)]
    assert server_pids(tmp_path) == []


def test_leaves_when_its_parent_is_killed(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout.readline().startswith(b"http")
    assert server_pids(tmp_path)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while server_pids(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server_pids(tmp_path) == []


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit(3)", "ended with status 3 before it gave its address"),
        ("import os, time; os.close(1); time.sleep(0.5); os._exit(4)", "ended with status 4 before it gave its address"),
        ("import os; os.kill(os.getpid(), 9)", "ended with status -9 before it gave its address"),
        ("import time; time.sleep(60)", "did not start within 1.5 s"),
        ("print('{\\'base', flush=True); import time; time.sleep(60)", "gave no address"),
    ],
)
def test_a_model_that_ended_is_told_from_one_that_is_slow(program, said, monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 1.5)
    errors = tmp_path / "llm-server.err"
    errors.write_text("llama.cpp: no such file")
    child = subprocess.Popen([sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        with pytest.raises(EndpointError, match=f"{said}.*llama.cpp: no such file"):
            embedded._address(child, errors)
    finally:
        child.kill()
        embedded._stop(child)


def test_a_model_that_is_not_embedded_is_refused_before_any_work():
    with pytest.raises(ValueError, match=r"model 'gemma' is no embedded one \(gemma-3-270m, SmolLM2-135M-Instruct\); name one of them"):
        GenerateConfig(llm={"model": "gemma"})


@pytest.mark.slow
def test_generates_rows(demonstrations, quiet, tmp_path):
    cfg = GenerateConfig(
        task="a sentence from a movie review",
        target_rows=8,
        rows_per_request=2,
        llm={"max_output_tokens": 160, "backend": "in_process", "model": SMOLLM},
    )
    result = generate(demonstrations, {"good": 1, "bad": 1}, cfg, 0, str(tmp_path / "ledger"), quiet, str(tmp_path))
    assert result.summary["accepted"] > 0
    assert set(result.calls["dialect"].to_pylist()) == {"completion"}
