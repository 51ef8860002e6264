"""What all blocks of the configuration are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A block of keys; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="strings", hide_input_in_errors=True)


def check_path(path: str | None) -> None:
    """Raises ValueError for a path that no file system takes."""
    if path is not None and "\0" in path:
        raise ValueError(f"path is {path!r}, with a NUL in it, which no file system takes; write it without")
