"""What is asked next: demonstration sets and attribute sets, and the slots that the rows of a wave are written for."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.calls import Request, make_request
from synalign_spark.generation.prompts import Length, Prompt, Prompter, length_of, random_attributes
from synalign_spark.generation.prompts.keywords import DocumentFrequencies, keywords
from synalign_spark.generation.reading import Parsed
from synalign_spark.generation.reask import asked_again
from synalign_spark.generation.seen import KeySet

WITH_DEMONSTRATIONS = ("synalign", "fewshot")
FIRST_WAVE_CALLS = 20  # shares of accepted rows are then known to some 0.1; each wave may be twice as large as the one before: it rests on twice as many results
TRUSTED_YIELD = 0.5  # share of a label's rows accepted from which a fresh set is not first tried with one call: below it most of what a whole set costs would be lost
MOST_DRAWS = 20  # of attributes, until they differ from earlier calls': with a tenth of all combinations left, seven of eight find one
Label = str | None
Item = TypeVar("Item")


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
    keywords: tuple[str, ...] = ()  # what stands out in it against the label's sets before it


@dataclass(frozen=True)
class AttributeSet:
    """Attributes to write from; ``demonstration_set`` is None where the strategy shows no demonstrations."""

    attribute_set_id: str
    request_id: str
    label: Label
    demonstration_set: DemonstrationSet | None
    attributes: dict[str, str]


class Planned(NamedTuple):
    """A call for rows that is to come. source: what it is written from, None where nothing is shown; number: of the call among those
    of the source, or of the label where there is none; n_rows: rows that it asks for."""

    label: Label
    source: DemonstrationSet | None
    number: int
    n_rows: int


@dataclass(frozen=True)
class Slot:
    """One call for rows, and what it is written from. n_rows: rows asked for; number: as in ``Planned``; attributes, shown: what stands in the prompt."""

    request: Request
    demonstration_set: DemonstrationSet | None
    attribute_set: AttributeSet | None
    n_rows: int
    number: int
    attributes: dict[str, str] | None
    shown: tuple[str, ...]


@dataclass
class _Use:
    """How far a demonstration set was used. calls: planned so far; asked: rows that they ask for, without those that could not come;
    rows: accepted from them; unanswered: those of calls without an answer of use that may be asked for again."""

    source: DemonstrationSet
    calls: int = 0
    asked: int = 0
    rows: int = 0
    unanswered: int = 0


def make_attribute_set(request_id: str, label: Label, source: DemonstrationSet | None, attributes: dict[str, str]) -> AttributeSet:
    """An attribute set with its id, the hash of its call and its attributes. source: the demonstration set behind it."""
    attribute_set_id = hashlib.sha256(json.dumps([request_id, attributes], sort_keys=True).encode()).hexdigest()
    return AttributeSet(attribute_set_id, request_id, label, source, attributes)


def demonstration_sets_of(demonstrations: pa.Table) -> dict[Label, list[DemonstrationSet]]:
    """Demonstration sets by label, in the order of their round and rank. demonstrations: the columns of the DEMONSTRATIONS contract.

    A set depends on those of its label before it alone, so that more sets change no prompt that was paid for."""
    groups: dict[tuple[int, int, Label], list[dict[str, Any]]] = {}
    for row in demonstrations.to_pylist():
        groups.setdefault((row["round"], row["set_rank"], row["label"]), []).append(row)
    sets: dict[Label, list[DemonstrationSet]] = {}
    so_far: dict[Label, DocumentFrequencies] = {}
    for (round_, rank, label), rows in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1], str(item[0][2]))):
        rows.sort(key=lambda row: row["rank_in_set"])
        texts, ids = tuple(row["text"] for row in rows), tuple(row["doc_id"] for row in rows)
        length = length_of(rows[0], texts)
        frequencies = so_far.setdefault(label, DocumentFrequencies())
        frequencies.add(texts)
        words = tuple(keywords(texts, frequencies))
        sets.setdefault(label, []).append(DemonstrationSet(label, round_, rank, rows[0]["cluster_id"], ids, texts, length, words))
    return sets


def ordering(items: Sequence[Item], number: int) -> tuple[Item, ...]:
    """The items in another order for each number below len(items)!; 0 leaves them as they are, the first numbers turn them round.

    >>> ordering("abc", 1), ordering("abc", 3)
    (('b', 'c', 'a'), ('a', 'c', 'b'))
    """
    if len(items) < 2:
        return tuple(items)
    number, turn = divmod(number, len(items))
    base = (items[0], *ordering(items[1:], number))
    return base[turn:] + base[:turn]


class Planner:
    """Turns demonstration sets, attribute sets and counters into requests. All follows from configuration, seed and sequence numbers."""

    def __init__(self, cfg: GenerateConfig, seed: int, sets: dict[Label, list[DemonstrationSet]], labels: Iterable[Label]) -> None:
        """labels: all labels of the corpus, for the prompts. Raises ConfigError for templates and descriptions that do not fit."""
        self._cfg, self._seed = cfg, seed
        self._prompter = Prompter(cfg, labels)
        self._uses = {label: [_Use(source) for source in found] for label, found in sets.items()}
        self._use_of = {use.source: use for uses in self._uses.values() for use in uses}
        self._sequence: dict[Label, int] = {}
        self._rows_a_call: dict[Label, int] = {}  # where they are fewer than configured
        self._drawn = KeySet()  # attributes of attrprompt
        self._stated: dict[Label, tuple[int, int]] = {}  # sets of a label of which the model stated attributes, and how many in all
        self.attribute_sets: dict[DemonstrationSet, AttributeSet] = {}

    @property
    def notes(self) -> list[str]:
        """What is to be said of the prompts."""
        return self._prompter.notes()

    @property
    def shows(self) -> bool:
        """Whether the strategy shows demonstrations."""
        return self._cfg.strategy in WITH_DEMONSTRATIONS

    @property
    def states_attributes(self) -> bool:
        """Whether the model states attributes of a demonstration set before it writes rows."""
        return self._cfg.strategy == "synalign"

    def begin(self, sets: Mapping[Label, Sequence[DemonstrationSet]]) -> None:
        """From now on these sets are used, and no others."""
        self._uses = {label: [self._use_of[source] for source in found] for label, found in sets.items()}

    def calls_left(self, label: Label) -> int | None:
        """Calls for rows that the label's demonstration sets still allow, of whatever size; None for no limit."""
        return sum(self._left(use) for use in self._uses.get(label, ())) if self.shows else None

    def _left(self, use: _Use) -> int:
        rows_a_call = self._rows_a_call.get(use.source.label, self._cfg.rows_per_request)
        calls, prompts = math.ceil((self._cfg.most_rows_a_set - use.asked) / rows_a_call), self._prompts_of(use.source)
        return max(0, calls if prompts is None else min(calls, prompts - use.calls))

    def _prompts_of(self, source: DemonstrationSet) -> int | None:
        """Different prompts that a demonstration set allows, by the attributes stated of it once they are known; before that by those that
        are usual for its label, for a label of which little is stated would fall behind otherwise."""
        known, (sets, stated) = self.attribute_sets.get(source), self._stated.get(source.label, (0, 0))
        usual = round(stated / sets) if sets else None
        return self._cfg.prompts_a_set(len(source.texts), len(known.attributes) if known else usual)

    def stated(self, source: DemonstrationSet, attribute_set: AttributeSet) -> None:
        """The model stated these attributes of a demonstration set."""
        self.attribute_sets[source] = attribute_set
        sets, stated = self._stated.get(source.label, (0, 0))
        self._stated[source.label] = sets + 1, stated + len(attribute_set.attributes)

    def allows(self, source: DemonstrationSet, number: int) -> bool:
        """Whether a call that was planned before the set's attributes were known still says something new. number: as in ``Planned``."""
        prompts = self._prompts_of(source)
        return prompts is None or number < prompts

    def next_sets(self, label: Label, sizes: Sequence[int], accepted_share: float | None) -> list[Planned]:
        """What the next calls for rows are written from, fewer where the sets do not allow so many. sizes: rows that each is to ask
        for; a set that has fewer left is asked for those.

        First the sets that brought rows, then fresh ones, best first; those that brought none come when no other is left.
        accepted_share: of the label's rows so far, None before the first; while it is low a fresh set is tried with one call."""
        if not self.shows:
            start = self._sequence.get(label, 0)
            self._sequence[label] = start + len(sizes)
            return [Planned(label, None, start + i, n_rows) for i, n_rows in enumerate(sizes)]
        uses = [use for use in self._uses[label] if self._left(use) > 0]
        proven, fresh = [use for use in uses if use.rows], [use for use in uses if not use.calls]
        barren = [use for use in uses if use.calls and not use.rows]
        trusted = accepted_share is not None and accepted_share >= TRUSTED_YIELD
        found: list[Planned] = []
        for group, at_once in ((proven, True), (fresh, trusted), (fresh, True), (barren, True)):
            for use in group:
                most = len(sizes) if at_once else len(found) + 1
                while len(found) < min(most, len(sizes)) and self._left(use) > 0:
                    n_rows = min(sizes[len(found)], self._cfg.most_rows_a_set - use.asked)
                    found.append(Planned(label, use.source, use.calls, n_rows))
                    use.calls, use.asked = use.calls + 1, use.asked + n_rows
        return found

    def taken(self, source: DemonstrationSet | None, rows: int) -> None:
        """Tells what a call for rows brought. rows: those that were accepted, or would have been, had they not been too many."""
        if source is not None:
            self._use_of[source].rows += rows

    def ask_fewer(self, label: Label, rows_a_call: int) -> None:
        """Further calls of a label ask for so many rows at most."""
        self._rows_a_call[label] = rows_a_call

    def cut(self, source: DemonstrationSet | None, rows: int) -> None:
        """Tells that so many of the rows that a demonstration set was asked for could not come: they may be asked for again."""
        if source is not None:
            self._use_of[source].asked -= rows

    def unanswered(self, source: DemonstrationSet | None, rows: int) -> None:
        """Tells that calls for so many rows gave no answer of use (filtered, refused, unreadable): other prompts of the demonstration set may
        ask for them again, for as many as it may bring at most."""
        if source is not None:
            use = self._use_of[source]
            again = min(rows, self._cfg.most_rows_a_set - use.unanswered)
            use.asked, use.unanswered = use.asked - again, use.unanswered + again

    def give_up(self, source: DemonstrationSet) -> None:
        """Uses a demonstration set no more: the model stated no attributes for it."""
        self._uses[source.label].remove(self._use_of[source])

    def attributes_request(self, shown: DemonstrationSet) -> Request:
        """Step 1 for a demonstration set."""
        prompt = self._prompter.attributes(shown.label, shown.texts[: self._cfg.attributes_from], shown.length, shown.keywords)
        return make_request("attributes", shown.label, prompt, self._cfg.llm, f"{self._seed}:{shown.label}:{shown.round}:{shown.set_rank}")

    def slot(self, planned: Planned) -> Slot:
        """Step 2: a call for rows. With synalign the demonstration set must have its attribute set."""
        label, source, number, n_rows = planned
        cfg, attribute_set, attributes = self._cfg, None, None
        shown: tuple[str, ...] = ()
        sample = f"{self._seed}:{label}:{number}"
        if source is not None:
            sample = f"{self._seed}:{label}:{source.round}:{source.set_rank}:{number}"
            shown = source.texts
            if cfg.strategy == "fewshot":
                shown = ordering(source.texts, number)
            else:
                attribute_set = self.attribute_sets[source]
                # Each set starts elsewhere: weak models state the same attributes of several.
                start = int(hashlib.sha256(sample.rpartition(":")[0].encode()).hexdigest()[:8], 16)
                stated = tuple(attribute_set.attributes.items())
                attributes = dict(ordering(stated, start + number))
                if cfg.shows_in_rows:  # the demonstrations change places where the attributes have had all theirs
                    shown = ordering(source.texts, number // math.factorial(len(stated)))
        elif cfg.strategy == "attrprompt":
            attributes = self._drawn_attributes(label, sample)
        prompt = self._rows_prompt(label, source, attributes, shown, n_rows, number)
        request = make_request("rows", label, prompt, cfg.llm, sample)
        if cfg.strategy in ("attrprompt", "fewshot"):
            attribute_set = make_attribute_set(request.request_id, label, source, attributes or {})
        return Slot(request, source, attribute_set, n_rows, number, attributes, shown)

    def _drawn_attributes(self, label: Label, sample: str) -> dict[str, str]:
        """Attributes that no earlier call of the label was given, as far as there are any."""
        for draw in range(MOST_DRAWS):
            attributes = random_attributes(self._cfg.attributes, self._cfg.attribute_values, f"{sample}:{draw}" if draw else sample)
            if self._drawn.add(json.dumps([label, attributes]).encode()):
                break
        return attributes

    def attributes_request_again(self, shown: DemonstrationSet, before: Request, parsed: Parsed) -> Request:
        """Step 1 once more, after an answer of no use: with the fault said, and more tokens where the answer was cut off."""
        return self._again(before, self.attributes_request(shown).prompt, parsed, longer=parsed.status == "truncated")

    def slot_again(self, slot: Slot, parsed: Parsed) -> Slot:
        """Step 2 once more: with the fault said, and half the rows where the answer was cut off (one row an answer: more tokens)."""
        cut, alone = parsed.status == "truncated", slot.n_rows == 1 or self._cfg.rows_apart
        n_rows = max(1, slot.n_rows // 2) if cut and not alone else slot.n_rows
        prompt = self._rows_prompt(slot.request.label, slot.demonstration_set, slot.attributes, slot.shown, n_rows, slot.number)
        return replace(slot, request=self._again(slot.request, prompt, parsed, longer=cut and alone), n_rows=n_rows)

    def _again(self, before: Request, prompt: Prompt, parsed: Parsed, longer: bool) -> Request:
        llm = self._cfg.llm.model_copy(update={"max_output_tokens": before.max_output_tokens * (2 if longer else 1)})
        return make_request(before.step, before.label, asked_again(prompt, parsed), llm, f"{before.request_id}:again")

    def _rows_prompt(
        self,
        label: Label,
        source: DemonstrationSet | None,
        attributes: dict[str, str] | None,
        shown: Sequence[str],
        n_rows: int,
        number: int,
    ) -> Prompt:
        length, words = (source.length, source.keywords) if source else (None, ())
        told = None if source or attributes else number + 1
        return self._prompter.rows(label, attributes, shown, length, n_rows, words, told)
