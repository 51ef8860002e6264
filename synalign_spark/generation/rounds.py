"""The rounds of a generation: which demonstration sets each may use, and the rows that it is to end with."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from synalign_spark.config import GenerateConfig
from synalign_spark.core.sampling.quota import quotas
from synalign_spark.generation.demand import label_shares
from synalign_spark.generation.plan import DemonstrationSet, Label

Sets = Mapping[Label, Sequence[DemonstrationSet]]
Fault = Callable[[str, Label], str | None]


@dataclass(frozen=True)
class RoundEnd:
    """Where a round of the loop ends. target_rows: accepted rows by then, those of the rounds before included; last_set_round: the last
    ``round`` of the demonstrations that is of it, None for all that are left."""

    target_rows: int
    last_set_round: int | None = None


@dataclass(frozen=True)
class Round:
    """sets: demonstration sets of each label that are shown in it, empty where the strategy shows none; quotas: rows of each label after it;
    left_out: how many sets are not shown, by the gate that refuses most of their rows."""

    sets: Sets
    quotas: dict[Label, int]
    left_out: Counter[str]


def rounds_of(
    sets: Sets,
    counts: Mapping[Label, int],
    cfg: GenerateConfig,
    ends: Sequence[RoundEnd],
    shows: bool,
    fault: Fault = lambda text, label: None,
) -> list[Round]:
    """The rounds up to the present one. counts: corpus rows by label; shows: whether the strategy shows demonstrations; fault: the gate that
    refuses a row with such a text, None where none does.

    The first follows the shares of the labels, a later one those of its demonstration sets: they were chosen where rows lack. What a label did
    not reach in a round is left to the next. Raises what ``label_shares`` raises."""
    rounds: list[Round] = []
    before, first = 0, 0
    for end in ends:
        last = end.last_set_round
        chosen = {
            label: [one for one in found if one.round >= first and (last is None or one.round <= last)] for label, found in sets.items()
        }
        of_round, left_out = worth_asking(chosen, fault) if shows else (chosen, Counter[str]())
        n_sets = {label: len(found) for label, found in of_round.items()}
        if not rounds:
            wanted = quotas(label_shares(counts, cfg.label_shares, n_sets if shows else None), end.target_rows)
        else:
            wanted = dict(rounds[-1].quotas)
            more = {label: n for label, n in n_sets.items() if label in wanted}
            if any(more.values()):
                wanted |= {label: wanted[label] + n for label, n in quotas(more, end.target_rows - before).items()}
        rounds.append(Round(of_round, wanted, left_out))
        before, first = end.target_rows, first if last is None else last + 1
    return rounds


def worth_asking(sets: Sets, fault: Fault) -> tuple[Sets, Counter[str]]:
    """Without the sets most of whose rows would be refused as written ones, by one gate or another (another language than ``generate.language``, mostly):
    what is written after them is like them, and would be paid for in vain. A label that has no others keeps them, so that its rows tell.
    The second: how many are left out, by the gate that refuses most of their rows."""
    kept: dict[Label, Sequence[DemonstrationSet]] = {}
    left_out: Counter[str] = Counter()
    for label, found in sets.items():
        good, bad = [], Counter[str]()
        for one in found:
            refused = Counter(gate for text in one.texts if (gate := fault(text, label)))
            if 2 * refused.total() > len(one.texts):
                bad[refused.most_common(1)[0][0]] += 1
            else:
                good.append(one)
        kept[label] = good or found
        left_out += bad if good else Counter()
    return kept, left_out


def not_shown(rounds: Sequence[Round]) -> list[str]:
    """What is left out of all rounds, in words; nothing where nothing is."""
    left_out = sum((one.left_out for one in rounds), Counter[str]())
    if not left_out:
        return []
    gates = ", ".join(f"{gate} {n:,}" for gate, n in sorted(left_out.items()))
    return [
        f"demonstration sets that are not shown to the model: {left_out.total():,}, of which generate.gates would refuse most of the rows ({gates}), "
        "and so what is written after them"
    ]
