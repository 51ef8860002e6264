"""What a corpus may be like before anything is paid for."""

from pydantic import Field

from synalign_spark.config.section import Positive, Section, Share


class ProfileConfig(Section):
    """Shares above which `run`, `plan` and `profile` stop, with the fix, before anything is paid; 1 never stops. None of them shapes a table."""

    rows_looked_at: Positive = Field(2_000, description="Rows, by the hash of their text, whose language and tokens are looked at.")
    max_unusable: Share = Field(
        0.2,
        description="Of the rows read, those rejected as malformed, bad_encoding, wrong_type, bad_weight, null_text, empty or null_label.",
    )
    max_conflicts: Share = Field(
        0.1, description="Of the rows read, those rejected as label_conflict: their text is another class elsewhere."
    )
    max_near_labels: Share = Field(
        0.05, description="Of the accepted rows, those whose label differs by capitals or punctuation alone from one that has more rows."
    )
    max_other_language: Share = Field(
        0.5, description="Of the rows looked at, those in another language than generate.language; not asked where the rows are imported."
    )
    max_unknown_tokens: Share = Field(0.2, description="Of the tokens, those that the embedder has no piece of a word for.")
    max_spelled_out: Share = Field(
        0.5, description="Of the texts, those that the embedder takes letter by letter: it has no words of their language."
    )
    max_identical: Share = Field(0.2, description="Of the texts, those that are the same to the embedder as another text.")
    max_cut: Share = Field(1.0, description="Of the texts, those longer than the embedder reads (embed.max_tokens).")
