"""Which real rows are held out: one rule for selection, prompts, bandwidth, gates, weights and certificate.

A row is held out by a hash of its id and the run's seed, or of its text where the caller gave the ids: equal texts fall on one side. Nothing that is chosen looks at such a row, so that the certificate is
measured on rows that no language model was shown and no weight was shaped by. The same as column expressions:
:mod:`synalign_spark.spark.holdout`.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from synalign_spark.core.keys import content_ids, unit

SPLIT_KEY = "align.split"  # purpose of the random numbers
TEXT_ID = 64  # hexadecimal digits of the id of a text
OF_A_LABEL = "^[0-9a-f]{64}-[0-9a-f]{16}$"  # the id of one that is a row of each of its labels
HOLDOUT, VALIDATION, FIT = "holdout", "validation", "fit"


def held_out(seed: int, ids: Sequence[str], holdout: float) -> npt.NDArray[np.bool_]:
    """Whether each row is held out, (n,). ids: n texts; holdout: share of the rows.

    >>> held_out(0, ["a", "b", "c", "d"], 0.4).tolist()
    [False, False, True, False]"""
    found: npt.NDArray[np.bool_] = unit(seed, SPLIT_KEY, text_ids(ids)) < holdout
    return found


def deciding_ids(ids: Sequence[str], texts: Sequence[str] | None, given: bool) -> list[str]:
    """What decides for each row: its id, which its content makes, or where the caller gave the ids that of the text.

    ids: n texts; texts: of the rows, None where they have none; given: whether the ids are the caller's.

    >>> len(set(deciding_ids(["1", "2", "3"], ["same", "same", "other"], given=True)))
    2"""
    return content_ids(texts) if given and texts is not None else list(ids)


def text_ids(ids: Sequence[str]) -> list[str]:
    """What decides for each row: of a text that is a row of each of its labels (``source.label_separator``) the text, not the label.

    >>> [one[-4:] for one in text_ids(["a", "0" * 64 + "-" + "f" * 16])]
    ['a', '0000']"""
    pattern = re.compile(OF_A_LABEL)
    return [one[:TEXT_ID] if pattern.match(one) else one for one in ids]


def splits(seed: int, ids: Sequence[str], holdout: float, validation: float) -> npt.NDArray[np.str_]:
    """The split of each row, (n,): HOLDOUT, VALIDATION or FIT. ids: n texts; holdout, validation: shares of the rows."""
    u = unit(seed, SPLIT_KEY, text_ids(ids))
    return np.where(u < holdout, HOLDOUT, np.where(u < holdout + validation, VALIDATION, FIT))


def lost_labels(rows: Mapping[str | None, tuple[int, int]]) -> dict[str, int]:
    """Labels of which every row is held out, and how many rows that is. rows: by label, (rows, of them held out).

    >>> lost_labels({"good": (10, 2), "rare": (1, 1), None: (3, 3)})
    {'rare': 1}"""
    return {label: n for label, (n, held) in sorted(rows.items(), key=lambda row: row[0] or "") if label is not None and n and n == held}


def lost_in_words(lost: Mapping[str, int]) -> str:
    """What it means for the selection that every row of some labels is held out, and the fix."""
    shown = ", ".join(f"{label} ({n})" for label, n in list(lost.items())[:10])
    return f"every row of label {shown} is held out, so that none is shown; give more rows of it, another seed, or a smaller share held out"
