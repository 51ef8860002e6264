"""Names and texts as SQL takes them, so that nothing in a configuration is read as SQL where a name is meant."""

import re
from collections.abc import Iterable

_PART = re.compile(r"`((?:[^`]|``)+)`|([^`.]+)")


def quoted_name(name: str) -> str:
    """One part of a name, with whatever signs it has.

    >>> quoted_name("a`b.c")
    '`a``b.c`'
    """
    return "`" + name.replace("`", "``") + "`"


def quoted_table(name: str) -> str:
    """The name of a table as people write it, its parts with dots between them; a part with a dot in backticks. Raises ValueError for
    what is no such name.

    >>> quoted_table("main.my-schema.t"), quoted_table("`a.b`.t")
    ('`main`.`my-schema`.`t`', '`a.b`.`t`')
    """
    parts, at = [], 0
    while found := _PART.match(name, at):
        parts.append(found.group(1).replace("``", "`") if found.group(1) else found.group(2).strip())
        at = found.end()
        if at == len(name) and all(parts):
            return ".".join(map(quoted_name, parts))
        if name[at : at + 1] != ".":
            break
        at += 1
    raise ValueError(f"{name!r} is no name of a table; write catalog.schema.table, a part with a dot in backticks")


def text_literal(text: str) -> str:
    r"""A text in single quotes.

    >>> print(text_literal("it's \\"))
    'it\'s \\'
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def details(described: Iterable[tuple[str, str, str | None]]) -> dict[str, str]:
    """What a catalog says of a table beside its columns, by name; empty for a temporary view. described: rows of DESCRIBE TABLE EXTENDED.

    >>> details([("Location", "string", None), ("# Detailed Table Information", "", ""), ("Location", "s3a://x/y", "")])
    {'# Detailed Table Information': '', 'Location': 's3a://x/y'}
    """
    rows = [(key, value) for key, value, _ in described]
    heads = [at for at, (key, _) in enumerate(rows) if key == "# Detailed Table Information"]
    return dict(rows[heads[0] :]) if heads else {}
