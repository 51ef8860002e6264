"""The rows of an answer as they are judged: without their packaging, each at its place in the answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from synalign_spark.core.text import normalise
from synalign_spark.generation.acceptance import Acceptor
from synalign_spark.generation.gates.check import Label
from synalign_spark.generation.parsing import text_of
from synalign_spark.generation.reading import Parsed


@dataclass(frozen=True)
class Candidate:
    """place: in the answer; fields: the parts of the row by name, where it has parts."""

    place: int
    text: str
    fields: dict[str, str] | None = None


def candidates(parsed: Parsed, acceptor: Acceptor, label: Label, template: str | None) -> Iterator[Candidate]:
    """The rows of a sound answer for a label. template: ``generate.text_template``.

    The parts of rows of fields are unpacked each for itself, and their text is made of what is left, so that both say the same: what the template
    puts before them ("Title: ...") is the user's and stays."""
    fields = _unpacked(parsed.fields, acceptor)
    texts = [normalise(text_of(found, template)) for found in fields] or acceptor.unpacked(parsed.rows, label)
    for i, (place, text) in enumerate(zip(parsed.places, texts, strict=True)):
        yield Candidate(place, text, fields[i] if fields else None)


def _unpacked(fields: Sequence[dict[str, str]], acceptor: Acceptor) -> list[dict[str, str]]:
    """A field of all rows is unpacked together, as texts of one answer are. Without a label: "Yes: ..." may be what a part says.
    Line ends within a part stay, unless something is taken off it."""
    columns = {name: [row[name] for row in fields] for name in (fields[0] if fields else ())}
    found = {name: acceptor.unpacked_parts(values) for name, values in columns.items()}
    return [{name: values[i] for name, values in found.items()} for i in range(len(fields))]
