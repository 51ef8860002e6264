"""What a table contract is. This module imports nothing of the project, so every layer may use it."""

from dataclasses import dataclass


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
