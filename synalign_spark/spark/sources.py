"""Reads a configured source, in any format, into rows of one shape; no row is refused, but one that does not parse or fit is marked."""

import functools
import operator
import re
from collections.abc import Iterator

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from synalign_spark.compat import as_number, require_variants, valid_utf8
from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.arrow_files import read_arrow
from synalign_spark.spark.delimited import Dialect
from synalign_spark.spark.encodings import C1, SPARK_ENCODINGS, WINDOWS
from synalign_spark.spark.source_cells import VARIANT, Cells, JsonCells
from synalign_spark.spark.source_json import lost_in, lost_in_array
from synalign_spark.spark.source_layout import Layout, check_columns, layout_of, wanted
from synalign_spark.spark.source_tables import read_named
from synalign_spark.spark.source_types import parts_of, spark_type
from synalign_spark.sql_names import quoted_name
from synalign_spark.storage.paths import fault_line, local_path, spark_path
from synalign_spark.udfs.text import normalised

MOST_FILES_COUNTED = 1_000  # their names go to the driver one by one
MOST_OF_HEADER = 20  # columns by which a header is known again
SOURCE_COLUMNS = ("text", "label", "source_id", "source_file", "prior_weight", "malformed", "fault", "fault_detail", "renamed")
_OF_A_HEADER = '\ufeff"'  # of one that was put behind another file with its byte order mark, which keeps its quotes then
_CORRUPT = "_synalign_malformed"
_FILE = "_synalign_file"
_LABEL = "_synalign_label"


def read_source(spark: SparkSession, source: SourceConfig, field: str = "source", layout: Layout | None = None) -> DataFrame:
    """Rows of a source: SOURCE_COLUMNS, all strings but prior_weight (double), and with ``embedding_column`` the vector, ``embedding`` (array<float>).

    ``renamed`` holds the label that a row had before, where it was renamed, else null; ``malformed`` the raw text of a row that could not be parsed, else null; ``fault`` and ``fault_detail`` the reason code of a row
    whose cells are of a wrong type, and words for it. Bytes of another encoding arrive as U+FFFD. Labels have the normal form of texts and
    are renamed; blank ones are null. ``field`` is the configuration section that errors name; layout: of the source, where it is known.
    Raises DataError for a missing path, table or column, for types that cannot be used and for a bad condition."""
    layout = layout or layout_of(source, field)
    raw = _read_table(spark, source, field) if layout is None else _read_files(spark, source, layout, field)
    raw = _filtered(raw, source, field)
    cells = JsonCells(source, field, raw.columns) if layout is not None and layout.kind == "jsonl" else Cells(source, field, raw.schema)
    label = cells.label() if source.label_separator is None else F.col(_LABEL)
    if source.label_separator is not None:
        raw = raw.withColumn(_LABEL, F.explode_outer(cells.labels()))
    plain = F.nullif(normalised(label), F.lit("")) if source.label_column is not None else label
    malformed = F.col(_CORRUPT) if _CORRUPT in raw.columns else F.lit(None).cast("string")
    if layout is not None and layout.dialect is not None:
        malformed = F.coalesce(malformed, _over_lines(source, layout.dialect))
    header_again = _header_again(source, layout)
    number, bad_weight, words = _weight(cells.weight(), source)
    faults = [*header_again, *cells.faults(), (bad_weight, "bad_weight", words)]
    fault = detail = F.lit(None).cast("string")
    for condition, code, words in reversed(faults):
        fault, detail = F.when(condition, F.lit(code)).otherwise(fault), F.when(condition, words).otherwise(detail)
    vector = [] if source.embedding_column is None else [cells.vector().alias("embedding")]
    return raw.select(
        cells.text().alias("text"),
        _named(plain, source, layout).alias("label"),
        cells.id().alias("source_id"),
        F.col(_FILE).alias("source_file"),
        F.when(~bad_weight, number).alias("prior_weight"),
        valid_utf8(malformed).alias("malformed"),
        fault.alias("fault"),
        detail.alias("fault_detail"),
        F.when(plain.isin(*source.rename_labels), plain).cast("string").alias("renamed"),
        *vector,
    )


