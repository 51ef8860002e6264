"""Which of the rows that a language model wrote are accepted, and why the others are not.

Pure and deterministic: rows are looked at one after the other in the order of their requests, never in
the order in which answers arrived, so a duplicate is always the later row of the plan.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synalign_spark.config import GenerateConfig
from synalign_spark.core.grams import unit_hashes, units, whole
from synalign_spark.core.text import normalise
from synalign_spark.generation.gates import copies, form, label_agreement, language, length, meta, near_duplicate, pii
from synalign_spark.generation.gates.check import Check, Checks, Find, Label, calibrated
from synalign_spark.generation.gates.list_numbers import Ordinals
from synalign_spark.generation.gates.packaging import Packaging
from synalign_spark.generation.gates.profile import CALIBRATION_ROWS, RealProfile
from synalign_spark.generation.gates.scripts import Scripts
from synalign_spark.generation.plan import DemonstrationSet
from synalign_spark.generation.seen import KeySet

# They look at each part of a row, too; of one without letters pii alone does, since a year is no row.
PART_GATES = frozenset({form.GATE, meta.GATE, pii.GATE})
SHOWN_CHARS = 80  # of an accepted row in the reason why another is refused


@dataclass(frozen=True)
class Verdict:
    """``reason`` is None for an accepted row, else a reason code of the REFUSALS contract."""

    text: str
    reason: str | None = None
    detail: str | None = None

    @property
    def doc_id(self) -> str:
        """sha256 of the normalised text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Acceptor:
    """Takes the packaging off the rows of an answer, says of rows, one by one, whether they are accepted, and remembers the accepted ones.

    switched_off: the checks that the real rows themselves fail too often, and the packaging that they wear, with the share that does;
    skipped: those of one label alone, by name and label;
    notes: what else a user should know; packaging: what takes it off.

    >>> Acceptor(GenerateConfig(min_chars=10), [None], RealProfile.of([])).check("Too short").reason
    'too_short'
    """

    def __init__(self, cfg: GenerateConfig, labels: Sequence[Label], real: RealProfile) -> None:
        """labels: of the run; real: what is known of the real rows, which calibrate the gates."""
        self._cfg, self._real = cfg, real
        self._gates = frozenset(cfg.gates)
        self.notes: list[str] = []
        rows = real.rows[:CALIBRATION_ROWS]
        ordinals = Ordinals([text for text, _ in rows], cfg.language)
        found, self.packaging = calibrated(self._checks(labels, ordinals), rows), Packaging(labels, rows, ordinals)
        self._checked, self.switched_off = found, {**found.switched_off, **self.packaging.switched_off}
        self.skipped = {
            name: {str(label): share for label, share in sorted(by_label.items(), key=str)}
            for name, by_label in sorted({**found.skipped, **self.packaging.skipped}.items())
        }
        self.notes += self._what_is_off(found)
        self._disagrees = self._agreement()
        self._masks = pii.GATE in self._gates and cfg.pii == "mask"
        self._texts, self._wholes = KeySet(), KeySet()
        self._near = near_duplicate.NearDuplicates()
        self._unscanned: list[tuple[str, DemonstrationSet | None]] = []

    def _checks(self, labels: Sequence[Label], ordinals: Ordinals) -> list[Check]:
        """The checks that are asked for, the cheapest first."""
        cfg, found = self._cfg, []
        if form.GATE in self._gates:
            found += form.checks(labels, ordinals, Scripts([text for text, _ in self._real.rows], cfg.language))
        if meta.GATE in self._gates:
            found += meta.checks()
        if pii.GATE in self._gates and cfg.pii == "refuse":
            found += pii.checks(cfg.language)
        if length.GATE in self._gates:
            found += length.checks(self._real.rows)
        if language.GATE in self._gates:
            found += (known := language.checks(cfg.language))
            if not known:
                self.notes.append(
                    f"generate.language {cfg.language!r} is not one that the detector knows: the gate 'language' is off. "
                    "Write its English name or its ISO 639 code, or leave 'language' out of generate.gates"
                )
        return found

    def _what_is_off(self, found: Checks) -> list[str]:
        """In words, for the log."""
        return [
            *(
                f"a check of generate.gates is off: {share:.1%} of the real rows fail {check!r}"
                for check, share in sorted(found.switched_off.items())
            ),
            *(
                f"what is taken off a row elsewhere is left on it: {share:.1%} of the real rows wear {kind!r}"
                for kind, share in sorted(self.packaging.switched_off.items())
            ),
            *(
                f"{name!r} is skipped for the label {label!r}: {share:.1%} of its real rows fail or wear it"
                for name, by_label in self.skipped.items()
                for label, share in by_label.items()
            ),
        ]

    def _agreement(self) -> Find | None:
        """Not calibrated: its threshold is the user's, and real rows have wrong labels too."""
        threshold = self._cfg.label_agreement
        found = None if threshold is None else label_agreement.finder(self._real.rows, threshold)
        if threshold is not None and found is None:
            self.notes.append(
                f"generate.label_agreement is off: it needs {label_agreement.FEWEST_ROWS} labelled real rows, of two labels at least"
            )
        return found

    def unpacked(self, rows: Sequence[str], label: Label = None) -> list[str]:
        """The rows of one answer in their normal form, without what the model put round them.

        >>> Acceptor(GenerateConfig(), ["good"], RealProfile.of([])).unpacked(["- Good: a fine film", "- \\"a warm one\\""], "good")
        ['a fine film', 'a warm one']
        """
        return self.packaging.off([normalise(raw) for raw in rows], label)

    def unpacked_parts(self, values: Sequence[str]) -> list[str]:
        """One part of the rows of an answer, as ``unpacked``, but for line ends where nothing is taken off; a part that would be empty stays."""
        plain = [normalise(value) for value in values]
        left = self.packaging.off(plain, None)
        return [new if new not in ("", old) else value for value, old, new in zip(values, plain, left, strict=True)]

    def check(self, raw: str, label: Label = None, parts: Mapping[str, str] | None = None) -> Verdict:
        """The verdict on one row of a label, as ``unpacked`` leaves it. parts: by name, where it has parts.
        Does not remember it: see ``accept``."""
        cfg, text = self._cfg, normalise(raw)
        if self._masks:
            text = pii.masked(text, cfg.language)
        if not any(char.isalpha() for char in text):
            return Verdict(text, "empty", "no letters" if text else "no text")
        if len(text) < cfg.min_chars:
            return Verdict(text, "too_short", f"{len(text)} characters, at least {cfg.min_chars} are asked for")
        if len(text) > cfg.max_chars:
            return Verdict(text, "too_long", f"{len(text)} characters, at most {cfg.max_chars} are allowed")
        if failed := self._checked.first(text, label, bool(parts)) or self._first_of_parts(parts or {}, label):
            return Verdict(text, *failed)
        if verdict := self._copy(text) or self._duplicate(text):
            return verdict
        if self._disagrees and (found := self._disagrees(text, label)):
            return Verdict(text, label_agreement.GATE, found)
        return Verdict(text)

    def fault(self, text: str, label: Label) -> str | None:
        """The gate that refuses a row for what it says, whatever is real or was accepted before it; None where none does.

        >>> Acceptor(GenerateConfig(), [None], RealProfile.of([])).fault("Der Film ist wirklich gut und ich mag ihn.", None)
        'language'
        """
        failed = self._checked.first(normalise(text), label)
        return failed[0] if failed else None

    def _first_of_parts(self, parts: Mapping[str, str], label: Label) -> tuple[str, str] | None:
        """As ``Checks.first``, of the parts of a row: the text may leave some of them out, and gates look at the start of it."""
        for name, value in parts.items():
            gates = PART_GATES if any(map(str.isalpha, value)) else {pii.GATE}
            if failed := self._checked.first_of_part(normalise(value), label, gates):
                gate, found = failed
                return gate, f"{found} (in the field {name!r})"
        return None

    def parts(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The parts of a row as they may be stored: masked where the text is."""
        return {name: _masked_part(value, self._cfg.language) if self._masks else value for name, value in fields.items()}

    def _copy(self, text: str) -> Verdict | None:
        if copies.GATE not in self._gates or not self._real.copies.in_memory:
            return None
        return self._copied(text, self._real.copies.overlaps([text])[0])

    def _copied(self, text: str, share: float) -> Verdict | None:
        if share == 0.0 or share < self._cfg.copy_overlap:
            return None
        return Verdict(text, copies.GATE, "equals a real row" if share == 1.0 else f"{share:.0%} of its n-grams stand in one real row")

    def _duplicate(self, text: str) -> Verdict | None:
        if _digest(text) in self._texts:
            return Verdict(text, "duplicate", "equals an accepted row")
        if near_duplicate.GATE not in self._gates:
            return None
        if _whole(text) in self._wholes:
            return Verdict(text, "duplicate", "equals an accepted row but for case and punctuation")
        if found := self._near.find(text):
            how, other = found
            return Verdict(text, near_duplicate.GATE, f"{how} with the accepted row {other[:SHOWN_CHARS]!r}")
        return None

    def accept(self, verdict: Verdict, source: DemonstrationSet | None = None) -> None:
        """Remembers an accepted row, so that its repetitions are duplicates. source: what it was written from, for ``recheck``."""
        self._texts.add(_digest(verdict.text))
        if near_duplicate.GATE in self._gates:
            self._wholes.add(_whole(verdict.text))
            self._near.add(verdict.text)
        if copies.GATE in self._gates and not self._real.copies.in_memory:
            self._unscanned.append((verdict.text, source))

    def recheck(self) -> list[tuple[Verdict, DemonstrationSet | None]]:
        """The rows accepted since the last call that are copies of real rows after all, each with its source; none where copies
        are looked up at once. One pass over the corpus, for all of them together: see ``RealRows.in_memory``."""
        rows, self._unscanned = self._unscanned, []
        shares = self._real.copies.overlaps([text for text, _ in rows]) if rows else []
        return [(found, source) for (text, source), share in zip(rows, shares, strict=True) if (found := self._copied(text, share))]


def _masked_part(value: str, language: str) -> str:
    """Personal data is looked for in the normal form, as in a text: "+49\\u00a030\\u00a0901820" is a number too. Else line ends stay.

    >>> _masked_part("Write\\nsoon", "English"), _masked_part("Call +49\\u00a030\\u00a0901820.", "English")
    ('Write\\nsoon', 'Call <PHONE>.')
    """
    plain = normalise(value)
    masked = pii.masked(plain, language)
    return masked if masked != plain else value


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _whole(text: str) -> bytes:
    return whole(unit_hashes(units(text))).to_bytes(8, "big")
