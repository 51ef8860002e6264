"""Which real rows an evaluation compares with, and which it compares them to."""

from collections.abc import Sequence

from synalign_spark.core.holdout import deciding_ids, held_out
from synalign_spark.core.strength.mixing_weight import usual_mixing_weight
from synalign_spark.errors import DataError
from synalign_spark.evaluation.evaluate import evaluate_rows
from synalign_spark.evaluation.result import Evaluation
from synalign_spark.evaluation.rows import Rows

SAMPLE = "evaluate.sample"  # purpose of the random numbers
MOST_ROWS = 5_000  # a side: every figure of sets is quadratic in them
FEWEST_REAL = 20  # rows, of those held out and of the others


def evaluated(ids: Sequence[str], real: Rows, synthetic: Rows, holdout: float, seed: int, ids_given: bool = False) -> Evaluation:
    """The evaluation of synthetic rows beside the real ones that the hash split of ``align`` holds out.

    ids: of the real rows; ids_given: whether they are the caller's, so that texts decide what is held out. Raises DataError where fewer than FEWEST_REAL rows are held out, or are not."""
    held = held_out(seed, deciding_ids(ids, real.texts, ids_given), holdout)
    if min(held.sum(), (~held).sum()) < FEWEST_REAL:
        raise DataError(
            f"real: {int(held.sum())} of {len(held)} rows are held out and {int((~held).sum())} are not; at least {FEWEST_REAL} of each are "
            "needed: give more real rows, or another holdout"
        )
    shown, judges = (~held).nonzero()[0], held.nonzero()[0]
    found = evaluate_rows(real.take(shown), real.take(judges), synthetic, usual_mixing_weight(len(synthetic)), seed)
    return Evaluation(found, len(shown), len(judges), len(synthetic), [ids[int(place)] for place in shown])
