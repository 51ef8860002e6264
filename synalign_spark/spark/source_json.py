"""JSON sources, looked at without Spark: one array or an object a line, and the keys of the first rows."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pyarrow import fs

from synalign_spark.errors import DataError
from synalign_spark.spark.source_files import head

LINES_LOOKED_AT = 1_000
_BETWEEN = re.compile(r"[,\s]*")


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
        return [row for row, _ in islice(_elements(text), LINES_LOOKED_AT)]
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


def lost_in(line: str, keys: frozenset[str]) -> tuple[int, int]:
    """Whether a line holds more than its first object, or an array without one, and how many objects of it have one of the keys twice: of these
    Spark reads a part, or nothing.

    >>> keys = frozenset(["text"])
    >>> lost_in('{"text": "a"} {"text": "b"}', keys), lost_in('{"text": "a", "text": "b"}', keys), lost_in('{"text": "}{", "x": {"y": 1, "y": 2}},', keys)
    ((1, 0), (0, 1), (0, 0))
    >>> lost_in("[ ]", keys), lost_in('[{"text": "a"}]', keys)
    ((1, 0), (0, 0))
    """
    whole = line.strip()
    try:
        found, end = json.JSONDecoder(object_pairs_hook=_object).raw_decode(whole)
    except (ValueError, RecursionError):
        return 0, 0  # malformed, or in one of the ways that only Spark takes
    twice = sum(_has_twice(row, keys) for row in (found if isinstance(found, list) else [found]))
    return int(found == [] or bool(whole[end:].strip(" \t,;}]"))), twice


def lost_in_array(text: str, keys: frozenset[str]) -> tuple[int, int]:
    """As ``lost_in``, of a file that is one array: whether something follows its end, and how many objects have one of the keys twice.

    >>> lost_in_array('[{"text": "a"}, {"text": "b", "text": "c"}] []', frozenset(["text"])), lost_in_array('[{"text": "a"', frozenset(["text"]))
    ((1, 1), (0, 0))
    """
    twice, at = 0, 0
    for row, at in _elements(text):  # noqa: B007 - where the last one ends
        twice += _has_twice(row, keys)
    rest = _BETWEEN.sub("", text[at:], count=1)
    return int(rest.startswith("]") and bool(rest[1:].strip())), twice


def _has_twice(row: Any, keys: frozenset[str]) -> bool:
    return isinstance(row, Doubled) and not keys.isdisjoint(row.twice)


def check_array(text: str, name: str, field: str) -> None:
    """Raises DataError where an element is no object: Spark reads nothing of such an array; and where something follows an array that ends in the
    text: of a file's arrays the first alone would be read."""
    for i, (row, _) in enumerate(_elements(text), start=1):
        if not isinstance(row, dict):
            raise DataError(
                f"{field}.path: element {i} of the JSON array in {name!r} is {json.dumps(row)[:40]} and no object, and nothing of such an array is read; "
                "take it out, or make it an object with the columns"
            )
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


def _elements(text: str) -> Iterator[tuple[Any, int]]:
    """The elements of an array, each with where it ends, up to one that is none."""
    decoder, at = json.JSONDecoder(object_pairs_hook=_object), text.find("[") + 1
    while (found := _BETWEEN.match(text, at)) is not None:
        try:
            row, at = decoder.raw_decode(text, found.end())
        except (ValueError, RecursionError):
            return
        yield row, at


def json_keys(path: str, found: list[fs.FileInfo]) -> list[str] | None:
    """Keys of the objects at the start of the first file that has some; None where no object stands there."""
    for info in found:
        keys: dict[str, None] = {}
        for row in json_rows(path, info.path):
            keys |= dict.fromkeys(row) if isinstance(row, dict) else {}
        if keys:
            return list(keys)
    return None
