"""The configuration reference of the README, made from the models so that it cannot fall behind."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from synalign_spark.config import Config

BEGIN = "<!-- configuration reference: begin (make docs) -->"
END = "<!-- configuration reference: end -->"


def reference() -> str:
    """A Markdown table of every key: name, type, default, meaning."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in _fields(Config, ""):
        default = "required" if field.is_required() else f"`{_plain(field.get_default(call_default_factory=True))}`"
        lines.append(f"| `{key}` | {_type(field.annotation)} | {default} | {_cell(field.description or '')} |")
    return "\n".join(lines)


def with_reference(readme: str) -> str:
    """The README's text with the reference between its two marks made new."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README has no place for the reference: {BEGIN} ... {END}")
    return f"{head}{BEGIN}\n{reference()}\n{END}{tail}"


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{key}.")
        else:
            yield key, field


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
    return {str: "text", int: "integer", float: "number", bool: "true/false"}.get(annotation, str(annotation))


def _plain(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """``python -m synalign_spark.config.reference README.md`` renews the reference in place."""
    import sys
    from pathlib import Path

    path = Path(sys.argv[1])
    path.write_text(with_reference(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
