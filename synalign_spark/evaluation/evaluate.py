"""All figures of an evaluation, for rows as they are, by their weights, and real rows in their place.

Real rows that are held out, by the rule of align, select and generate, are what rows are compared with: nothing that was written or
weighted by the same seed has seen them. The other real rows are compared with them as well, for what the best rows would score, and are
what copies are sought among.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from synalign_spark.core.evaluation.mmd import Kernel, Stratified, compare_by
from synalign_spark.core.features import median_distance, mixture_kernel, nearly_equal
from synalign_spark.evaluation.copying import Copying, copying
from synalign_spark.evaluation.diversity import distinct_n, label_distance, length_distance, self_bleu, vendi
from synalign_spark.evaluation.figures import KINDS, MEANINGS, Value
from synalign_spark.evaluation.rows import IntArray, Rows, drawn
from synalign_spark.evaluation.support import NEIGHBOURS, distances, support
from synalign_spark.evaluation.utility import reason_to_skip, utility

DRAWS = 10  # sets of rows that are scored
FEWEST_DRAWN = 2 * NEIGHBOURS + 2  # rows of such a set

Values = dict[str, Mapping[str, Value]]  # by figure and kind of rows


@dataclass(frozen=True)
class Found:
    """The figures; pairs: the nearest pairs of a synthetic and a real row; skipped: why some figures are not there; drawn_rows: of a set."""

    values: Values
    pairs: Sequence[Mapping[str, object]]
    skipped: tuple[str, ...]
    drawn_rows: int


def evaluate_rows(real: Rows, held: Rows, synthetic: Rows, mixing_weight: float, seed: int) -> Found:
    """real, held: real rows, and those that are held out; synthetic: with their weights, of which only ratios count.

    Figures of sets (all but the distances and those of models) are means over DRAWS sets of equally many distinct rows, half of the effective
    sample size, drawn by weight: sets of half the rows vary as much as samples of all of them do."""
    if nearly_equal(synthetic.x) or nearly_equal(real.x):
        return Found({}, [], ("most vectors of a side are the same, so that no distance means anything",), 0)
    copies = {"synthetic": copying(synthetic, real), "real": copying(held, real)}
    size = int(min(synthetic.ess, len(real), len(synthetic)) / 2)
    values, skipped = _distances(real, held, synthetic)
    if size >= FEWEST_DRAWN and len(held) > NEIGHBOURS:
        values |= _of_sets(real, held, synthetic, copies, size, seed)
    else:
        skipped.append(f"figures of sets of rows: {size} rows by effective sample size, {len(held)} held out; {FEWEST_DRAWN} are needed")
    if why := reason_to_skip(real, held, synthetic):
        skipped.append(f"models: {why}")
    else:
        values |= utility(real, held, synthetic, mixing_weight, seed)
    return Found(values, copies["synthetic"].worst(synthetic, real), tuple(skipped), size)


def _of_sets(real: Rows, held: Rows, synthetic: Rows, copies: Mapping[str, Copying], size: int, seed: int) -> Values:
    sides = {"uniform": synthetic.uniform(), "weighted": synthetic, "real": real}
    scores = {
        kind: [
            _scores(rows.take(places).uniform(), held) | _copies(kind, copies, held, places, seed + draw)
            for draw, places in enumerate(drawn(rows.weight, size, DRAWS, seed))
        ]
        for kind, rows in sides.items()
    }
    names = scores["uniform"][0]
    columns = {name: {kind: np.array([score[name] for score in scores[kind]]) for kind in KINDS} for name in names}
    return {
        name: {kind: Value.of(float(column.mean()), column, least=0.0, most=_most(name)) for kind, column in by_kind.items()}
        for name, by_kind in columns.items()
        if not any(np.isnan(column).any() for column in by_kind.values())
    }


def _most(name: str) -> float:
    return 1.0 if MEANINGS[name].unit in ("share", "cosine") else float("inf")


def _copies(kind: str, copies: Mapping[str, Copying], held: Rows, places: IntArray, seed: int) -> dict[str, float]:
    """Figures of copying among the real rows that are not held out: of a set of synthetic rows, and in the place of real ones, which are
    those rows themselves, of as many held-out ones, as far as there are any. places: of the synthetic set."""
    if kind != "real":
        return copies["synthetic"].of(places)
    (chosen,) = drawn(held.weight, min(len(places), len(held)), 1, seed)
    return copies["real"].of(chosen)


def _scores(chosen: Rows, held: Rows) -> dict[str, float]:
    """Every other figure of one set of rows."""
    found = {**support(chosen.x, held.x), "vendi": vendi(chosen.x)}
    if chosen.labels is not None:
        found["label_distance"] = label_distance(chosen, held)
    if chosen.texts is not None and held.texts is not None:
        found |= {f"distinct_{n}": distinct_n(chosen.texts, n) for n in (1, 2)}
        found |= {"self_bleu": self_bleu(chosen.texts), "length_distance": length_distance(chosen.texts, held.texts)}
    return found


def _distances(real: Rows, held: Rows, synthetic: Rows) -> tuple[Values, list[str]]:
    """MMD^2 and energy distance to held-out rows. They have jackknife intervals over all rows."""
    middle = median_distance(np.concatenate([held.x, synthetic.x])[:2_000])
    kernels: dict[str, Kernel] = {
        "mmd2": partial(mixture_kernel, bandwidths=[middle, middle / 2]),
        "energy_distance": lambda x, y: -distances(x, y),
    }
    whole, values, skipped = Stratified.of(held.x), Values(), []
    for name, kernel in kernels.items():
        of_synthetic, of_real = (
            compare_by(kernel, Stratified.of(rows.x), np.ones(len(rows)), rows.weight, whole, held.weight) for rows in (synthetic, real)
        )
        if of_synthetic is None or of_real is None:
            skipped.append(f"{name}: too few rows, or one has most of the weight")
            continue
        of_kind = zip(KINDS, (of_synthetic.before, of_synthetic.after, of_real.after), strict=True)
        values[name] = {kind: Value(max(found.mmd2, 0.0), *found.interval) for kind, found in of_kind}
    return values, skipped
