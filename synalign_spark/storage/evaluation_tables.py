"""The table contracts of the evaluation: how good the rows are, and which of them are nearest a real one."""

from synalign_spark.storage.contracts import DOC_ID, Column, Table

EVALUATION = Table(
    "evaluation", "evaluate", "Figures of the synthetic rows, and of real rows in their place, each with an interval.", ("figure", "kind"),
    (
        Column("figure_group", "string", "fidelity, diversity, copying or utility"),
        Column("figure", "string", "what is measured, of models with a dot and what they see (accuracy.words)"),
        Column("kind", "string", "'uniform': synthetic rows, each counted once; 'weighted': by their weights; 'real': real rows in their place"),
        Column("value", "double", "the figure"),
        Column("low", "double", "lower end of its 95% interval", nullable=True),
        Column("high", "double", "upper end", nullable=True),
        Column("unit", "string", "share, words, rows, cosine, mmd2, or 1 for none"),
        Column("better", "string", "'higher', 'lower', or 'real' for the nearer to that of real rows"),
        Column("meaning", "string", "the figure in words"),
    ),
)  # fmt: skip

NEAREST_PAIRS = Table(
    "nearest_pairs", "evaluate", "The synthetic rows nearest a real one, candidates for copies, the nearest first.", ("rank",),
    (
        Column("rank", "int", "from 0"),
        DOC_ID,
        Column("real_doc_id", "string", "the real row nearest to it by cosine"),
        Column("cosine", "double", "of their embeddings"),
        Column("overlap", "double", "largest share of the row's runs of words that stand in one real text"),
    ),
)  # fmt: skip
