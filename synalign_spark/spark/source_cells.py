"""The cells of a source's rows, by the roles that its configuration gives the columns: text, label, id and weight."""

import itertools
import re
from collections.abc import Callable, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructType

from synalign_spark.compat import as_number, valid_utf8
from synalign_spark.config import SourceConfig
from synalign_spark.config.source import COLUMN_IN_BRACES
from synalign_spark.errors import DataError
from synalign_spark.spark.source_types import as_text, at, beside, parts_of, require
from synalign_spark.spark.user_columns import as_vector
from synalign_spark.sql_names import quoted_name

VARIANT = "_synalign_json_"  # begins the names of JSON values beside the user's own
_JSON_CLASSES = ("STRING", "BIGINT", "BOOLEAN", "VOID")


class Cells:
    """The cells of rows whose columns have types."""

    def __init__(self, source: SourceConfig, field: str, schema: StructType) -> None:
        self.source, self.field, self.schema = source, field, schema

    def text(self) -> Column:
        role = "text" if self.source.text_template is None else "part"
        return _put_together(
            self.source.template, {name: self._cell(name, self.source.text_key, role) for name in self.source.text_columns}
        )

    def label(self) -> Column:
        return _binned(self._cell(self.source.label_column, "label_column", "label"), self.source.label_bins)

    def labels(self) -> Column:
        """Every class of a row that may have several, as a list of texts without blank ones."""
        name, parts = self.source.label_column, parts_of(self.source.label_column or "", self.schema.names)
        found = at(self.schema, parts) if parts else None
        if found is not None and isinstance(found[1], ArrayType):
            require("label", str(name), found[1].elementType, f"{self.field}.label_column", self.source.labels is not None)
            return _each(found[0].cast("array<string>"))
        return _each(self._parted(self.label()))

    def _parted(self, label: Column) -> Column:
        return F.split(label, re.escape(self.source.label_separator or ""))

    def id(self) -> Column:
        return self._cell(self.source.id_column, "id_column", "id")

    def weight(self) -> Column:
        return self._cell(self.source.weight_column, "weight_column", "weight")

    def vector(self) -> Column:
        """The vector that the row brings, as array<float>."""
        found = self._found(self.source.embedding_column or "", "embedding_column")
        return as_vector(*found, f"{self.field}.embedding_column: {self.source.embedding_column!r}")

    def faults(self) -> list[tuple[Column, str, Column]]:
        """(condition, reason code, detail): a column has one type, which was looked at."""
        return self._no_numbers()

    def _no_numbers(self) -> list[tuple[Column, str, Column]]:
        """As ``faults``, of labels that are to be parted as numbers and are none; blank ones are no labels at all."""
        if self.source.label_bins is None:
            return []
        cell = self._cell(self.source.label_column, "label_column", "label")
        number = as_number(cell)
        wrong = (F.trim(cell) != "") & (number.isNull() | F.isnan(number))
        words = F.concat(
            F.lit(f"{self.source.label_column} is "), F.left(cell, F.lit(100)), F.lit(", no number that label_bins could part")
        )
        return [(F.coalesce(wrong, F.lit(False)), "wrong_type", words)]

    def _cell(self, name: str | None, key: str, role: str) -> Column:
        if name is None:
            return F.lit(None).cast("string")
        found = self._found(name, key)
        free = self.source.label_bins is not None or self.source.labels is not None
        require(role, name, found[1], f"{self.field}.{key}", free)
        return as_text(*found)

    def _found(self, name: str, key: str) -> tuple[Column, DataType]:
        """The column of a name, and its type."""
        parts = parts_of(name, self.schema.names)
        found = at(self.schema, parts) if parts else None
        if found is None:
            raise DataError(f"{self.field}.{key}: no column {name!r}; {beside(self.schema, parts or ())}")
        return found


