"""Which types can be a text, a class, an id or a weight, and how a column of one becomes a cell; what cannot is refused with the fix."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synalign_spark.compat import is_variant, valid_utf8
from synalign_spark.errors import DataError
from synalign_spark.sql_names import quoted_name

TEXT_FIX = "name a column of text, or put one together: source.text_template, with nested names such as {meta.body} or {messages.content}"
LABEL_FIX = {
    "a list": "one class a row is needed: name another column, write the one label that counts in a column of its own, or set "
    "source.label_separator to make a row of each",
    "an object": "name a part of it with a dot, such as meta.label",
    "a number": "part the numbers into classes with source.label_bins, or name the values that are classes in source.labels",
    "a date": "name a column of text, whole numbers or booleans",
}
CLASSES = (T.StringType, T.IntegralType, T.BooleanType)
NUMBERS = (T.FractionalType, T.IntegralType)
_UNSIGNED = {"uint8": T.ShortType(), "uint16": T.IntegerType(), "uint32": T.LongType(), "uint64": T.DecimalType(20, 0)}
_ARROW = {
    "bool": T.BooleanType(), "int8": T.ByteType(), "int16": T.ShortType(), "int32": T.IntegerType(), "int64": T.LongType(), **_UNSIGNED,
    "float": T.FloatType(), "double": T.DoubleType(), "string": T.StringType(), "large_string": T.StringType(), "string_view": T.StringType(),
    "binary": T.BinaryType(), "large_binary": T.BinaryType(), "date32[day]": T.DateType(),
}  # fmt: skip


def parts_of(name: str, names: Sequence[str]) -> tuple[str, ...] | None:
    """Where a column stands: a column of that very name (capitals, and blanks round it, do not count), else the first part of it before a dot, and
    what follows.

    >>> parts_of("text", [" Text ", "label"])
    (' Text ',)
    >>> parts_of("meta.label", ["text", "meta"]), parts_of("Text", ["text"]), parts_of("a.b", ["a", "a.b"]), parts_of("x", ["text"])
    (('meta', 'label'), ('text',), ('a.b',), None)
    """
    spelled = {known.strip().lower(): known for known in reversed(names)} | {known: known for known in names}
    if found := spelled.get(name) or spelled.get(name.strip().lower()):
        return (found,)
    top, *rest = name.split(".")
    found = spelled.get(top) or spelled.get(top.lower())
    return (found, *rest) if found and rest else None


def json_kind(value: Any) -> str:
    """What a JSON value is, in words.

    >>> [json_kind(value) for value in ("a", 1, 1.5, True, None, [], {})]
    ['text', 'a whole number', 'a number', 'a boolean', 'null', 'a list', 'an object']
    """
    kinds = {str: "text", bool: "a boolean", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
    return next((words for kind, words in kinds.items() if isinstance(value, kind)), "null")


def spark_type(found: pa.DataType) -> T.DataType | None:
    """The type under which Spark reads an Arrow type; None where it has none."""
    if pa.types.is_dictionary(found):
        return spark_type(found.value_type)
    if pa.types.is_decimal128(found):
        return T.DecimalType(found.precision, found.scale)
    if pa.types.is_timestamp(found) and found.unit in ("us", "ms"):
        return T.TimestampType() if found.tz else T.TimestampNTZType()
    if pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found):
        inner = spark_type(found.value_type)
        return None if inner is None else T.ArrayType(inner)
    if pa.types.is_struct(found):
        fields = [(part.name, spark_type(part.type)) for part in found]
        return (
            T.StructType([T.StructField(name, kind) for name, kind in fields if kind is not None]) if fields else None
        )  # the rest is not read
    return _ARROW.get(str(found))


def at(schema: T.StructType, parts: Sequence[str]) -> tuple[Column, T.DataType] | None:
    """The column at a path through structs and lists of structs, and its type; None where there is none."""
    column, found = F.col(quoted_name(parts[0])), schema[parts[0]].dataType
    for part in parts[1:]:
        holder = found.elementType if isinstance(found, T.ArrayType) else found
        if not isinstance(holder, T.StructType) or part not in holder.names:
            return None
        inner = holder[part].dataType
        column, found = column[part], T.ArrayType(inner) if isinstance(found, T.ArrayType) else inner
    return column, found


def beside(schema: T.StructType, parts: Sequence[str]) -> str:
    """What there is where a path goes wrong, in words.

    >>> schema = T.StructType([T.StructField("meta", T.StructType([T.StructField("body", T.StringType())])), T.StructField("_synalign_x", T.StringType())])
    >>> beside(schema, ["text"]), beside(schema, ["meta", "bod"]), beside(schema, ["meta", "body", "x"])
    ('there are meta', 'there are meta.body', 'meta.body is string, which has no parts')"""
    before: list[str] = []
    for part in parts:
        if part not in schema.names:
            break
        before.append(part)
        found = schema[part].dataType
        found = found.elementType if isinstance(found, T.ArrayType) else found
        if not isinstance(found, T.StructType):
            return f"{'.'.join(before)} is {found.simpleString()}, which has no parts"
        schema = found
    names = [".".join([*before, name]) for name in schema.names if not name.startswith("_synalign")]
    return f"there are {', '.join(names)}"


def require(role: str, name: str, found: T.DataType, key: str, free: bool = False) -> None:
    """Raises DataError where a column's type cannot have a role ('text', 'part', 'label', 'id' or 'weight').

    free: label: numbers are parted or listed. key: that names the column, for the message."""
    nested = isinstance(found, T.ArrayType | T.MapType | T.StructType) or is_variant(found)
    section = key.rpartition(".")[0]
    words = (
        "a list" if isinstance(found, T.ArrayType) else "an object" if nested else "a number" if isinstance(found, NUMBERS) else "a date"
    )
    if role == "text" and not isinstance(found, T.StringType | T.BinaryType):
        raise DataError(f"{key}: {name!r} is {found.simpleString()}, not text; {fix(TEXT_FIX, section)}")
    if role == "part" and nested and not (isinstance(found, T.ArrayType) and isinstance(found.elementType, T.StringType)):
        raise DataError(
            f"{key}: {name!r} is {found.simpleString()}, which is no text; name a part of it with a dot, such as {{{name}.content}}"
        )
    whole = isinstance(found, T.DecimalType) and found.scale == 0  # unsigned numbers of 64 bits among them
    if role == "label" and not (isinstance(found, CLASSES) or whole or (free and isinstance(found, NUMBERS))):
        raise DataError(f"{key}: {name!r} is {found.simpleString()}, which is no class; {fix(LABEL_FIX[words], section)}")
    if role == "weight" and not isinstance(found, (*NUMBERS, T.StringType)):
        raise DataError(f"{key}: {name!r} is {found.simpleString()}, not a number; name a column of numbers")
    if role == "id" and nested:
        raise DataError(f"{key}: {name!r} is {found.simpleString()}, not one value; name a column of numbers or text")


def fix(words: str, section: str) -> str:
    """A fix that names the keys of the section that the user wrote."""
    return words.replace("source.", f"{section}.")


def as_text(column: Column, found: T.DataType) -> Column:
    """A column as text with valid UTF-8; what a list holds stands under each other."""
    if isinstance(found, T.ArrayType):
        return valid_utf8(F.array_join(column, "\n"))
    return valid_utf8(column.cast("string"))
