"""The card of an export: Markdown with a head of YAML, in the form that the library ``datasets`` and the Hugging Face Hub read."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from synalign_spark import __version__
from synalign_spark.exports.facts import Facts
from synalign_spark.exports.formats import Format, class_names
from synalign_spark.formatting import cut, number, share_interval, undriven
from synalign_spark.scrubbing import scrub
from synalign_spark.storage.contracts import Column

NAME = "README.md"
LONGEST = 4_000  # characters of a text in the card; a verdict has some thousand
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"), (10**8, "10M<n<100M"))
_MARKS = re.compile(r"[\\`*_\[\]<>|#&~$@]|(?<=\bwww)\.|:(?=//)")


class Words(str):
    """What the project itself says, as Markdown: everything else is escaped where the template prints it."""

    __slots__ = ()


def literal(value: object) -> str:
    """A value as Markdown shows it literally, on one line and without what may be a secret: no emphasis, link, tag, table cell or formula.

    >>> print(literal("<b>a</b> | [x](http://me:pw@host)"))
    \\<b\\>a\\</b\\> \\| \\[x\\](http\\://\\[hidden\\]\\@host)
    """
    if isinstance(value, Words):
        return value
    if not isinstance(value, str):
        return number(value)
    return _MARKS.sub(lambda found: f"\\{found[0]}", cut(str(scrub(value)), LONGEST))


def render(facts: Facts, table: str, name: str, kind: Format, columns: Sequence[Column], sizes: dict[str, int]) -> str:
    """The card. sizes: num_bytes of the rows in memory and download_size of the files. The same run and options give the same text."""
    body = _environment().get_template("card.md.j2").render(
        f=facts, table=table, format=name, kind=kind, pattern=Words(_pattern(kind, table)), columns=columns, version=__version__, words=Words
    )  # fmt: skip
    return f"---\n{head(facts, table, kind, columns, sizes)}---\n\n{body}"


def head(facts: Facts, table: str, kind: Format, columns: Sequence[Column], sizes: dict[str, int]) -> str:
    """The head: size, language and task where they are known, that the licence is not, and where the files are."""
    labels = facts.rows.labels
    data: dict[str, Any] = {"pretty_name": f"{facts.run_id} ({table})", "license": "unknown"}
    if facts.languages:
        data["language"] = list(facts.languages)
    if labels != [None] and "label" in [column.name for column in columns]:
        data["task_categories"] = ["text-classification"]
    data["size_categories"] = [next((size for most, size in SIZES if facts.rows.total < most), "n>100M")]
    data["tags"] = ["synthetic", "synalign"]
    data["configs"] = [{"config_name": "default", "data_files": [{"split": "train", "path": _pattern(kind, table)}]}]
    if kind.has_classes:
        split = {"name": "train", "num_bytes": sizes["num_bytes"], "num_examples": facts.rows.total}
        data["dataset_info"] = {
            "features": [_feature(column, class_names(labels)) for column in columns],
            "splits": [split],
            "download_size": sizes["download_size"],
            "dataset_size": sizes["num_bytes"],
        }
    return _as_yaml(data)


def _as_yaml(data: dict[str, Any]) -> str:
    """With letters as they are, but where a name has marks that would turn the text around it.

    >>> _as_yaml({"name": "für"}), _as_yaml({"name": "x\u202ey"})
    ('name: für\\n', 'name: "x\\\\u202Ey"\\n')
    """
    head = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=2**31)
    return head if undriven(head) == head else yaml.safe_dump(data, sort_keys=False, width=2**31)


def _feature(column: Column, classes: Sequence[str] | None) -> dict[str, Any]:
    if column.name == "label" and classes is not None:
        return {"name": "label", "dtype": {"class_label": {"names": {str(i): name for i, name in enumerate(classes)}}}}
    return {"name": column.name, "dtype": {"double": "float64", "int": "int32"}.get(column.dtype, column.dtype)}


def _pattern(kind: Format, table: str) -> str:
    return kind.pattern.format(name=table)


@functools.lru_cache(maxsize=1)
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("synalign_spark", "exports"),
        undefined=StrictUndefined,
        finalize=literal,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals["share_interval"] = share_interval
    found.filters["points"] = lambda value: f"{round(100 * value, 1) + 0.0:+.1f}"
    found.filters["percent"] = lambda value: f"{value:.0%}"
    return found
