"""What all blocks of the configuration are made of."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from synalign_spark.core.text import normalise

T = TypeVar("T")


def label_name(name: str) -> str:
    """The name of a label in the form that labels of rows get. Raises pydantic's ValueError for a blank one.

    >>> label_name(" so \u00a0 so ")
    'so so'
    """
    if not (normal := normalise(name)):
        raise PydanticCustomError("label_name", "no row can have a blank label: give its name, or leave rows out with source.where")
    return normal


def label_names(values: dict[str, T]) -> dict[str, T]:
    """Values of labels, by ``label_name``. Raises pydantic's ValueError where two names are one label."""
    found = {label_name(name): value for name, value in values.items()}
    if len(found) < len(values):
        raise PydanticCustomError("label_names", "two of the names are one label, but for blanks or marks that do not show: keep one")
    return found


Label = Annotated[str, AfterValidator(label_name)]
OfLabels = Annotated[dict[str, T], AfterValidator(label_names)]

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A block of keys; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="strings", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _no_switches(cls, values: Any) -> Any:
        """true would count as 1 where a number is asked for."""
        for name, value in values.items() if isinstance(values, Mapping) else ():
            field = cls.model_fields.get(name)
            parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
            if field is not None and _of_numbers(field.annotation) and any(isinstance(one, bool) for one in parts):
                default = "" if field.is_required() else f" such as its default, {field.get_default(call_default_factory=True)}"
                raise ValueError(f"{name} is {value}, but it is no switch; give it a value{default}")
        return values


def _of_numbers(annotation: Any) -> bool:
    """Whether a key takes numbers and no switch, by its annotation.

    >>> _of_numbers(int | None), _of_numbers(dict[str, float]), _of_numbers(int | bool), _of_numbers(str)
    (True, True, False, False)
    """
    kinds, rest = set(), [annotation]
    while rest:
        kinds.add(one := rest.pop())
        rest += [part for part in get_args(one) if get_args(part) or isinstance(part, type)]
    return bool(kinds & {int, float}) and bool not in kinds


def check_path(path: str | None) -> None:
    """Raises ValueError for a path that no file system takes."""
    if path is not None and "\0" in path:
        raise ValueError(f"path is {path!r}, with a NUL in it, which no file system takes; write it without")
