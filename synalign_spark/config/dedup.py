"""Which rows count as copies of others or of evaluation sets, and what becomes of them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synalign_spark.config.section import Section
from synalign_spark.config.source import SourceConfig


class DedupConfig(Section):
    """Copies, near-copies and rows of evaluation sets: marked in the table `duplicates`, where that is asked for (`synalign dedup`) or
    evaluation_sets are named."""

    min_jaccard: Annotated[float, Field(ge=0.6, le=1.0)] = Field(
        0.8,
        description="Least Jaccard similarity of the runs of three words of two rows for 'lexical', and of a row and one of an evaluation set.",
    )
    min_cosine: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.95, description="Least cosine of the vectors of two rows of one cluster for 'semantic'; it depends on the embedder."
    )
    evaluation_sets: list[SourceConfig] = Field(
        default_factory=list,
        description="Rows that no model trained on the output may have seen, each with the keys of `source`: `[{path: test.jsonl, text_column: question}]`. "
        "Copies and lexical near-copies are marked 'contaminated'; run then does this unasked.",
    )
    drop: Literal["contaminated", "all", "none"] = Field(
        "contaminated",
        description="Which marked rows select does not show and resample leaves out of `augmented`; the other tables keep all.",
    )

    @model_validator(mode="after")
    def _sets_named(self) -> "DedupConfig":
        for i, one in enumerate(self.evaluation_sets):
            if not one.place:
                raise ValueError(f"evaluation_sets[{i}] names no rows: set its path, table, query or package")
            if one.embedding_column is not None:
                raise ValueError(
                    f"evaluation_sets[{i}].embedding_column is set, and evaluation rows are compared by their words; remove it"
                )
        return self
