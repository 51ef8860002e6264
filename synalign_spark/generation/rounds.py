"""The rounds of a generation: which demonstration sets each may use, and the rows that it is to end with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synalign_spark.config import GenerateConfig
from synalign_spark.core.sampling.quota import quotas
from synalign_spark.generation.demand import label_shares
from synalign_spark.generation.plan import DemonstrationSet, Label

Sets = Mapping[Label, Sequence[DemonstrationSet]]


@dataclass(frozen=True)
class RoundEnd:
    """Where a round of the loop ends. target_rows: accepted rows by then, those of the rounds before included; last_set_round: the last
    ``round`` of the demonstrations that is of it, None for all that are left."""

    target_rows: int
    last_set_round: int | None = None


@dataclass(frozen=True)
class Round:
    """sets: demonstration sets of each label that are shown in it, empty where the strategy shows none; quotas: rows of each label after it."""

    sets: Sets
    quotas: dict[Label, int]


def rounds_of(sets: Sets, counts: Mapping[Label, int], cfg: GenerateConfig, ends: Sequence[RoundEnd], shows: bool) -> list[Round]:
    """The rounds up to the present one. counts: corpus rows by label; shows: whether the strategy shows demonstrations.

    The first follows the shares of the labels, a later one those of its demonstration sets: they were chosen where rows lack. What a label did
    not reach in a round is left to the next. Raises what ``label_shares`` raises."""
    rounds: list[Round] = []
    before, first = 0, 0
    for end in ends:
        last = end.last_set_round
        of_round = {
            label: [one for one in found if one.round >= first and (last is None or one.round <= last)] for label, found in sets.items()
        }
        n_sets = {label: len(found) for label, found in of_round.items()}
        if not rounds:
            wanted = quotas(label_shares(counts, cfg.label_shares, n_sets if shows else None), end.target_rows)
        else:
            wanted = dict(rounds[-1].quotas)
            more = {label: n for label, n in n_sets.items() if label in wanted}
            if any(more.values()):
                wanted |= {label: wanted[label] + n for label, n in quotas(more, end.target_rows - before).items()}
        rounds.append(Round(of_round, wanted))
        before, first = end.target_rows, first if last is None else last + 1
    return rounds
