"""Which columns of two frames hold what, for :func:`synalign_spark.api.align.align`."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from synalign_spark.errors import DataError


@dataclass(frozen=True)
class AlignColumns:
    """Names of columns that both frames have, None where there is no such column; the weight may be in one frame alone."""

    text: str | None
    label: str | None
    embedding: str | None
    id: str | None
    real_weight: str | None
    synthetic_weight: str | None

    @classmethod
    def of(cls, real: Iterable[str], synthetic: Iterable[str], *, text: str | None, label: str | None, embedding: str | None,
           weight: str | None, id: str | None) -> "AlignColumns":  # fmt: skip
        """Checks the names against the columns of both frames. The default text column may be missing where vectors are given.

        Raises DataError for a column that a frame lacks, and where there is neither text nor embedding."""
        sides = {"real": list(real), "synthetic": list(synthetic)}
        for side, columns in sides.items():
            if repeated := sorted({str(name) for name in columns if columns.count(name) > 1}):
                raise DataError(f"the {side} frame has more than one column {', '.join(repeated)}; rename or drop one")
        if embedding is not None and text == "text" and not all("text" in columns for columns in sides.values()):
            text = None
        if text is None and embedding is None:
            raise DataError("text and embedding are both None; name the column with the text, or one with a vector a row")
        for role, name in (("text", text), ("label", label), ("embedding", embedding), ("id", id)):
            for side, columns in sides.items():
                if name is not None and name not in columns:
                    raise DataError(_missing(role, name, side, columns))
        if weight is not None and not any(weight in columns for columns in sides.values()):
            raise DataError(_missing("weight", weight, "real or synthetic", list(dict.fromkeys([*sides["real"], *sides["synthetic"]]))))
        weights = (weight if weight in columns else None for columns in sides.values())
        return cls(text, label, embedding, id, next(weights), next(weights))

    @classmethod
    def of_one(cls, columns: Iterable[str], **roles: Any) -> "AlignColumns":
        """The same for one frame with synthetic rows. Raises DataError."""
        try:
            return cls.of(columns, columns, **roles)
        except DataError as err:
            raise DataError(str(err).replace("the real frame", "the frame").replace("the real or synthetic frame", "the frame")) from None


def _missing(role: str, name: str, side: str, columns: list[str]) -> str:
    names = [str(column) for column in columns]
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names) or 'no columns'}"
    return f"{role}={name!r}: the {side} frame has no such column; {hint}"
