"""Many small files, right and wrong: every record ends as a row, in a reject with a reason, or its file in one clear error; none is lost, and none
is merged into another unseen.

Each record has a mark in its text. Files of one dialect lie in one folder, so that a Spark job reads hundreds of them."""

import json
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.source_layout import Layout, layout_of
from synalign_spark.spark.sources import lost_in_lines, read_source
from synalign_spark.spark.swallowed import swallowed_lines

MARK = re.compile(r"<(\d+)x(\d+)>")
LABELS = ("good", "bad", "so so")
WORDS = (
    "fine",
    "film",
    "naïve",
    "5 €",
    "a, b",
    "c;d",
    "e|f",
    "x\ty",
    'say "so"',
    "it's",
    "\\",
    "#1",
    "=1+1",
    "NULL",
    "NaN",
    "-",
    "",
    " ",
    "two\nlines",
)
BEYOND = ("好电影", "ดีมาก", "😀", "\u200b", "\u202e")
NEVER = "no fault at all"
MORE, TWICE = "a second object", "a second label"


@dataclass(frozen=True)
class Family:
    """How a batch of files is written and configured."""

    kind: str
    separator: str
    quote: str
    encoding: str
    line_end: str
    header: bool
    told: bool  # what the files are is configured rather than guessed
    faulty: bool
    nested: bool = False  # the text of JSON

    @property
    def keys(self) -> dict:
        found = (
            {"text_column": "text", "label_column": "label"}
            if self.header
            else {"text_column": "_c0", "label_column": "_c1", "header": False}
        )
        if self.kind == "jsonl":
            return {"label_column": "label"} | ({"text_column": "meta.text"} if self.nested else {})
        return found | ({"separator": self.separator, "quote": self.quote, "encoding": self.encoding} if self.told else {})


@st.composite
def families(draw):
    kind = draw(st.sampled_from(["csv", "csv", "tsv", "jsonl"]))
    if kind == "jsonl":
        return Family(kind, "", "", "utf-8", draw(st.sampled_from(["\n", "\r\n"])), True, False, draw(st.booleans()), draw(st.booleans()))
    told = draw(st.booleans())
    separator = "\t" if kind == "tsv" and not told else draw(st.sampled_from([",", ";", "|"]))
    quote = draw(st.sampled_from(['"', "'", ""])) if told else '"' if kind == "csv" else ""
    encoding = draw(st.sampled_from(["utf-8", "utf-16", "windows-1252", "latin-1"] if told else ["utf-8", "utf-8", "utf-16"]))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    return Family(kind, separator, quote, encoding, line_end, True if not told else draw(st.booleans()), told, draw(st.booleans()))


def text_of(rng: Random, family: Family, file: int, row: int) -> str:
    words = WORDS if family.encoding not in ("utf-8", "utf-16") else WORDS + BEYOND
    chosen = [rng.choice(words) for _ in range(rng.randrange(1, 5))]
    if family.kind != "jsonl" and not family.quote:  # without quotes a cell holds no separator and no line end
        chosen = [re.sub(r"[\n\t,;|]", "-", word) for word in chosen]
    if family.encoding == "latin-1":
        chosen = [word.replace("€", "E") for word in chosen]
    return " ".join([f"<{file}x{row}>", *chosen])


def cell(rng: Random, family: Family, value: str) -> str:
    q = family.quote
    if q and (rng.random() < 0.3 or any(sign in value for sign in (q, family.separator, "\n", "\r")) or value.strip() != value):
        return q + value.replace(q, 2 * q) + q
    return value


def delimited_file(rng: Random, family: Family, file: int) -> tuple[bytes, dict[int, tuple[str, str]], bool]:
    """(content, row to (text, label), whether it is as it should be)."""
    rows = {i: (text_of(rng, family, file, i), rng.choice(LABELS)) for i in range(rng.randrange(1, 7))}
    found, right = [["text", "label", "more"]] if family.header else [], True
    for text, label in rows.values():
        cells = [cell(rng, family, value) for value in (text, label, rng.choice(["", "x", "1"]))]
        fault = rng.choice(["open", "close", "inside", "less", "more", "label"]) if family.faulty and rng.random() < 0.15 else NEVER
        right = right and fault == NEVER
        q = family.quote or '"'
        if fault == "open":
            cells[0] = q + text
        elif fault == "close":
            cells[0] = text + q
        elif fault == "inside":
            cells[0] = text[:8] + q + text[8:]
        elif fault == "less":
            cells.pop()
        elif fault == "more":
            cells.append("y")
        elif fault == "label":
            cells[1] = q + label
        found.append(cells)
    content = family.line_end.join(family.separator.join(cells) for cells in found) + family.line_end * rng.randrange(2)
    raw = content.encode({"windows-1252": "cp1252"}.get(family.encoding, family.encoding), errors="replace")
    if family.faulty and family.encoding == "utf-8" and rng.random() < 0.1:
        at = raw.rindex(b">") + 1
        raw, right = raw[:at] + b"\xff" + raw[at:], False
    return raw, rows, right