def _weight(cell: Column, source: SourceConfig) -> tuple[Column, Column, Column]:
    """A weight as a number, whether it can be none, and words for that. A blank one is none either: what it stands for depends on the scale
    of the others, which nobody told."""
    number, blank = as_number(cell), F.coalesce(F.trim(cell) == "", F.lit(True))
    if source.weight_column is None:
        return number, F.lit(False), F.lit(None).cast("string")
    bad = blank | number.isNull() | F.isnan(number) | (number < 0) | (number == F.lit(float("inf")))
    shown = F.when(blank, F.lit("null or blank")).otherwise(cell)
    return number, bad, F.concat(F.lit(f"{source.weight_column} is "), shown, F.lit(", not a number >= 0"))


def _over_lines(source: SourceConfig, dialect: Dialect) -> Column:
    """The whole row where its label, id or weight reaches over lines: a quote opened there that closes in another row. Null elsewhere."""
    names = [parts_of(name, dialect.names) for name in (source.label_column, source.id_column, source.weight_column) if name is not None]
    broken = [F.col(quoted_name(parts[0])).rlike("[\r\n][^\r\n]") for parts in names if parts]
    whole = F.concat_ws(dialect.separator, *(F.col(quoted_name(name)) for name in dialect.names))
    return F.when(F.coalesce(functools.reduce(operator.or_, broken, F.lit(False)), F.lit(False)), whole)


def _header_again(source: SourceConfig, layout: Layout | None) -> list[tuple[Column, str, Column]]:
    """A row in which the columns have their own names: the header of a file that was put behind another. As in ``Cells.faults``.

    Those that are read and the first of the others: where the text alone is read, it may be the word that its column is called by."""
    if layout is None or layout.dialect is None or not source.header:
        return []
    own = layout.dialect.names
    names = {parts[0] for name in wanted(source) if (parts := parts_of(name, own))} | set(own[:MOST_OF_HEADER])
    plain = {name: F.trim(F.translate(quoted_name(name), _OF_A_HEADER, "")) for name in sorted(names)}
    same = functools.reduce(
        operator.and_, (cell == name.translate(dict.fromkeys(map(ord, _OF_A_HEADER))).strip() for name, cell in plain.items())
    )
    return [(F.coalesce(same, F.lit(False)), "malformed", F.lit("the header once more, and no row"))]


def _named(plain: Column, source: SourceConfig, layout: Layout | None) -> Column:
    """Labels renamed; where the files name the classes of numbers, by these (-1 stands for none). plain: labels in the normal form of texts."""
    names = dict(source.rename_labels)
    if layout is not None and layout.label_names:
        plain, names = F.nullif(plain, F.lit("-1")), {str(i): name for i, name in enumerate(layout.label_names)}
    if not names:
        return plain
    pairs = [F.lit(part) for old_new in sorted(names.items()) for part in old_new]
    return F.coalesce(F.try_element_at(F.create_map(*pairs), plain), plain)


def _read_table(spark: SparkSession, source: SourceConfig, field: str) -> DataFrame:
    found = read_named(spark, source, field)
    where = "the query" if source.query is not None else f"table {source.table!r}"
    check_columns(source, found.columns, where, field)
    return found.withColumn(_FILE, F.lit(None).cast("string"))


def _read_files(spark: SparkSession, source: SourceConfig, layout: Layout, field: str) -> DataFrame:
    try:
        if layout.kind == "arrow":
            return read_arrow(spark, layout, _schema(source, layout, field), _FILE)
        rows = _load(spark, source, layout, field)
        if layout.names is None and layout.kind != "jsonl":
            check_columns(source, rows.columns, repr(layout.path), field)
        _require_all_files(rows, layout, field)
        return rows.withColumn(_FILE, F.col("_metadata.file_path"))
    except (PySparkException, Py4JError) as err:
        other = next((f"{field}.{key}" for key in ("version", "timestamp") if getattr(source, key) is not None), f"{field}.format")
        raise DataError(
            f"{field}.path: {layout.path!r} cannot be read as {layout.kind} ({fault_line(err)}); mend the path or {other}"
        ) from err


def _require_all_files(rows: DataFrame, layout: Layout, field: str) -> None:
    """Raises DataError where Spark reads fewer files than there are: a path may mean more to Arrow than to Hadoop."""
    wanted = sum(info.size != 0 for info in layout.data or ())
    if wanted <= MOST_FILES_COUNTED and (found := len(rows.inputFiles())) < wanted:
        raise DataError(
            f"{field}.path: Spark finds {found} of the {wanted} files at {layout.path!r}; name their folder, or write the path otherwise"
        )


