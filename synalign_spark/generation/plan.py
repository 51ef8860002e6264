"""What is asked next: picks and cards, and the slots that the rows of a wave are written for."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.acceptance import NOTHING_SHOWN, Shown
from synalign_spark.generation.calls import Request, make_request
from synalign_spark.generation.prompts import Prompt, attributes_prompt, random_card, row_chars, rows_prompt
from synalign_spark.generation.quotas import Label

WITH_DEMONSTRATIONS = ("synalign", "fewshot")
CARD_ATTEMPTS = 2


@dataclass(frozen=True)
class Pick:
    """The demonstrations of one pick, in their order."""

    label: Label
    round: int
    pick_rank: int
    cluster_id: int
    demo_ids: tuple[str, ...]
    texts: tuple[str, ...]
    shown: Shown = field(repr=False, compare=False, default=NOTHING_SHOWN)


@dataclass(frozen=True)
class Card:
    """Attributes to write from; ``pick`` is None where the strategy shows no demonstrations."""

    card_id: str
    request_id: str
    label: Label
    pick: Pick | None
    attributes: dict[str, str]


@dataclass(frozen=True)
class Slot:
    """One call for rows, and what it is written from."""

    request: Request
    pick: Pick | None
    card: Card | None


def make_card(request_id: str, label: Label, pick: Pick | None, attributes: dict[str, str]) -> Card:
    """A card with its id, the hash of its call and its attributes."""
    card_id = hashlib.sha256(json.dumps([request_id, attributes], sort_keys=True).encode()).hexdigest()
    return Card(card_id, request_id, label, pick, attributes)


def picks_of(demonstrations: pa.Table) -> dict[Label, list[Pick]]:
    """Picks by label, in the order of their round and rank. demonstrations: the columns of the DEMONSTRATIONS contract."""
    groups: dict[tuple[int, int, Label], list[dict[str, Any]]] = {}
    for row in demonstrations.to_pylist():
        groups.setdefault((row["round"], row["pick_rank"], row["label"]), []).append(row)
    picks: dict[Label, list[Pick]] = {}
    for (round_, rank, label), rows in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1], str(item[0][2]))):
        rows.sort(key=lambda row: row["demo_rank"])
        texts = tuple(row["text"] for row in rows)
        ids = tuple(row["doc_id"] for row in rows)
        picks.setdefault(label, []).append(Pick(label, round_, rank, rows[0]["cluster_id"], ids, texts, Shown.of(texts)))
    return picks


class Planner:
    """Turns picks, cards and counters into requests. Everything follows from (configuration, seed, sequence numbers)."""

    def __init__(self, cfg: GenerateConfig, seed: int, picks: dict[Label, list[Pick]]) -> None:
        self._cfg, self._seed = cfg, seed
        self._alive = {label: list(found) for label, found in picks.items()}
        self._cursor: dict[Label, int] = dict.fromkeys(picks, 0)
        self._sequence: dict[Label, int] = {}
        self.cards: dict[Pick, Card] = {}

    @property
    def shows(self) -> bool:
        """Whether the strategy shows demonstrations."""
        return self._cfg.strategy in WITH_DEMONSTRATIONS

    def exhausted(self, label: Label) -> bool:
        """Whether nothing is left to write from."""
        return self.shows and not self._alive.get(label)

    def next_picks(self, label: Label, n: int) -> list[Pick | None]:
        """The picks of the next n calls of a label: in turn, best first, over and over."""
        if not self.shows:
            return [None] * n
        alive, start = self._alive[label], self._cursor[label]
        self._cursor[label] = start + n
        return [alive[(start + i) % len(alive)] for i in range(n)]

    def give_up(self, pick: Pick) -> None:
        """Uses a pick no more: the model gave no card for it."""
        self._alive[pick.label].remove(pick)

    def card_request(self, pick: Pick, attempt: int) -> Request:
        """Step 1 for a pick."""
        cfg = self._cfg
        prompt = attributes_prompt(pick.texts, pick.label, cfg.task, cfg.language, cfg.attributes, cfg.attribute_values)
        return make_request("attributes", pick.label, prompt, cfg.llm, f"{self._seed}:{pick.round}:{pick.pick_rank}:{attempt}")

    def slot(self, label: Label, pick: Pick | None) -> Slot:
        """Step 2: the label's next call for rows. With synalign the pick must have its card."""
        number = self._sequence.get(label, 0)
        self._sequence[label] = number + 1
        sample = f"{self._seed}:{number}"
        card = self.cards[pick] if pick is not None and self._cfg.strategy == "synalign" else None
        attributes = card.attributes if card else None
        if self._cfg.strategy == "attrprompt":
            attributes = random_card(self._cfg.attributes, self._cfg.attribute_values, f"{self._seed}:{label}:{number}")
        shown = pick.texts if pick is not None and self._cfg.strategy == "fewshot" else ()
        request = make_request("rows", label, self._rows_prompt(label, attributes, shown), self._cfg.llm, sample)
        if self._cfg.strategy in ("attrprompt", "fewshot"):
            card = make_card(request.request_id, label, pick, attributes or {})
        return Slot(request, pick, card)

    def _rows_prompt(self, label: Label, attributes: dict[str, str] | None, shown: Iterable[str]) -> Prompt:
        cfg = self._cfg
        limits = (cfg.min_chars, row_chars(cfg.rows_per_card, cfg.max_chars, cfg.llm.max_output_tokens))
        return rows_prompt(label, cfg.task, cfg.language, cfg.rows_per_card, limits, attributes, tuple(shown))
