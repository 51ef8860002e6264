"""The table contract of duplicates."""

from synalign_spark.storage.contracts import DOC_ID, Column, Table

DUPLICATES = Table(
    "duplicates", "dedup", "Rows that are copies of an earlier row or of a row of an evaluation set; the rows themselves stay where they are.",
    ("side", "doc_id", "kind"),
    (
        Column("side", "string", "'real' or 'synthetic'"),
        DOC_ID,
        Column("kind", "string", "'exact': the same normal form; 'lexical': runs of three words; 'semantic': the vectors; 'contaminated': an evaluation set"),
        Column("duplicate_of", "string", "doc_id of the most similar earlier row (real rows come first, then by doc_id; ties to the earliest); where contaminated, the sha256 of the evaluation row's normal form"),
        Column("similarity", "double", "1 where exact, the Jaccard similarity of the runs of three words, or of 'semantic' the cosine"),
        Column("evaluation_set", "string", "where contaminated, the path, table or package of the set", nullable=True),
        Column("dropped", "boolean", "whether select and resample leave the row out, by dedup.drop"),
    ),
    scope=("side",),
)  # fmt: skip
