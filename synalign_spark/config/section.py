"""What all blocks of the configuration are made of."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
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


def check_path(path: str | None) -> None:
    """Raises ValueError for a path that no file system takes."""
    if path is not None and "\0" in path:
        raise ValueError(f"path is {path!r}, with a NUL in it, which no file system takes; write it without")
