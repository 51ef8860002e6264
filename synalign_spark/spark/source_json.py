"""JSON sources, looked at without Spark: one array or an object a line, and the keys of the first rows."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pyarrow import fs

from synalign_spark.errors import DataError
from synalign_spark.spark.source_files import head

LINES_LOOKED_AT = 1_000


class Doubled(dict[str, Any]):
    """An object in which keys stand twice; of each the last value, as Spark takes it."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.twice = {key for key, n in counts.items() if n > 1}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Doubled(pairs)


def json_rows(path: str, name: str, field: str = "source") -> list[Any]:
    """The values on the first thousand lines of a file that are JSON; of one JSON array its elements as far as the first megabyte has them."""
    text = head(path, name, field).decode("utf-8-sig", errors="replace")
    if is_array(text):
        return list(islice(_elements(text), LINES_LOOKED_AT))
    rows: list[Any] = []
    for line in islice(text.split("\n"), LINES_LOOKED_AT):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line, object_pairs_hook=_object)
            rows += found if isinstance(found, list) else [found]
    looked = sum(bool(line.strip()) for line in islice(text.split("\n"), LINES_LOOKED_AT))
    if text.lstrip().startswith("{") and 2 * sum(isinstance(row, dict) for row in rows) < looked > 1:
        raise DataError(
            f"{field}.path: {name!r} has no JSON object on most of its first lines: is it one object over several lines? jsonl needs an object a "
            "line, or one array of objects; write the rows so"
        )
    return rows


def is_array(text: str) -> bool:
    """Whether a file is one JSON array over several lines, rather than lines of JSON.

    >>> is_array('[\\n {"text": "a"}\\n]'), is_array('{"text": "a"}'), is_array('[1, 2]\\n{"text": "a"}')
    (True, False, False)
    """
    if not text.lstrip().startswith("["):
        return False
    try:
        json.loads(text.lstrip().split("\n", 1)[0])
    except ValueError:
        return True
    return False


def lost_in(line: str, keys: frozenset[str]) -> tuple[bool, bool]:
    """Whether a line holds more than its first object, and whether that has one of the keys twice: of both Spark reads a part.

    >>> keys = frozenset(["text"])
    >>> lost_in('{"text": "a"} {"text": "b"}', keys), lost_in('{"text": "a", "text": "b"}', keys), lost_in('{"text": "}{", "x": {"y": 1, "y": 2}},', keys)
    ((True, False), (False, True), (False, False))
    """
    whole = line.strip()
    try:
        found, end = json.JSONDecoder(object_pairs_hook=_object).raw_decode(whole)
    except (ValueError, RecursionError):
        return False, False  # malformed, or in one of the ways that only Spark takes
    twice = any(isinstance(row, Doubled) and not keys.isdisjoint(row.twice) for row in (found if isinstance(found, list) else [found]))
    return bool(whole[end:].strip(" \t,;}]")), twice


def refuse_more(text: str, name: str, field: str) -> None:
    """Raises DataError where something follows an array that ends in the text: of a file's arrays the first alone would be read."""
    whole = text.lstrip()
    try:
        _, end = json.JSONDecoder().raw_decode(whole)
    except (ValueError, RecursionError):
        return
    if whole[end:].strip():
        raise DataError(
            f"{field}.path: in {name!r} {whole[end:].strip()[:40]!r} follows the end of the JSON array, and would not be read; write one array a file, or "
            "an object a line"
        )


def _elements(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(object_pairs_hook=_object), text.index("[") + 1
    while at < len(text):
        at += len(text[at:]) - len(text[at:].lstrip(", \t\r\n"))
        try:
            row, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield row


def json_keys(path: str, found: list[fs.FileInfo]) -> list[str] | None:
    """Keys of the objects at the start of the first file that has some; None where no object stands there."""
    for info in found:
        keys: dict[str, None] = {}
        for row in json_rows(path, info.path):
            keys |= dict.fromkeys(row) if isinstance(row, dict) else {}
        if keys:
            return list(keys)
    return None
