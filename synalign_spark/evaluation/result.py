"""What :func:`synalign_spark.evaluate` returns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from synalign_spark.evaluation.evaluate import DRAWS, Found
from synalign_spark.evaluation.figures import KINDS, MEANINGS, Value
from synalign_spark.formatting import number

HEADINGS = {"uniform": "each row once", "weighted": "by weight", "real": "real rows"}


class Evaluation:
    """Figures of synthetic rows: ``evaluation["coverage", "weighted"]`` is a value with its interval, ``rows`` all of them, its text a table.

    pairs: the synthetic and real rows nearest each other, candidates for copies; skipped: which figures are not there, and why."""

    def __init__(self, found: Found, n_real: int, n_held: int, n_synthetic: int, real_ids: Sequence[str] = ()) -> None:
        """real_ids: of the real rows that copies are sought among."""
        self._values = {name: found.values[name] for name in in_order(found.values)}
        self.pairs, self.skipped = [_with_id(pair, real_ids) for pair in found.pairs], found.skipped
        self._sizes = {"real": n_real, "held_out": n_held, "synthetic": n_synthetic, "set": found.drawn_rows}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One a figure and kind of rows: group, name, rows, value, low, high (95 %), unit, better, meaning."""
        return [
            {"group": meaning.group, "name": name, "rows": kind, "value": value.value, "low": value.low, "high": value.high,
             "unit": meaning.unit, "better": meaning.better, "meaning": meaning.words}
            for name, by_kind in self._values.items()
            for meaning in (MEANINGS[name.partition(".")[0]],)
            for kind, value in by_kind.items()
        ]  # fmt: skip

    @property
    def sizes(self) -> dict[str, int]:
        """Rows that were looked at: real ones, those held out, synthetic ones, and those of a set whose figures depend on its size."""
        return dict(self._sizes)

    def to_pandas(self) -> Any:
        """``rows`` as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"rows": self.rows, "sizes": self.sizes, "pairs": self.pairs, "skipped": list(self.skipped)}

    def __contains__(self, figure: str) -> bool:
        return figure in self._values

    def __getitem__(self, name: tuple[str, str]) -> Value:
        figure, kind = name
        try:
            return self._values[figure][kind]
        except KeyError:
            raise KeyError(
                f"no figure {figure!r} of rows {kind!r}; there are {', '.join(self._values)}, each of {', '.join(KINDS)}"
            ) from None

    def __str__(self) -> str:
        return in_words(self._values, self._sizes, self.skipped)

    def __repr__(self) -> str:
        return f"Evaluation({len(self._values)} figures, skipped={list(self.skipped)!r})"


def in_order(figures: Iterable[str]) -> list[str]:
    """Names of figures by group, then as their meanings are listed."""
    order = list(MEANINGS)
    return sorted(figures, key=lambda name: (order.index(name.partition(".")[0]), name))


def in_words(values: Mapping[str, Mapping[str, Value]], sizes: Mapping[str, int], skipped: Sequence[str]) -> str:
    """The table that ``print`` shows. values: by figure and kind of rows; sizes, skipped: as of :class:`Evaluation`."""
    lines = [
        f"{sizes['synthetic']:,} synthetic rows beside {sizes['held_out']:,} held-out real ones; copies are sought among {sizes['real']:,} others",
        f"{'':34}{''.join(f'{HEADINGS[kind]:>31}' for kind in KINDS)}  better",
    ]
    group = ""
    for name, by_kind in values.items():
        meaning = MEANINGS[name.partition(".")[0]]
        lines += [meaning.group] if meaning.group != group else []
        group = meaning.group
        shown = "".join(f"{_shown(by_kind.get(kind)):>31}" for kind in KINDS)
        lines.append(f"  {name:32}{shown}  {'as real rows' if meaning.better == 'real' else meaning.better}")
    if sizes["set"]:
        lines.append(f"95% in brackets; figures of sets are means over {DRAWS} sets of {sizes['set']:,} rows, drawn by weight")
    if "mmd2" in values:
        lines.append(
            "distances take the weights as given: those that align fitted to these rows look nearer here than in its certificate, which corrects for it"
        )
    return "\n".join([*lines, *(f"not there: {why}" for why in skipped)])


def _with_id(pair: Mapping[str, Any], real_ids: Sequence[str]) -> dict[str, Any]:
    return {**pair, "real_id": real_ids[pair["real_row"]]} if real_ids else dict(pair)


def _shown(value: Value | None) -> str:
    return "–" if value is None else f"{number(value.value)} ({number(value.low)}, {number(value.high)})"
