"""Keyword options of the public functions: any key of some sections of the configuration, checked as in a file."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from synalign_spark.config import Config
from synalign_spark.config.files import validate
from synalign_spark.errors import ConfigError


def configuration(options: Mapping[str, Any], sections: Sequence[str], function: str, fixed: Mapping[str, str] | None = None) -> Config:
    """A configuration with ``options`` laid into the sections that have a key of that name; all else is the default.

    options: values by key, without the section; sections: where to look, the first that knows a key takes it;
    function: name in messages; fixed: keys that the function itself sets, each with what to use instead.
    Raises ConfigError for an unknown key, with the closest known one, and for values out of their limits.

    >>> configuration({"k": 20, "noise": 0.2}, ["cluster", "select"], "select").cluster.k
    20"""
    fixed = fixed or {}
    values: dict[str, dict[str, Any]] = {section: {} for section in sections}
    section_of = {key: section for section in reversed(sections) for key in _keys(section) if key not in fixed}
    for key, value in options.items():
        if key in fixed:
            raise ConfigError(f"{function}: {key}={value!r} is not an option here; {fixed[key]}")
        if key not in section_of:
            close = difflib.get_close_matches(key, section_of, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(section_of))}"
            raise ConfigError(f"{function}: unknown option {key}={value!r}; {hint}")
        values[section_of[key]][key] = value
    # A configuration names a corpus; the frame that the caller holds is one.
    return validate({"source": {"table": "the given frame"}, **values})


def _keys(section: str) -> list[str]:
    model: Any = Config.model_fields[section].annotation
    return [info.alias or name for name, info in model.model_fields.items()]
