"""The closed loop in the manifest: which rounds are over, whether another one is due, and why the loop ends.

The stage ``rounds`` decides at the end of each; the next ``select`` takes the record of the rounds over from its entry into its own. So a stage
that is killed, whose entry is gone then, finds the record in the entry of another one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from synalign_spark.config import Config
from synalign_spark.config.loop import LoopConfig

Row = dict[str, Any]
EARLIER, OVER, STOPPED = "earlier_rounds", "rounds_over", "stopped_by"  # keys of summaries: of select, and two of rounds
GENERATION_ENDED = ("limits", "labels_failing")  # what ends a generation, and the loop with it


def goes_on(manifest: Mapping[str, Any]) -> bool:
    """Whether the last round that is over is to be followed by another one."""
    return "rounds" in manifest and manifest["rounds"]["summary"].get(STOPPED) == ""


def next_rounds(manifest: Mapping[str, Any]) -> list[Row]:
    """The rounds over before the one that ``select`` is to begin: rows of ROUNDS, none for the first."""
    return list(manifest["rounds"]["summary"][OVER]) if goes_on(manifest) else []


def earlier_rounds(manifest: Mapping[str, Any]) -> list[Row]:
    """The rounds over before the one that ``select`` has begun."""
    return list(manifest.get("select", {}).get("summary", {}).get(EARLIER, []))


def next_is_due(manifest: Mapping[str, Any]) -> bool:
    """Whether a round is to begin that ``select`` has not begun."""
    return len(next_rounds(manifest)) > len(earlier_rounds(manifest))


def round_row(manifest: Mapping[str, Any], certificate: Mapping[str, Any], last_set_round: int, n_sets: int, missing_share: float) -> Row:
    """The row of ROUNDS of the round whose ``select``, ``generate`` and ``align`` are done, but for ``stopped_by``.

    certificate: of all rows together; last_set_round, n_sets: of its demonstrations."""
    earlier, generated = earlier_rounds(manifest), manifest["generate"]["summary"]
    before: Row = earlier[-1] if earlier else {}
    mmd2, error = certificate["mmd2_after"], certificate["mmd2_after_error"]
    gain = gain_error = None
    if mmd2 is not None and before.get("mmd2") is not None:
        gain, gain_error = before["mmd2"] - mmd2, math.hypot(before["mmd2_error"], error)
    return {
        "round": len(earlier),
        "last_set_round": last_set_round,
        "demonstration_sets": n_sets,
        "rows": generated["accepted"],
        "new_rows": generated["accepted"] - before.get("rows", 0),
        "calls": sum(generated["calls"].values()),
        "cost_usd": generated["cost_usd"],
        "mmd2": mmd2,
        "mmd2_error": error,
        "gain": gain,
        "gain_error": gain_error,
        "missing_share": missing_share,
    }


def why_stop(loop: LoopConfig, row: Mapping[str, Any], generation_stopped_by: str) -> str | None:
    """Why the loop ends with this round; None where another one is to come. row: of ``round_row``. Labels that were given up are not asked
    again, and end it where a round brought nothing of the others either.

    >>> row = {"round": 1, "demonstration_sets": 9, "new_rows": 50, "mmd2": 0.004, "gain": 0.001, "gain_error": 0.002}
    >>> why_stop(LoopConfig(rounds=4), row, "target"), why_stop(LoopConfig(rounds=4, min_gain=0), row, "target")
    ('gain', None)
    >>> why_stop(LoopConfig(rounds=4, max_mmd2=0.005), row, "target"), why_stop(LoopConfig(rounds=4), row, "limits.max_requests")
    ('mmd2', 'limits.max_requests')
    >>> why_stop(LoopConfig(rounds=4, min_gain=0), row, "labels_given_up"), why_stop(LoopConfig(rounds=4), row | {"new_rows": 0}, "labels_given_up")
    (None, 'labels_given_up')
    """
    if loop.max_mmd2 is not None and row["mmd2"] is not None and row["mmd2"] <= loop.max_mmd2:
        return "mmd2"
    if generation_stopped_by.startswith(GENERATION_ENDED):
        return generation_stopped_by
    if generation_stopped_by == "labels_given_up" and not row["new_rows"]:
        return generation_stopped_by
    if row["round"] + 1 >= loop.rounds:
        return "rounds"
    if not row["demonstration_sets"]:
        return "no_demonstrations"
    if loop.min_gain and row["gain"] is not None and row["gain"] < loop.min_gain * row["gain_error"]:
        return "gain"
    return None


def round_in_words(cfg: Config, row: Mapping[str, Any]) -> Row:
    """What a line of progress says of a round, in the order of the words."""
    shown: Row = {"round": f"{row['round'] + 1} of {cfg.loop.rounds}"}
    shown |= {name: row[name] for name in ("rows", "new_rows", "calls", "mmd2", "mmd2_error", "gain", "gain_error", "missing_share")}
    return {name: value for name, value in shown.items() if value is not None}


def why_in_words(rounds: Sequence[Mapping[str, Any]]) -> str:
    """How many rounds there were and why the loop ended, as people read it. rounds: rows of ROUNDS.

    >>> why_in_words([{"stopped_by": None}, {"stopped_by": "gain"}])
    '2; ended because the last brought less than its error (loop.min_gain)'
    """
    reason = rounds[-1]["stopped_by"]
    if reason is None:
        return f"{len(rounds)}; another one is to come"
    words = {
        "mmd2": "the distance to held-out real rows is small enough (loop.max_mmd2)",
        "rounds": "there were to be no more (loop.rounds)",
        "gain": "the last brought less than its error (loop.min_gain)",
        "no_demonstrations": "no cluster lacks synthetic rows of which anything new could be shown",
    }
    return f"{len(rounds)}; ended because {words.get(reason, f'the generation was ended by {reason}')}"
