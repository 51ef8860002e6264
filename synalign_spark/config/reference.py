"""The page of the documents that lists every key of the configuration, made from the models so that it cannot fall behind."""

import inspect
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from synalign_spark.config import Config, SourceConfig
from synalign_spark.config.files import section_of
from synalign_spark.formatting import markdown, paragraph

PAGE = "docs/reference/configuration.md"
IMPORTED = "generate.imported"  # has the same keys as `source`
HEAD = """\
# Configuration

Every key, with its type, its default and its meaning. Generated from the models in
`synalign_spark/config/` by `make reference`; change it there.

`synalign init` writes a file to start from, `synalign config --config FILE` prints a
configuration with all its defaults, `synalign config --schema` the JSON schema for editors.
Any key can be given on the command line: `--set align.n_features=4096`.
"""


def page() -> str:
    """The whole page as Markdown: a heading a section, an item a key."""
    parts = [HEAD]
    for name, model, prefix in sections(Config, ""):
        keys = {} if name == IMPORTED else model.model_fields
        items = [_item(f"{prefix}{field.alias or key}", field) for key, field in keys.items() if section_of(field.annotation) is None]
        parts.append("\n".join([f"## {name}\n", f"{paragraph(_about(model, name))}\n", *items]).rstrip() + "\n")
    return "\n".join(parts)


def sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel], str]]:
    """(dotted name, model, prefix of its keys) of every section below a model, in order."""
    for key, field in model.model_fields.items():
        inner = section_of(field.annotation)
        if inner is not None:
            name = f"{prefix}{field.alias or key}"
            yield name, inner, f"{name}."
            yield from sections(inner, f"{name}.")


def _about(model: type[BaseModel], name: str) -> str:
    """What a section is: the docstring of its model."""
    if name == IMPORTED:
        return "The existing synthetic set, for the strategy `imported`. Its keys are those of `source`, under this name."
    return (inspect.getdoc(model) or "").replace("``", "`") if model.__doc__ else ""


def _item(key: str, field: FieldInfo) -> str:
    """One key as a list item."""
    default = "required" if field.is_required() else f"default {_default(field.get_default(call_default_factory=True))}"
    return paragraph(f"**`{key}`** ({_type(field.annotation)}; {default}): {markdown(field.description or '')}", "- ")


def _type(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(args[0])
    if origin is Literal:
        return ", ".join(f"`{arg}`" for arg in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(arg) for arg in args)
    if origin in (list, dict):
        return f"{'list' if origin is list else 'map'} of {_type(args[-1])}"
    if annotation is type(None):
        return "null"
    if annotation is SourceConfig:
        return "maps of the keys of `source`"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"maps of {' and '.join(f'`{key}`' for key in annotation.model_fields)}"
    if annotation is JsonValue:
        return "any value"
    return {str: "text", int: "integer", float: "number", bool: "true/false"}.get(annotation, str(annotation))


def _default(value: Any) -> str:
    return f"`{_plain(value)}`" if value != "" else "empty"


def _plain(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """``python -m synalign_spark.config.reference FILE`` writes the page."""
    import sys
    from pathlib import Path

    Path(sys.argv[1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
