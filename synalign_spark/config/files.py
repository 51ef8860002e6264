"""Reads a configuration: YAML files laid over each other, then ``key=value`` settings, then validation.

Every fault is reported in one go, each with its key, its value and the way to mend it.
"""

import datetime
import difflib
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from yaml.constructor import SafeConstructor

from synalign_spark.config import Config
from synalign_spark.config.secrets import is_secret, shown_value
from synalign_spark.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, and reads 1e-4 as a number as YAML 1.2 does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)$|^[-+]?(\d+\.\d*|\.\d+)$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, bool) or not isinstance(key, str | int | float):  # names of keys, and labels, which may be numbers
            raise yaml.MarkedYAMLError(
                problem=f"{key_node.value!r} stands where a key's name should, and YAML reads it as {_read_as(key)}; put it in quotes"
                if isinstance(key_node, yaml.ScalarNode)
                else f"a {type(key).__name__} stands where a key's name should; put it in quotes",
                problem_mark=key_node.start_mark,
            )
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice; keep one", problem_mark=key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


def _plain_number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    """A number that everybody reads alike: to YAML 1.1, 010 is eight and 1:30 is ninety."""
    found = (
        SafeConstructor.construct_yaml_int(loader, node) if node.tag.endswith("int") else SafeConstructor.construct_yaml_float(loader, node)
    )
    if ":" in node.value or re.match(r"[-+]?0[\d_]+$", node.value):
        raise yaml.MarkedYAMLError(
            problem=f"{node.value!r} reads as {found}; write that, or put it in quotes where a text is meant", problem_mark=node.start_mark
        )
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _plain_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _plain_number)


def load(paths: Sequence[str | Path], settings: Sequence[str] = ()) -> Config:
    """The configuration of ``paths`` (later ones win), with ``settings`` such as ``align.n_features=4096`` on top.

    Raises ConfigError with one line a fault."""
    if not paths and not settings:
        raise ConfigError("no configuration: give --config FILE; `synalign init FILE --source CORPUS` writes one to start from")
    merged: dict[str, Any] = {}
    for path in paths:
        merged = overlay(merged, read_yaml(path))
    for setting in settings:
        merged = overlay(merged, parse_setting(setting))
    return validate(merged)


def configured(config: str | Path | Sequence[str | Path] | Mapping[str, Any] | Config, settings: Sequence[str] = ()) -> Config:
    """The configuration in any form that a caller may have it in: paths, nested mappings, or whole; with ``settings`` on top.

    Raises ConfigError.

    >>> configured({"source": {"table": "reviews"}}, ["align.n_features=4096"]).align.n_features
    4096
    """
    if isinstance(config, str | Path):
        return load([config], settings)
    if not isinstance(config, Config | Mapping):
        return load(config, settings)
    merged = config.model_dump(by_alias=True, exclude_unset=True) if isinstance(config, Config) else dict(config)
    for setting in settings:
        merged = overlay(merged, parse_setting(setting))
    return validate(merged)


def lake_of(config: Sequence[str], settings: Sequence[str]) -> Config:
    """A configuration of which only run and lake matter: the source may be left out."""
    merged: dict[str, Any] = {"source": {"path": "unused", "label_column": "label"}} if not config else {}
    for layer in [*map(read_yaml, config), *map(parse_setting, settings)]:
        merged = overlay(merged, layer)
    return validate(merged)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """One file as a mapping; an empty file is an empty mapping."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise ConfigError(f"--config {path}: is not UTF-8 (byte {err.object[err.start]:#04x} at {err.start:,}); save it as UTF-8") from err
    except OSError as err:
        raise ConfigError(f"--config {path}: cannot be read ({err}); name a YAML file") from err
    return _mapping(text, str(path))


def _mapping(text: str, source: str) -> dict[str, Any]:
    try:
        found = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as err:  # ValueError: a date of month 13, too many digits
        raise ConfigError(f"{source}: not valid YAML: {err}") from err
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"{source}: must hold sections such as `source:`, got a {type(found).__name__}")
    return found


def parse_setting(setting: str) -> dict[str, Any]:
    """``align.n_features=4096`` as nested mappings; the value is read as YAML."""
    key, equals, value = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {setting!r}: must look like section.key=value, for example align.n_features=4096")
    try:
        nested: Any = yaml.load(value, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        raise ConfigError(f"--set {setting!r}: the value is not valid YAML: {err}") from err
    for part in reversed(parts):
        nested = {part: nested}
    return dict(nested)


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """``top`` over ``base``: mappings merge key by key, anything else is replaced whole."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def validate(values: Mapping[str, Any]) -> Config:
    """Checks a merged mapping. Raises ConfigError that lists every fault."""
    if halved := _halved(values):
        raise ConfigError(
            f"{halved[0]}: {shown_value(halved[0].rpartition('.')[2], halved[1])} holds bytes that are not UTF-8, or half of a surrogate pair, which is no text; write it otherwise"
        )
    try:
        return Config.model_validate(values)
    except ValidationError as err:
        lines = list(dict(reversed(list(_fault_lines(err)))).values())[::-1]  # a union reports once a branch: keep the first
    head = "the configuration has a fault" if len(lines) == 1 else f"the configuration has {len(lines)} faults"
    raise ConfigError(f"{head}:\n" + "\n".join(f"  - {line}" for line in lines))