def _load(spark: SparkSession, source: SourceConfig, layout: Layout, field: str) -> DataFrame:
    """The rows as the format has them, of the columns that are needed. Nothing is inferred: CSV is text, JSON has a type a row, and the
    types of Parquet are those of its footers."""
    reader, path = _reader(spark, layout)
    if layout.dialect is not None:
        return _load_delimited(reader, source, layout, path)
    if layout.kind == "jsonl":
        options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT, "multiLine": str(layout.array).lower()}
        if not layout.marked_array:  # told the encoding, Spark takes the mark for a fault; untold, one bad byte for that of the whole file
            options["encoding"] = "UTF-8"
        return _load_json(reader.options(**options), source, layout, path, field)
    if layout.kind == "text":
        return reader.text(path).select(F.col("value").alias(source.text_column), "_metadata")
    if layout.schema is not None:
        return reader.schema(_schema(source, layout, field)).parquet(path)
    if source.version is not None:
        reader = reader.option("versionAsOf", source.version)
    if source.timestamp is not None:
        reader = reader.option("timestampAsOf", source.timestamp)
    return reader.format(layout.kind).load(path)


def _reader(spark: SparkSession, layout: Layout) -> tuple[DataFrameReader, str]:
    """A reader that finds the data files alone, and the path that it is to be given."""
    reader = spark.read
    if layout.filtered and layout.data:  # the other files of the folder are not read
        parts = (info.base_name.partition(".") for info in layout.data)
        kinds = sorted({f"*.{end}" if dot else re.sub(r"([*?\[\]{},\\])", r"\\\1", name) for name, dot, end in parts})
        reader = reader.option("pathGlobFilter", f"{{{','.join(kinds)}}}")
    if layout.below:
        reader = reader.option("recursiveFileLookup", "true")
    path = spark_path(layout.path)
    local = local_path(layout.path)
    if local is not None and local.exists():
        path = re.sub(r"([*?\[\]{}\\])", r"\\\1", path)  # a path that is there is no pattern
    return reader, path


def lost_in_lines(spark: SparkSession, source: SourceConfig, layout: Layout | None) -> tuple[int, int]:
    """How many lines of a JSON source hold more than their first object, or none (files, more than their array), and how many objects have a named key twice:
    Spark reads a part of them, and says nothing. Two numbers reach the driver."""
    if layout is None or layout.kind != "jsonl" or not layout.looked_through:
        return 0, 0
    reader, path = _reader(spark, layout)
    keys = frozenset((parts_of(name, layout.names or ()) or (name.split(".")[0],))[0] for name in wanted(source))
    twice = [f'"{re.escape(key)}"\\s*:.*"{re.escape(key)}"\\s*:' for key in keys]
    more = r"[}\]][\s,;]*[\[{]|[}\]]\s*[^\s,\]}]|^\s*\[\s*\]"  # what may be more than one object, within a text too, or none
    lines = reader.text(path, wholetext=layout.array)
    odd = lines if layout.array else lines.where(F.col("value").rlike("|".join([more, *twice])))
    odd = odd.select(valid_utf8(F.col("value")).alias("value"))  # a bad byte is counted elsewhere
    lost = lost_in_array if layout.array else lost_in

    def counts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            found = [lost(line, keys) for line in batch.column("value").to_pylist()]
            yield pa.record_batch({"more": [sum(more for more, _ in found)], "twice": [sum(twice for _, twice in found)]})

    row = odd.mapInArrow(counts, "more long, twice long").agg(F.sum("more"), F.sum("twice")).collect()[0]
    return int(row[0] or 0), int(row[1] or 0)


def _load_delimited(reader: DataFrameReader, source: SourceConfig, layout: Layout, path: str) -> DataFrame:
    """A quote that no quote closes runs on to one that does: the row has too many columns then, and is seen as malformed."""
    dialect = layout.dialect
    assert dialect is not None  # of the callers: by format
    schema = StructType([StructField(name, StringType()) for name in (*dialect.names, _CORRUPT, *layout.folders)])
    unnamed = not source.header or any(name.startswith("_c") for name in dialect.names)
    rows: DataFrame = (
        reader.options(
            header=str(source.header).lower(), sep=dialect.separator, quote=dialect.quote, escape=dialect.escape or dialect.quote or "\0",
            multiLine=str(bool(dialect.quote) or dialect.encoding.startswith("utf-")).lower(), mode="PERMISSIVE",
            columnNameOfCorruptRecord=_CORRUPT, encoding=SPARK_ENCODINGS[dialect.encoding], enforceSchema=str(unnamed).lower(),
            unescapedQuoteHandling="STOP_AT_CLOSING_QUOTE",
        ).schema(schema).csv(path)
    )  # fmt: skip
    if dialect.encoding != "windows-1252":
        return rows
    return rows.select(*(F.translate(quoted_name(name), C1, WINDOWS).alias(name) for name in schema.names), "_metadata")


