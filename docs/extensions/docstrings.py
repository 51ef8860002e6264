"""For the API reference: docstrings as they stand in the code become Markdown.

The project's docstrings are prose with paragraphs of the form ``name, other: what they are``, roles such as
``:func:`align``` and doctest examples at the end. Markdown wants lists, plain code and fenced blocks.
"""

import re
from typing import Any

from griffe import Class, Extension, Function, Object

ROLE = re.compile(r":(?:func|class|meth|mod|data):`~?([^`]+)`")
NAMES = r"\*{0,2}[a-z_]\w*"
# A parameter, or several, at the start of a line or after a semicolon or a full stop: ``text, label: column names; n: ...``
ENTRY = re.compile(rf"(?:^|(?<=[;.]) )((?:{NAMES}, )*{NAMES}): ", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites the docstring of every object before it is rendered."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called once for each object that griffe reads."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value, parameters(obj))


def parameters(obj: Object) -> set[str]:
    """The names that a docstring may explain: parameters of a function, fields of a class."""
    if isinstance(obj, Function):
        return {parameter.name.lstrip("*") for parameter in obj.parameters}
    return {name for name, member in obj.members.items() if not member.is_alias} if isinstance(obj, Class) else set()


def as_markdown(docstring: str, known: set[str]) -> str:
    """The docstring as Markdown.

    known: names that are entries of a list where they stand before a colon.

    >>> print(as_markdown("Adds.\\n\\na: first; b: second.\\nRaises ValueError for others.", {"a", "b"}))
    Adds.
    <BLANKLINE>
    - **`a`**: first
    - **`b`**: second.
    <BLANKLINE>
    Raises ValueError for others."""
    prose, arrows, example = docstring.partition("\n>>> ")
    if docstring.startswith(">>> "):
        prose, arrows, example = "", "\n>>> ", docstring[4:]
    blocks = [_paragraph(block, known) for block in prose.strip().split("\n\n")]
    text = "\n\n".join(blocks).replace("``", "`")
    text = ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    return f"{text}\n\n```pycon\n>>> {example.rstrip()}\n```".strip() if arrows else text


def _paragraph(block: str, known: set[str]) -> str:
    """A paragraph; from its first entry on as a list. A line that starts with another sentence ends the list."""
    starts = [match for match in ENTRY.finditer(block) if known.intersection(re.split(r"\W+", match[1]))]
    if not starts:
        return block
    parts = [block[: starts[0].start()].strip()]
    ends = [match.start() for match in starts[1:]] + [len(block)]
    items, after = [], ""
    for match, end in zip(starts, ends, strict=True):
        names = ", ".join(f"`{name}`" for name in match[1].split(", "))
        body, after = _until_sentence(block[match.end() : end]) if end == len(block) else (block[match.end() : end], "")
        items.append(f"- **{names}**: {' '.join(body.split()).rstrip(';')}")
    parts += ["\n".join(items), after.strip()]
    return "\n\n".join(part for part in parts if part)


def _until_sentence(text: str) -> tuple[str, str]:
    """What belongs to the last entry, and the lines that start with Returns or Raises."""
    found = re.search(r"(?:^|\n| )(?=(?:Returns|Raises|Minimises|The same|Yields)\b)", text)
    return (text[: found.start()], text[found.start() :]) if found else (text, "")