def _halved(value: Any, key: str = "configuration") -> tuple[str, str] | None:
    """(key, text) of the first text, or name of a key, that cannot be written as UTF-8."""
    if isinstance(value, str):
        return (key, value) if any("\ud800" <= char <= "\udfff" for char in value) else None
    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        below = "" if key == "configuration" else f"{key}."
        parts = [*((key, name) for name in value), *((f"{below}{name}", part) for name, part in value.items())]
    elif isinstance(value, list | tuple):
        parts = [(f"{key}.{i}", part) for i, part in enumerate(value)]
    return next((found for name, part in parts if (found := _halved(part, name))), None)


def _fault_lines(err: ValidationError) -> Iterator[tuple[str, str]]:
    """(key, line) of each fault."""
    for fault in err.errors(include_url=False):
        path, field, siblings = _locate(fault["loc"])
        key = ".".join(path) or "configuration"
        if fault["type"] == "extra_forbidden":
            yield key, _unknown_key(key, path[-1], siblings)
        elif fault["type"] == "missing":
            yield key, f"{key}: is missing; {_about(field)}"
        elif fault["type"] == "value_error":
            yield key, f"{key}.{fault['ctx']['error']}" if path else str(fault["ctx"]["error"])  # the message starts with the field
        else:
            secret = next(filter(is_secret, path), path[-1])  # a key of a mapping that holds secrets tells nothing of its own
            expected = str(fault["msg"]) if is_secret(secret) else _expected(fault, field)
            yield key, f"{key}: got {shown_value(secret, fault['input'])}; {expected[0].lower()}{expected[1:]}; {_about(field)}"


def _locate(loc: tuple[Any, ...]) -> tuple[list[str], FieldInfo | None, list[str]]:
    """The dotted key of a pydantic location (without the names of union branches), its field and its siblings."""
    path: list[str] = []
    model: type[BaseModel] | None = Config
    field: FieldInfo | None = None
    names: list[str] = []
    entry: type[BaseModel] | None = None  # of a list of sections
    mapping = False  # from names that are the user's
    for part in loc:
        if model is None:
            if isinstance(part, int) or (mapping and part != "[key]"):
                path.append(str(part))
                model = entry
            continue
        known = {info.alias or name: info for name, info in model.model_fields.items()}
        names, field = list(known), known.get(part)
        path.append(str(part))
        annotation = field.annotation if field else None
        unions = (annotation, *get_args(annotation))  # it may be null, too
        kinds = {get_origin(kind): kind for kind in (get_args(one)[0] if get_origin(one) is Annotated else one for one in unions)}
        entry, mapping = section_of(next(iter(get_args(kinds.get(list))), None)), dict in kinds
        model = section_of(annotation)
    return path, field, names


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a section, which may be null; None for any other type."""
    rest = [kind for kind in get_args(annotation) if kind is not type(None)] if get_origin(annotation) in (Union, types.UnionType) else []
    annotation = rest[0] if len(rest) == 1 else annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _unknown_key(key: str, name: str, siblings: list[str]) -> str:
    if is_secret(name):
        return (
            f"{key}: secrets do not belong in a configuration; put it in an environment variable and name that in generate.llm.api_key_env"
        )
    close = difflib.get_close_matches(name, siblings, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(siblings)}"
    return f"{key}: unknown key; {hint}"


def _read_as(value: Any) -> str:
    """What YAML takes a word for that has no quotes."""
    if isinstance(value, bool):
        return "a boolean, as it does yes, no, on, off, true and false"
    return "a date" if isinstance(value, datetime.date) else "nothing" if value is None else "a number"


def _quoted(value: Any) -> str:
    """How a value of another type is written where a text is meant.

    >>> _quoted(0.5).split(" (")[0]
    'a text is meant, and YAML reads this as a number: put it in quotes, such as "0.5"'
    """
    word = {"True": "yes", "False": "no", "None": "null"}.get(str(value), str(value))
    return f"""a text is meant, and YAML reads this as {_read_as(value)}: put it in quotes, such as "{word}" (with --set once more for the shell: 'key=["{word}"]')"""


def _expected(fault: Any, field: FieldInfo | None) -> str:
    if fault["type"] == "string_type" and isinstance(fault["input"], dict):
        return "a text is meant, and YAML reads what begins with a brace as a mapping: put it in double quotes"
    if fault["type"] == "string_type" and isinstance(fault["input"], bool | int | float | datetime.date | None):
        within = isinstance(fault["loc"][-1], int) or fault["loc"][-1] == "[key]"
        if within or fault["input"] is not None:
            return _quoted(fault["input"])
    if fault["type"] == "model_type":
        return "a section is meant, with keys of its own below it"
    words = [arg for arg in get_args(field.annotation) if isinstance(arg, str)] if field else []
    for arg in get_args(field.annotation) if field else ():
        words += [word for word in get_args(arg) if isinstance(word, str)]
    choice = f" (or one of {', '.join(words)})" if words and fault["type"] != "literal_error" else ""
    return f"{fault['msg']}{choice}"


def _about(field: FieldInfo | None) -> str:
    if field is None or not field.description:
        return "see docs/reference/configuration.md, or `synalign config --schema`"
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    shown = "" if field.is_required() or isinstance(default, BaseModel) else f" Default: {default!r}."
    return f"{field.description}{shown}"