def json_file(rng: Random, family: Family, file: int) -> tuple[bytes, dict[int, tuple[str, str]], bool]:
    rows = {i: (text_of(rng, family, file, i), rng.choice(LABELS)) for i in range(rng.randrange(1, 7))}
    lines, right = [], True
    for text, label in rows.values():
        row = {"text": text, "label": label, "more": rng.choice([None, 1, [1, {"x": []}], {"y": {}}, "z", 1e300])}
        put = (lambda value: {"meta": {"text": value, "x": {"y": []}}}) if family.nested else (lambda value: {"text": value})
        row = {**put(row.pop("text")), **row}
        line = json.dumps(row, ensure_ascii=rng.random() < 0.5)
        fault = (
            rng.choice(["cut", "tail", "list", "object", "number", "surrogate", "bare", "more", "twice"])
            if family.faulty and rng.random() < 0.15
            else NEVER
        )
        right = right and fault == NEVER
        changed = {"list": [text], "object": {"body": text}}.get(fault)
        if changed is not None:
            line = json.dumps(row | put(changed))
        line = {
            "cut": line[:-3],
            "tail": line + "}",
            "more": line + rng.choice([" ", "", ", "]) + json.dumps({"text": MORE}),
            "twice": line[:-1] + f', "label": {json.dumps(TWICE)}}}',
            "bare": text.replace("\n", " "),
            "number": json.dumps(row | {"label": [1.5, text]}),
        }.get(fault, line)
        lines.append(line.replace("<", "<\\ud800<", 1).replace("<\\ud800<", "\\ud800<") if fault == "surrogate" else line)
    return (family.line_end.join(lines) + family.line_end * rng.randrange(3)).encode(), rows, right


def looked_at(path: Path, family: Family) -> tuple[Layout | None, str]:
    try:
        return layout_of(SourceConfig(path=str(path), **family.keys)), ""
    except DataError as err:
        return None, str(err)


def fuzz(spark, folder: Path, family: Family, seed: int, n_files: int) -> Counter:
    """Writes a batch, reads it, and holds each record to what became of it. Returns how many files ended how."""
    rng, ended = Random(seed), Counter()
    shutil.rmtree(folder, ignore_errors=True)
    groups: dict[object, dict[str, tuple]] = defaultdict(dict)
    for number in range(n_files):
        raw, rows, right = (json_file if family.kind == "jsonl" else delimited_file)(rng, family, number)
        path = folder / "one" / f"{number}.{family.kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        layout, error = looked_at(path, family)
        if layout is None:
            assert not right, f"{error}\n{raw!r}"
            assert "source." in error
            ended["error"] += 1
            continue
        dialect = layout.dialect and (layout.dialect.separator, layout.dialect.quote, layout.dialect.encoding, layout.dialect.names)
        place = folder / str(len(groups) if dialect not in groups else list(groups).index(dialect)) / path.name
        groups[dialect][path.name] = rows, right, raw
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    for number, files in enumerate(groups.values()):
        ended += check(spark, folder / str(number), family, files)
    return ended


def check(spark, folder: Path, family: Family, files: dict[str, tuple]) -> Counter:
    source = SourceConfig(path=str(folder), format=family.kind, **family.keys)
    layout = layout_of(source)
    read = read_source(spark, source, layout=layout).cache()
    found = read.select("text", "label", "malformed", "fault", "source_file").collect()
    of_file = defaultdict(list)
    for row in found:
        of_file[row.source_file.rpartition("/")[2]].append(row)
    ended, merged = Counter(), 0
    for name, (rows, right, raw) in files.items():
        clean = [row for row in of_file[name] if row.malformed is None and row.fault is None and row.label is not None]
        marks = Counter(mark for row in of_file[name] for mark in MARK.findall(row.malformed or row.text or ""))
        number = name.partition(".")[0]
        got = {int(i): n for (file, i), n in marks.items() if file == number}
        assert got == dict.fromkeys(rows, 1), (raw, of_file[name])
        merged += sum(len(MARK.findall(row.text or "")) - 1 for row in clean if MARK.search(row.text or ""))
        assert not any(MARK.search(row.label) for row in clean), (raw, clean)
        if right:
            expected = sorted((text.strip(), label) for text, label in rows.values())
            assert sorted(((row.text or "").strip().replace("\r\n", "\n"), row.label) for row in clean) == expected, raw
        ended["right" if right else "wrong"] += 1
    labels = [*LABELS]
    told = swallowed_lines(read.where("malformed is null").withColumnRenamed("text", "raw"), source, layout.dialect, labels)
    read.unpersist()
    assert lost_in_lines(spark, source, layout) == tuple(
        sum(raw.count(word.encode()) for *_, raw in files.values()) for word in (MORE, TWICE)
    )
    assert merged <= told, (merged, told)
    return ended


@settings(max_examples=12, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(family=families(), seed=st.integers(0, 2**32))
def test_every_record_of_small_files_ends_somewhere(spark, tmp_path_factory, family, seed):
    assert fuzz(spark, tmp_path_factory.mktemp("fuzz"), family, seed, 20).total() == 20


@pytest.mark.slow
@settings(max_examples=50, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(family=families(), seed=st.integers(0, 2**32))
def test_ten_thousand_small_files(spark, tmp_path_factory, family, seed):
    assert fuzz(spark, tmp_path_factory.mktemp("fuzz"), family, seed, 200).total() == 200
