"""The certificate of an alignment as an object: what the weights achieve, label by label and as a whole."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from synalign_spark.formatting import number


class Certificate:
    """Rows of the ``certificate`` table. Every figure of the whole is an attribute (``certificate.ess``) and a key
    (``certificate["lambda"]``, a word that Python keeps to itself); its text is the verdict.

    >>> row = {"label": None, "ess": 412.0, "n_synthetic": 1000, "verdict": "aligned"}
    >>> certificate = Certificate([row])
    >>> certificate.ess
    412.0
    >>> print(certificate)
    all rows: aligned"""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """rows: one a label and, where there are labels, one for all rows together (label None)."""
        self._rows = [dict(row) for row in rows]
        self._rows.sort(key=lambda row: (row["label"] is not None, row["label"] or ""))

    @property
    def overall(self) -> dict[str, Any]:
        """The figures of all rows together, by the columns of the ``certificate`` table."""
        return dict(self._rows[0]) if self._rows else {}

    @property
    def by_label(self) -> dict[str, dict[str, Any]]:
        """The figures of each label; empty without labels."""
        return {row["label"]: dict(row) for row in self._rows if row["label"] is not None}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows together first, then each label: the rows of the ``certificate`` table."""
        return [dict(row) for row in self._rows]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, ``overall`` and ``by_label``; an infinite number is the text 'inf', one that is none is null."""
        found: dict[str, Any] = _plain({"overall": self.overall, "by_label": self.by_label})
        return found

    def __getattr__(self, name: str) -> Any:
        rows = self.__dict__.get("_rows")
        if rows and name in rows[0]:
            return rows[0][name]
        raise AttributeError(f"a certificate has no figure {name!r}; it has {', '.join(rows[0]) if rows else 'none'}")

    def __getitem__(self, name: str) -> Any:
        return self.overall[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.overall]

    def __str__(self) -> str:
        return "\n".join(f"{row['label'] or 'all rows'}: {row['verdict']}" for row in self._rows)

    def __repr__(self) -> str:
        shown = {name: number(self.overall.get(name)) for name in ("rule", "lambda", "ess", "mmd2_before", "mmd2_after", "closed_share")}
        return f"Certificate({', '.join(f'{name}={value}' for name, value in shown.items())})"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
