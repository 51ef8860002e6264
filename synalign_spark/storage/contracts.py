"""What a table contract is, and its schema for Spark and for Arrow. Imports nothing of the project, so every layer may use it."""

import re
from dataclasses import dataclass

import pyarrow as pa

RUN_ID = "run_id"  # the column that the lake adds to every table
RUN_ID_DOC = "run that wrote the row (run.id)"

_SCALARS = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Column:
    """One column: Spark DDL type, whether null is allowed, and what it means."""

    name: str
    dtype: str
    doc: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A table contract. ``key`` is unique within a run (empty: no key); ``scope`` names the columns
    besides ``run_id`` that one write replaces and the table is partitioned by."""

    name: str
    producer: str
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    scope: tuple[str, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def ddl(self) -> str:
        """Schema as Spark DDL, without ``run_id``."""
        parts = (f"`{c.name}` {c.dtype}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)
        return ", ".join(parts)

    @property
    def arrow(self) -> pa.Schema:
        """The same schema for Arrow, without ``run_id``.

        >>> Table("t", "s", "", (), (Column("id", "string", ""), Column("n", "array<int>", "", nullable=True))).arrow
        id: string not null
        n: list<item: int32>
          child 0, item: int32
        """
        return pa.schema([pa.field(c.name, arrow_type(c.dtype), c.nullable) for c in self.columns])


def arrow_type(dtype: str) -> pa.DataType:
    """The Arrow type of a Spark DDL type as the contracts use them. Raises ValueError for another one.

    >>> arrow_type("map<string,bigint>")
    MapType(map<string, int64>)
    """
    if dtype in _SCALARS:
        return _SCALARS[dtype]
    if nested := re.fullmatch(r"array<(.+)>", dtype):
        return pa.list_(arrow_type(nested.group(1)))
    if nested := re.fullmatch(r"map<(\w+),(.+)>", dtype):
        return pa.map_(arrow_type(nested.group(1)), arrow_type(nested.group(2)))
    raise ValueError(f"no Arrow type is known for {dtype!r}; known are {', '.join(_SCALARS)}, array<...> and map<...,...>")


# Columns of many tables.
DOC_ID = Column("doc_id", "string", "sha256 of the normalised text")
LABEL = Column("label", "string", "class of the row; null where the corpus has no labels", nullable=True)