class JsonCells(Cells):
    """The cells of JSON rows, each of which has a type of its own."""

    def __init__(self, source: SourceConfig, field: str, columns: Sequence[str]) -> None:
        super().__init__(source, field, StructType())
        self.names = [name.removeprefix(VARIANT) for name in columns if name.startswith(VARIANT)]

    def faults(self) -> list[tuple[Column, str, Column]]:
        source, found = self.source, []
        for name in source.text_columns:
            if source.text_template is not None:
                found += self._part_faults(name)
                continue
            kind = self._kind(name)
            wrong = ~kind.isin("STRING", "VOID")
            found.append((wrong, "wrong_type", F.concat(F.lit(f"{name} is "), F.left(kind, F.lit(100)), F.lit(", not text"))))
        if source.label_column is not None:
            kind = self._kind(source.label_column)
            wrong = ~kind.isin(*_JSON_CLASSES)
            if source.label_separator is not None:
                wrong = wrong & ~kind.isin(*(f"ARRAY<{one}>" for one in _JSON_CLASSES))
            if source.label_bins is not None or source.labels is not None:
                wrong = wrong & ~kind.startswith("DECIMAL") & ~kind.isin("DOUBLE", "FLOAT")
            words = F.concat(F.lit(f"{source.label_column} is "), F.left(kind, F.lit(100)), F.lit(", which is no class"))
            found.append((wrong, "wrong_type", words))
        return found + self._no_numbers()

    def labels(self) -> Column:
        top, path = self._place(self.source.label_column or "")
        return _each(F.coalesce(F.try_variant_get(top, path, "array<string>"), self._parted(self.label())))

    def vector(self) -> Column:
        return F.try_variant_get(*self._place(self.source.embedding_column or ""), "array<float>")

    def _kind(self, name: str) -> Column:
        return F.coalesce(F.schema_of_variant(self._variant(name)), F.lit("VOID"))

    def _variant(self, name: str) -> Column:
        top, path = self._place(name)
        return F.try_variant_get(top, path, "variant")

    def _place(self, name: str) -> tuple[Column, str]:
        top, *rest = parts_of(name, self.names) or (name,)
        return F.col(quoted_name(VARIANT + top)), "$" + "".join(_step(part)[1:] for part in rest)

    def _cell(self, name: str | None, key: str, role: str) -> Column:
        if name is None:
            return F.lit(None).cast("string")
        top, path = self._place(name)
        one = F.try_variant_get(top, path, "string")
        if role != "part":
            return valid_utf8(one)
        values = self._levels(name)[-1]  # one text, a list of them, or those of a list of objects
        texts = F.filter(F.transform(values, lambda each: F.try_variant_get(each, "$", "string")), lambda text: text.isNotNull())
        return valid_utf8(F.when(F.size(texts) > 0, F.array_join(texts, "\n")))

    def _levels(self, name: str) -> list[Column]:
        """What stands at each part of a nested name, as lists of values; lists on the way are opened, and what is not there is left out."""
        top, *rest = parts_of(name, self.names) or (name,)
        levels = [_opened(F.array(F.col(quoted_name(VARIANT + top))))]
        for part in rest:
            levels.append(_opened(_part_of(levels[-1], _step(part))))
        return levels

    def _part_faults(self, name: str) -> list[tuple[Column, str, Column]]:
        """Where a name of the template leads to an object or a list of lists, which is no text, or past a text that would be left out."""
        *before, last = self._levels(name)
        fix = F.lit(", not text; a name with dots names a part of it")
        found = [_first_kind(last, lambda kind: kind.startswith("OBJECT") | kind.startswith("ARRAY"), name, fix)]
        for level in before:
            plain = _first_kind(
                level,
                lambda kind: ~kind.startswith("OBJECT") & ~kind.startswith("ARRAY") & (kind != "VOID"),
                name,
                F.lit(" before its last part"),
            )
            found.append(plain)
        return found


def _step(part: str) -> str:
    """The path of a part of a JSON value."""
    return f'$["{part}"]' if "'" in part else f"$['{part}']"


def _part_of(values: Column, path: str) -> Column:
    return F.transform(values, lambda one: F.try_variant_get(one, path, "variant"))


def _opened(values: Column) -> Column:
    """A list of JSON values in which those that are lists themselves are put in their places; without what is not there."""
    listed = F.transform(values, lambda one: F.coalesce(F.try_variant_get(one, "$", "array<variant>"), F.array(one)))
    return F.filter(F.flatten(listed), lambda one: one.isNotNull())


def _first_kind(values: Column, is_wrong: Callable[[Column], Column], name: str, words: Column) -> tuple[Column, str, Column]:
    """The fault of a row in which some value is of a wrong kind, which its words name."""
    kinds = F.filter(F.transform(values, lambda one: F.schema_of_variant(one)), is_wrong)
    detail = F.concat(F.lit(f"{name} is "), F.left(F.try_element_at(kinds, F.lit(1)), F.lit(100)), words)
    return F.size(kinds) > 0, "wrong_type", detail


def _each(labels: Column) -> Column:
    """The classes of one row, valid and without blanks round them, each once."""
    trimmed = F.transform(labels, lambda one: F.trim(valid_utf8(one)))
    return F.array_distinct(F.filter(trimmed, lambda one: one.isNotNull() & (one != "")))


def _put_together(template: str, cells: dict[str, Column]) -> Column:
    """The text by its template; null where all of its columns are."""
    if len(cells) == 1 and template == f"{{{next(iter(cells))}}}":
        return next(iter(cells.values()))
    parts = [F.coalesce(cells[part], F.lit("")) if i % 2 else F.lit(part) for i, part in enumerate(COLUMN_IN_BRACES.split(template))]
    return F.when(F.coalesce(*cells.values()).isNotNull(), F.concat(*parts))


def _binned(label: Column, edges: list[float] | None) -> Column:
    """Numbers as the names of the intervals that they are in; what is no number is left, and null where it is null."""
    if edges is None:
        return label
    number = as_number(label)
    named = F.lit(f"{edges[-1]:g} and above")
    for low, high in reversed(list(itertools.pairwise(edges))):
        named = F.when(number < high, F.lit(f"{low:g} to {high:g}")).otherwise(named)
    return F.when(number < edges[0], F.lit(f"below {edges[0]:g}")).when(number.isNotNull() & ~F.isnan(number), named)
