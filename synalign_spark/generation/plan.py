"""What is asked next: demonstration sets and attribute sets, and the slots that the rows of a wave are written for."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from synalign_spark.config import GenerateConfig
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.generation.acceptance import NOTHING_SHOWN, Shown
from synalign_spark.generation.calls import Request, make_request
from synalign_spark.generation.prompts import Prompt, attributes_prompt, random_attributes, row_chars, rows_prompt

WITH_DEMONSTRATIONS = ("synalign", "fewshot")
ATTRIBUTES_ATTEMPTS = 2
Label = str | None


def label_shares(counts: Mapping[Label, int], wanted: Mapping[str, float] | None, shown: Mapping[Label, int] | None) -> dict[Label, float]:
    """Share of each label, summing to 1: as configured, else as in the corpus.

    counts: corpus rows a label; shown: demonstration sets a label, for strategies that show demonstrations, else None.
    Labels without a demonstration set are left out of the corpus's shares. Raises ConfigError for a configured label that
    the corpus does not have or that nothing can be shown for, DataError when no label is left.

    >>> label_shares({"good": 75, "bad": 25, "rare": 4}, None, {"good": 3, "bad": 1})
    {'bad': 0.25, 'good': 0.75}
    """
    usable = {label: n for label, n in counts.items() if n > 0 and (shown is None or shown.get(label, 0) > 0)}
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
    """The demonstrations of one demonstration set, in their order."""

    label: Label
    round: int
    set_rank: int
    cluster_id: int
    demo_ids: tuple[str, ...]
    texts: tuple[str, ...]
    shown: Shown = field(repr=False, compare=False, default=NOTHING_SHOWN)


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


def make_attribute_set(
    request_id: str, label: Label, demonstration_set: DemonstrationSet | None, attributes: dict[str, str]
) -> AttributeSet:
    """A attribute set with its id, the hash of its call and its attributes."""
    attribute_set_id = hashlib.sha256(json.dumps([request_id, attributes], sort_keys=True).encode()).hexdigest()
    return AttributeSet(attribute_set_id, request_id, label, demonstration_set, attributes)


def demonstration_sets_of(demonstrations: pa.Table) -> dict[Label, list[DemonstrationSet]]:
    """Picks by label, in the order of their round and rank. demonstrations: the columns of the DEMONSTRATIONS contract."""
    groups: dict[tuple[int, int, Label], list[dict[str, Any]]] = {}
    for row in demonstrations.to_pylist():
        groups.setdefault((row["round"], row["set_rank"], row["label"]), []).append(row)
    demonstration_sets: dict[Label, list[DemonstrationSet]] = {}
    for (round_, rank, label), rows in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1], str(item[0][2]))):
        rows.sort(key=lambda row: row["rank_in_set"])
        texts = tuple(row["text"] for row in rows)
        ids = tuple(row["doc_id"] for row in rows)
        demonstration_sets.setdefault(label, []).append(
            DemonstrationSet(label, round_, rank, rows[0]["cluster_id"], ids, texts, Shown.of(texts))
        )
    return demonstration_sets


class Planner:
    """Turns demonstration sets, attribute sets and counters into requests. Everything follows from (configuration, seed, sequence numbers)."""

    def __init__(self, cfg: GenerateConfig, seed: int, demonstration_sets: dict[Label, list[DemonstrationSet]]) -> None:
        self._cfg, self._seed = cfg, seed
        self._alive = {label: list(found) for label, found in demonstration_sets.items()}
        self._cursor: dict[Label, int] = dict.fromkeys(demonstration_sets, 0)
        self._sequence: dict[Label, int] = {}
        self.attribute_sets: dict[DemonstrationSet, AttributeSet] = {}

    @property
    def shows(self) -> bool:
        """Whether the strategy shows demonstrations."""
        return self._cfg.strategy in WITH_DEMONSTRATIONS

    def exhausted(self, label: Label) -> bool:
        """Whether nothing is left to write from."""
        return self.shows and not self._alive.get(label)

    def next_sets(self, label: Label, n: int) -> list[DemonstrationSet | None]:
        """The demonstration sets of the next n calls of a label: in turn, best first, over and over."""
        if not self.shows:
            return [None] * n
        alive, start = self._alive[label], self._cursor[label]
        self._cursor[label] = start + n
        return [alive[(start + i) % len(alive)] for i in range(n)]

    def give_up(self, demonstration_set: DemonstrationSet) -> None:
        """Uses a demonstration set no more: the model gave no attribute set for it."""
        self._alive[demonstration_set.label].remove(demonstration_set)

    def attributes_request(self, demonstration_set: DemonstrationSet, attempt: int) -> Request:
        """Step 1 for a demonstration set."""
        cfg = self._cfg
        prompt = attributes_prompt(
            demonstration_set.texts, demonstration_set.label, cfg.task, cfg.language, cfg.attributes, cfg.attribute_values
        )
        return make_request(
            "attributes",
            demonstration_set.label,
            prompt,
            cfg.llm,
            f"{self._seed}:{demonstration_set.round}:{demonstration_set.set_rank}:{attempt}",
        )

    def slot(self, label: Label, demonstration_set: DemonstrationSet | None) -> Slot:
        """Step 2: the label's next call for rows. With synalign the demonstration set must have its attribute set."""
        number = self._sequence.get(label, 0)
        self._sequence[label] = number + 1
        sample = f"{self._seed}:{number}"
        attribute_set = (
            self.attribute_sets[demonstration_set] if demonstration_set is not None and self._cfg.strategy == "synalign" else None
        )
        attributes = attribute_set.attributes if attribute_set else None
        if self._cfg.strategy == "attrprompt":
            attributes = random_attributes(self._cfg.attributes, self._cfg.attribute_values, f"{self._seed}:{label}:{number}")
        shown = demonstration_set.texts if demonstration_set is not None and self._cfg.strategy == "fewshot" else ()
        request = make_request("rows", label, self._rows_prompt(label, attributes, shown), self._cfg.llm, sample)
        if self._cfg.strategy in ("attrprompt", "fewshot"):
            attribute_set = make_attribute_set(request.request_id, label, demonstration_set, attributes or {})
        return Slot(request, demonstration_set, attribute_set)

    def _rows_prompt(self, label: Label, attributes: dict[str, str] | None, shown: Iterable[str]) -> Prompt:
        cfg = self._cfg
        limits = (cfg.min_chars, row_chars(cfg.rows_per_request, cfg.max_chars, cfg.llm.max_output_tokens))
        return rows_prompt(label, cfg.task, cfg.language, cfg.rows_per_request, limits, attributes, tuple(shown))
