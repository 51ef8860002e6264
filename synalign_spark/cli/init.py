"""``synalign init``: a commented starting configuration, with what can be told of the corpus filled in."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml
from pyarrow.fs import FileInfo

from synalign_spark.config import SourceConfig
from synalign_spark.errors import ConfigError
from synalign_spark.spark.source_files import data_files, detect_format, file_schemas, list_files, parquet_columns
from synalign_spark.spark.source_json import json_keys
from synalign_spark.spark.source_layout import header_of

TEMPLATE = "conf/local.yaml"
# Names that corpora use, the likeliest first.
TEXT_NAMES = (
    "text",
    "sentence",
    "content",
    "review",
    "body",
    "document",
    "utterance",
    "question",
    "message",
    "query",
    "title",
    "description",
)
LABEL_NAMES = ("label", "class", "category", "sentiment", "intent", "topic", "target", "label_text", "label_name")


@dataclass(frozen=True)
class Guess:
    """What the names of a corpus's columns tell. columns: all of them, None where they cannot be read here."""

    text: str | None
    label: str | None
    columns: tuple[str, ...] | None


def write(path: str, source: str | None) -> list[str]:
    """Writes the configuration to ``path``; returns what to tell the user, a line each.

    source: file, folder or glob of the corpus, or None. Raises ConfigError where the file exists or cannot be written,
    DataError where there is no source or its format cannot be told."""
    target = Path(path)
    guess = Guess(None, None, None) if source is None else look_at(source)
    text = filled(template(), target, source, guess)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as err:
        raise ConfigError(f"{path!r} exists and is left as it is; name another file, or remove it first") from err
    except OSError as err:
        raise ConfigError(f"{path!r} cannot be written ({err.strerror}); name a file in a folder that you may write") from err
    return [f"wrote {path}", *_found(source, guess), "", "Next", *(f"  {line}" for line in next_commands(path))]


def template() -> str:
    """The configuration that the package carries."""
    return files("synalign_spark").joinpath(TEMPLATE).read_text(encoding="utf-8")


def look_at(source: str) -> Guess:
    """Guesses the text and label columns by their names; no row is read. Raises DataError where there is nothing."""
    found = list_files(source)
    kind = detect_format(source, found)
    if kind == "text":
        return Guess(SourceConfig.model_fields["text_column"].default, None, None)
    columns = None if found is None else _columns(source, found, kind)
    if columns is None:
        return Guess(None, None, None)
    label = _first(LABEL_NAMES, columns)
    rest = [name for name in columns if name != label]
    return Guess(_first(TEXT_NAMES, rest) or (rest[0] if len(rest) == 1 else None), label, tuple(columns))


def _columns(source: str, found: list[FileInfo], kind: str) -> list[str] | None:
    if kind in ("csv", "tsv"):
        return header_of(source, found, kind)
    if kind == "arrow":
        return list(file_schemas(source, data_files(found, kind)[0], kind)[0][1].names)
    return json_keys(source, found) if kind == "jsonl" else parquet_columns(source, found)


def _first(wanted: Iterable[str], columns: Sequence[str]) -> str | None:
    """The column of the likeliest name, in the column's own spelling."""
    spelled = {name.lower(): name for name in reversed(columns)}
    return next((spelled[name] for name in wanted if name in spelled), None)


def filled(text: str, target: Path, source: str | None, guess: Guess) -> str:
    """The template with the file's own name, and with the values that are known instead of marks to change."""
    name = target.stem if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", target.stem) else None
    known = {
        "run.id": name,
        "lake.path": name and f"lake/{name}",
        "source.path": source,
        "source.text_column": guess.text,
        "source.label_column": guess.label,
    }
    lines, section = [], ""
    for line in text.replace("Copy it, change", "Change").replace(TEMPLATE, str(target)).splitlines():
        if found := re.match(r"(\w+):", line):
            section = found.group(1)
        key = line.strip().partition(":")[0]
        value = known.get(f"{section}.{key}")
        lines.append(line if value is None else f"  {key}: {_scalar(value)}")
    return "\n".join(lines) + "\n"


def _scalar(value: str) -> str:
    """A text as YAML writes it on one line: with quotes where it would be read as something else."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("\n...\n").strip()


def _found(source: str | None, guess: Guess) -> list[str]:
    """What was found in the corpus and what is left to say."""
    if source is None:
        return ["  source.path is left to you; `synalign init --source FILE` fills it"]
    if guess.columns is None and guess.text is None:
        return ["  the columns cannot be told here; set source.text_column and source.label_column"]
    known = "" if guess.columns is None else f" (of {', '.join(guess.columns)})"
    text = f"source.text_column: {guess.text}" if guess.text else "source.text_column is left to you"
    label = f"source.label_column: {guess.label}" if guess.label else "no label column: set source.label_column if one holds the class"
    return [f"  {text}{known}", f"  {label}"]


def next_commands(path: str) -> list[str]:
    """What to type after writing the configuration."""
    return [
        f"is everything there?      synalign doctor --config {path}",
        f"rows, requests and cost:  synalign plan --config {path}",
        f"run it:                   synalign run --config {path}",
    ]
