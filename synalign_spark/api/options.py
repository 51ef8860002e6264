"""Keyword options of the public functions: any key of some sections of the configuration, checked as in a file."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from synalign_spark.config import Config
from synalign_spark.config.files import overlay, validate
from synalign_spark.config.secrets import shown_value
from synalign_spark.errors import ConfigError


def configuration(
    options: Mapping[str, Any],
    sections: Sequence[str],
    function: str,
    fixed: Mapping[str, str] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Config:
    """A configuration with ``options`` laid into the sections that have a key of that name; all else is the default.

    options: values by key, without the section; sections: where to look, the first that knows a key takes it, with a
    dot where one lies in another; function: name in messages; fixed: keys that the function itself sets, each with what
    to use instead; given: what it sets, by dotted key.
    Raises ConfigError for an unknown key, with the closest known one, and for values out of their limits.

    >>> configuration({"k": 20, "noise": 0.2}, ["cluster", "select"], "select").cluster.k
    20
    >>> configuration({"temperature": 0.5}, ["generate", "generate.llm"], "generate", given={"generate.target_rows": 9}).generate.target_rows
    9"""
    fixed = fixed or {}
    # A configuration names a corpus; the frame that the caller holds is one.
    values: dict[str, Any] = {"source": {"table": "the given frame", "label_column": "label"}}  # whether there is one the frame tells
    for key, value in (given or {}).items():
        values = overlay(values, _nested(key, value))
    section_of = {key: section for section in reversed(sections) for key in _keys(section) if key not in fixed}
    for key, value in options.items():
        shown = f"{key}={shown_value(key, value)}"
        if key in fixed:
            raise ConfigError(f"{function}: {shown} is not an option here; {fixed[key]}")
        if key not in section_of:
            close = difflib.get_close_matches(key, section_of, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(section_of))}"
            raise ConfigError(f"{function}: unknown option {shown}; {hint}")
        values = overlay(values, _nested(f"{section_of[key]}.{key}", value))
    return validate(values)


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _keys(section: str) -> list[str]:
    model: Any = Config
    for part in section.split("."):
        model = model.model_fields[part].annotation
    return [info.alias or name for name, info in model.model_fields.items()]