def _load_json(reader: DataFrameReader, source: SourceConfig, layout: Layout, path: str, field: str) -> DataFrame:
    """Each named key as a value of its own type, and as text for the condition. A key that the first rows lack is looked for in all."""
    require_variants(field)
    from pyspark.sql.types import VariantType

    known = layout.names or ()
    tops = {parts[0] if (parts := parts_of(name, known)) else name.split(".")[0]: key for name, key in wanted(source).items()}
    seen: dict[str, str] = {}
    spelled = {name.lower(): name for name in known}  # Spark takes keys by their capitals, and columns without
    for name in [*tops, *(spelled.get(word.lower(), word) for word in _words(source.where))]:
        seen.setdefault(name.lower(), name)
    folders = set(layout.folders)
    kinds = ((name, StringType() if name in folders else VariantType()) for name in seen.values())
    schema = StructType([*(StructField(name, kind) for name, kind in kinds), StructField(_CORRUPT, StringType())])
    rows: DataFrame = reader.schema(schema).json(path)
    for name in folders & set(seen.values()):  # as a key of the row would be
        held = F.parse_json(F.to_json(F.struct(F.col(quoted_name(name)).alias("one"))))
        rows = rows.withColumn(name, F.try_variant_get(held, "$.one", "variant"))
    for name, key in tops.items():
        if known and name not in known and rows.where(F.col(quoted_name(name)).isNotNull()).isEmpty():
            raise DataError(f"{field}.{key}: no column {name!r} in {layout.path!r}; it has {', '.join(known)}")
    texts = [F.try_variant_get(F.col(quoted_name(name)), "$", "string").alias(name) for name in seen.values()]
    return rows.select(*texts, *(F.col(quoted_name(name)).alias(VARIANT + name) for name in seen.values()), _CORRUPT, "_metadata")


def _schema(source: SourceConfig, layout: Layout, field: str) -> StructType:
    """The needed columns of files that have types; those that stand in the names of folders are text."""
    schema = layout.schema
    assert schema is not None  # of the callers: by format
    spelled = {name.lower(): name for name in schema.names if schema.names.count(name) == 1}
    wanted_by = {parts[0]: key for name, key in wanted(source).items() if (parts := parts_of(name, layout.names or ()))}
    words = dict.fromkeys(spelled[word.lower()] for word in _words(source.where) if word.lower() in spelled)
    fields = []
    for name in {**wanted_by, **words}:
        kind = spark_type(schema.field(name).type) if name in schema.names else StringType()
        if kind is None and name in wanted_by:
            raise DataError(
                f"{field}.{wanted_by[name]}: column {name!r} is {schema.field(name).type}, which Spark does not read; write it as text or numbers"
            )
        if kind is not None:
            fields.append(StructField(name, kind))
    return StructType(fields)


def _words(where: str | None) -> list[str]:
    """Whatever may be the name of a column in a condition."""
    words = re.findall(r"`([^`]+)`|([A-Za-z_]\w*)", re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", " ", where or ""))
    return [quoted or plain for quoted, plain in words]


def _filtered(rows: DataFrame, source: SourceConfig, field: str) -> DataFrame:
    """Applies ``where``; rows that did not parse are kept, since they must be seen in the rejects."""
    if source.where is None:
        return rows
    try:
        # Without brackets a word behind a condition is its alias: "a OR" would be the condition a.
        condition = F.expr(f"({source.where}\n)" if source.where.strip() else "")
        if _CORRUPT in rows.columns:
            condition = F.coalesce(condition, F.lit(False)) | F.col(_CORRUPT).isNotNull()
        return rows.where(condition)
    except AnalysisException as err:
        nested = "; of a key within another write get_json_object(meta, '$.label')" if VARIANT in "".join(rows.columns) else ""
        raise DataError(f"{field}.where: {source.where!r} is not a condition on the source's columns ({fault_line(err)}){nested}") from err
