"""What is asked next: demonstration sets and attribute sets, and the slots that the rows of a wave are written for."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from synalign_spark.config import GenerateConfig
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.generation.calls import Request, make_request
from synalign_spark.generation.prompts import Length, Prompter, length_of, random_attributes

WITH_DEMONSTRATIONS = ("synalign", "fewshot")
ATTRIBUTES_ATTEMPTS = 2
Label = str | None


def label_shares(counts: Mapping[Label, int], wanted: Mapping[str, float] | None, n_sets: Mapping[Label, int] | None) -> dict[Label, float]:
    """Share of each label, summing to 1: as configured, else as in the corpus.

    counts: corpus rows a label; n_sets: demonstration sets a label, for strategies that show demonstrations, else None.
    Labels without a demonstration set are left out of the corpus's shares. Raises ConfigError for a configured label that
    the corpus does not have or that nothing can be shown for, DataError when no label is left.

    >>> label_shares({"good": 75, "bad": 25, "rare": 4}, None, {"good": 3, "bad": 1})
    {'bad': 0.25, 'good': 0.75}
    """
    usable = {label: n for label, n in counts.items() if n > 0 and (n_sets is None or n_sets.get(label, 0) > 0)}
    if not usable:
        raise DataError(
            "generate: the demonstrations table names no label of the corpus; run the select stage again (more select.demonstration_sets)"
        )
    if wanted is None:
        total = sum(usable.values())
        return {label: usable[label] / total for label in sorted(usable, key=str)}
    unknown = sorted(set(wanted) - {str(label) for label in usable})
    if unknown:
        known = ", ".join(sorted(map(str, usable)))
        raise ConfigError(f"generate.label_shares names {unknown}, which have no rows or no demonstrations; labels are: {known}")
    total_share = sum(wanted.values())
    if min(wanted.values()) < 0 or total_share <= 0:
        raise ConfigError(f"generate.label_shares must be shares >= 0 with a sum above 0, got {dict(wanted)}")
    return {label: wanted[label] / total_share for label in sorted(wanted)}


@dataclass(frozen=True)
class DemonstrationSet:
    """Real rows that are shown together, in their order."""

    label: Label
    round: int
    set_rank: int
    cluster_id: int
    demo_ids: tuple[str, ...]
    texts: tuple[str, ...]
    length: Length | None = None  # of the real rows of its cluster


@dataclass(frozen=True)
class AttributeSet:
    """Attributes to write from; ``demonstration_set`` is None where the strategy shows no demonstrations."""

    attribute_set_id: str
    request_id: str
    label: Label
    demonstration_set: DemonstrationSet | None
    attributes: dict[str, str]


@dataclass(frozen=True)
class Slot:
    """One call for rows, and what it is written from."""

    request: Request
    demonstration_set: DemonstrationSet | None
    attribute_set: AttributeSet | None


def make_attribute_set(request_id: str, label: Label, source: DemonstrationSet | None, attributes: dict[str, str]) -> AttributeSet:
    """An attribute set with its id, the hash of its call and its attributes. source: the demonstration set behind it."""
    attribute_set_id = hashlib.sha256(json.dumps([request_id, attributes], sort_keys=True).encode()).hexdigest()
    return AttributeSet(attribute_set_id, request_id, label, source, attributes)


def demonstration_sets_of(demonstrations: pa.Table) -> dict[Label, list[DemonstrationSet]]:
    """Demonstration sets by label, in the order of their round and rank. demonstrations: the columns of the DEMONSTRATIONS contract."""
    groups: dict[tuple[int, int, Label], list[dict[str, Any]]] = {}
    for row in demonstrations.to_pylist():
        groups.setdefault((row["round"], row["set_rank"], row["label"]), []).append(row)
    sets: dict[Label, list[DemonstrationSet]] = {}
    for (round_, rank, label), rows in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1], str(item[0][2]))):
        rows.sort(key=lambda row: row["rank_in_set"])
        texts, ids = tuple(row["text"] for row in rows), tuple(row["doc_id"] for row in rows)
        length = length_of(rows[0], texts)
        sets.setdefault(label, []).append(DemonstrationSet(label, round_, rank, rows[0]["cluster_id"], ids, texts, length))
    return sets


class Planner:
    """Turns demonstration sets, attribute sets and counters into requests. All follows from configuration, seed and sequence numbers."""

    def __init__(self, cfg: GenerateConfig, seed: int, sets: dict[Label, list[DemonstrationSet]], labels: Iterable[Label]) -> None:
        """labels: all labels of the corpus, for the prompts. Raises ConfigError for templates and descriptions that do not fit."""
        self._cfg, self._seed = cfg, seed
        # Keywords stand out against the first round, so that sets of later ones change no prompt that was paid for.
        every = [shown for found in sets.values() for shown in found]
        first = min((shown.round for shown in every), default=0)
        self._prompter = Prompter(cfg, labels, (text for shown in every if shown.round == first for text in shown.texts))
        self._usable = {label: list(found) for label, found in sets.items()}
        self._cursor: dict[Label, int] = dict.fromkeys(sets, 0)
        self._sequence: dict[Label, int] = {}
        self.attribute_sets: dict[DemonstrationSet, AttributeSet] = {}

    @property
    def shows(self) -> bool:
        """Whether the strategy shows demonstrations."""
        return self._cfg.strategy in WITH_DEMONSTRATIONS

    def exhausted(self, label: Label) -> bool:
        """Whether nothing is left to write from."""
        return self.shows and not self._usable.get(label)

    def next_sets(self, label: Label, n: int) -> list[DemonstrationSet | None]:
        """The demonstration sets of the next n calls of a label: in turn, best first, over and over; None where none is shown."""
        if not self.shows:
            return [None] * n
        usable, start = self._usable[label], self._cursor[label]
        self._cursor[label] = start + n
        return [usable[(start + i) % len(usable)] for i in range(n)]

    def give_up(self, shown: DemonstrationSet) -> None:
        """Uses a demonstration set no more: the model stated no attributes for it."""
        self._usable[shown.label].remove(shown)

    def attributes_request(self, shown: DemonstrationSet, attempt: int) -> Request:
        """Step 1 for a demonstration set. attempt: from 0; each is a call of its own."""
        cfg = self._cfg
        prompt = self._prompter.attributes(shown.label, shown.texts, shown.length)
        sample = f"{self._seed}:{shown.round}:{shown.set_rank}:{attempt}"
        return make_request("attributes", shown.label, prompt, cfg.llm, sample)

    def slot(self, label: Label, source: DemonstrationSet | None) -> Slot:
        """Step 2: the label's next call for rows. With synalign the demonstration set must have its attribute set."""
        cfg, number = self._cfg, self._sequence.get(label, 0)
        self._sequence[label] = number + 1
        attribute_set = self.attribute_sets[source] if source is not None and cfg.strategy == "synalign" else None
        attributes = attribute_set.attributes if attribute_set else None
        if cfg.strategy == "attrprompt":
            attributes = random_attributes(cfg.attributes, cfg.attribute_values, f"{self._seed}:{label}:{number}")
        texts, length = (source.texts, source.length) if source is not None else ((), None)
        prompt = self._prompter.rows(label, attributes, texts, length)
        request = make_request("rows", label, prompt, cfg.llm, f"{self._seed}:{number}")
        if cfg.strategy in ("attrprompt", "fewshot"):
            attribute_set = make_attribute_set(request.request_id, label, source, attributes or {})
        return Slot(request, source, attribute_set)
