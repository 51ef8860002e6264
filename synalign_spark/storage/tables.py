"""The table contracts: what each stage writes and the next one may rely on.

A contract lists the columns without ``run_id``: the lake adds that column when it writes and filters
on it when it reads, so no stage ever handles it. Types are Spark DDL. This module imports nothing
but the other contracts, so every layer may use it. Those of the alignment are in :mod:`synalign_spark.storage.alignment_tables`.
"""

from synalign_spark.storage.alignment_tables import CERTIFICATE as CERTIFICATE
from synalign_spark.storage.alignment_tables import SOLVER_TRACE as SOLVER_TRACE
from synalign_spark.storage.alignment_tables import WEIGHTS as WEIGHTS
from synalign_spark.storage.alignment_tables import WITNESS as WITNESS
from synalign_spark.storage.contracts import DOC_ID as DOC_ID
from synalign_spark.storage.contracts import LABEL as LABEL
from synalign_spark.storage.contracts import Column as Column
from synalign_spark.storage.contracts import Table as Table
from synalign_spark.storage.dedup_tables import DUPLICATES as DUPLICATES
from synalign_spark.storage.evaluation_tables import EVALUATION as EVALUATION
from synalign_spark.storage.evaluation_tables import NEAREST_PAIRS as NEAREST_PAIRS
from synalign_spark.storage.loop_tables import ROUNDS as ROUNDS

REQUEST_ID = Column("request_id", "string", "hash of everything that defines the call: prompt, model, sampling, sample number")

CORPUS = Table(
    "corpus", "ingest", "Accepted real rows, one per distinct text.", ("doc_id",),
    (
        DOC_ID,
        Column("text", "string", "normalised text (Unicode NFC, collapsed white space), or as it came (ingest.whitespace: keep)"),
        LABEL,
        Column("source_id", "string", "the row's id in the source, where the user named an id column", nullable=True),
        Column("n_chars", "int", "length of text in characters"),
        Column("prior_weight", "double", "weight of the row in the distribution to match; null counts as 1", nullable=True),
    ),
)  # fmt: skip

REJECTS = Table(
    "rejects", "ingest", "Source rows that were not accepted, each with a reason.", (),
    (
        Column("origin", "string", "'real' or 'synthetic' (an imported synthetic set)"),
        Column("reason", "string", "malformed, bad_encoding, wrong_type, bad_weight, null_text, empty, too_short, too_long, null_label, unknown_label, duplicate, label_conflict"),
        Column("detail", "string", "what exactly was wrong", nullable=True),
        Column("raw", "string", "the first 1,000 characters of the source row", nullable=True),
        LABEL,
        Column("source_id", "string", "the row's id in the source", nullable=True),
        Column("source_file", "string", "file that the row came from", nullable=True),
    ),
    scope=("origin",),
)  # fmt: skip

EMBEDDINGS = Table(
    "embeddings", "embed", "One unit vector per distinct text, real and synthetic.", ("origin", "doc_id"),
    (
        Column("origin", "string", "'real' or 'synthetic'"),
        DOC_ID,
        LABEL,
        Column("model", "string", "embedder name"),
        Column("revision", "string", "hash of the embedder's weights or the configured revision"),
        Column("embedding", "array<float>", "the vector, all of one width, finite"),
    ),
    scope=("origin",),
)  # fmt: skip

CENTROIDS = Table(
    "centroids", "cluster", "The k-means centroids, and the rows that are not held out.", ("cluster_id",),
    (
        Column("cluster_id", "int", "0 .. k-1, by falling number of rows, ties by coordinates"),
        Column("centroid", "array<double>", "mean of the cluster's embeddings"),
        Column("n_rows", "bigint", "rows assigned to it, those held out left aside, as in the columns below"),
        Column("share", "double", "share of the corpus assigned to it"),
        Column("label_counts", "map<string,bigint>", "rows per label; empty without labels"),
        Column("inertia", "double", "sum of squared distances of its rows"),
    ),
)  # fmt: skip

CLUSTERS = Table(
    "clusters", "cluster", "The cluster of each real row.", ("doc_id",),
    (
        DOC_ID,
        LABEL,
        Column("cluster_id", "int", "nearest centroid, ties to the smaller id"),
        Column("sq_distance", "double", "squared Euclidean distance to it"),
    ),
)  # fmt: skip

DEMONSTRATIONS = Table(
    "demonstrations", "select", "The real rows that are shown to the language model.",
    ("round", "label", "set_rank", "rank_in_set"),
    (
        Column("round", "int", "generation round, from 0"),
        LABEL,
        Column("set_rank", "int", "order of the demonstration set within its label, from 0"),
        Column("cluster_id", "int", "picked cluster"),
        Column("rank_in_set", "int", "order within the demonstration set, from 0"),
        DOC_ID,
        Column("text", "string", "text of the real row"),
        Column("posterior_sd", "double", "GP posterior standard deviation at the centroid when it was picked"),
        Column("words_p10", "int", "10th percentile of the words (parted by white space) of the label's rows in the cluster", nullable=True),
        Column("words_p90", "int", "90th percentile of them", nullable=True),
        Column("chars_p10", "int", "10th percentile of their characters", nullable=True),
        Column("chars_p90", "int", "90th percentile of their characters", nullable=True),
    ),
)  # fmt: skip

SELECTION_TRACE = Table(
    "selection_trace", "select", "How the uncertainty fell with each demonstration set.", ("round", "label", "set_rank"),
    (
        Column("round", "int", "generation round, from 0"),
        LABEL,
        Column("set_rank", "int", "order of the demonstration set within its label, from 0"),
        Column("cluster_id", "int", "picked cluster"),
        Column("posterior_sd", "double", "GP posterior standard deviation before the demonstration set"),
        Column("cluster_share", "double", "share of the label's rows in the cluster"),
        Column("acquisition", "double", "posterior_sd * cluster_share^alpha, the value that won"),
        Column("mean_sd_after", "double", "mean by cluster share of the posterior standard deviation after the demonstration set"),
        Column("coverage_after", "double", "share of the label's rows in clusters whose posterior sd is below select.reach_sd"),
    ),
)  # fmt: skip

ATTRIBUTES = Table(
    "attributes", "generate", "Stage 1: the latent attributes of one demonstration set.", ("attribute_set_id",),
    (
        Column("attribute_set_id", "string", "hash of request_id and the parsed attributes"),
        REQUEST_ID,
        LABEL,
        Column("round", "int", "generation round"),
        Column("set_rank", "int", "rank of the demonstration set; -1 where the strategy uses none"),
        Column("cluster_id", "int", "its cluster; -1 where the strategy uses none"),
        Column("demo_ids", "array<string>", "doc_id of the demonstrations in the prompt"),
        Column("attributes", "map<string,string>", "attribute name to value"),
    ),
)  # fmt: skip

SYNTHETIC = Table(
    "synthetic", "generate", "Accepted synthetic rows, one per distinct text.", ("doc_id",),
    (
        DOC_ID,
        Column("text", "string", "normalised text"),
        LABEL,
        Column("strategy", "string", "synalign, fewshot, simprompt, attrprompt or imported"),
        Column("model", "string", "language model that wrote it; 'unknown' for an imported set"),
        Column("request_id", "string", "call that returned it", nullable=True),
        Column("row_index", "int", "its place in the answer", nullable=True),
        Column("attribute_set_id", "string", "attribute set that it was written from", nullable=True),
        Column("round", "int", "round of the demonstration set behind the attribute set", nullable=True),
        Column("set_rank", "int", "its order within the round and the label", nullable=True),
        Column("cluster_id", "int", "cluster behind the attribute set", nullable=True),
        Column("prior_weight", "double", "prior weight of an imported row; null counts as 1", nullable=True),
        Column("fields", "map<string,string>", "the parts that text is made of, by name; null without generate.fields", nullable=True),
    ),
)  # fmt: skip

REFUSALS = Table(
    "refusals", "generate", "Rows that the language model wrote and that were not accepted.", ("request_id", "row_index"),
    (
        REQUEST_ID,
        Column("row_index", "int", "place in the answer; -1 where the whole answer was refused"),
        LABEL,
        Column("text", "string", "what was written", nullable=True),
        Column(
            "reason",
            "string",
            "empty, too_short, too_long, duplicate; a gate: form, meta, pii, length, language, copied, near_duplicate, label_agreement; "
            "surplus (its label is full); unparsable (no text, or a field is lacking); of the whole answer: truncated, unparsable, content_filter, meta (it refuses in words)",
        ),
        Column("detail", "string", "what exactly was wrong", nullable=True),
    ),
)  # fmt: skip

CALLS = Table(
    "calls", "generate", "Every request to the language model, whatever became of it.", ("request_id",),
    (
        REQUEST_ID,
        Column("step", "string", "'attributes' or 'rows'"),
        Column("reask_of", "string", "the request whose answer was of no use, where this one asks again", nullable=True),
        LABEL,
        Column("prompt_hash", "string", "sha256 of the prompt, which stands in prompts"),
        Column("model", "string", "model name in the request"),
        Column("endpoint", "string", "its address without user, password and query, or 'embedded'; null for answers of earlier releases", nullable=True),
        Column("dialect", "string", "json_schema, json_object, tool, text or completion"),
        Column("status", "string", "ok, refused, truncated, unparsable, rate_limited, overloaded, server_error, timeout, bad_request, prompt_too_long"),
        Column("attempts", "int", "HTTP requests made for it"),
        Column("prompt_tokens", "bigint", "of all attempts, as the server reports or estimated", nullable=True),
        Column("completion_tokens", "bigint", "of all attempts, as the server reports or estimated", nullable=True),
        Column("tokens_estimated", "boolean", "whether the server did not report the tokens of every attempt: some are estimates on the high side"),
        Column("cost_usd", "double", "by the configured prices; null without prices", nullable=True),
        Column("latency_s", "double", "seconds of the attempt that ended it", nullable=True),
        Column("finish_reason", "string", "as the server reports", nullable=True),
        Column("answer", "string", "the raw answer", nullable=True),
        Column("error", "string", "the last error, secrets removed", nullable=True),
        Column("finished_at", "timestamp", "when the answer was stored", nullable=True),
    ),
)  # fmt: skip

PROMPTS = Table(
    "prompts", "generate", "The words of every call, once however often they were sent.", ("prompt_hash",),
    (
        Column("prompt_hash", "string", "sha256 of the prompt: of all the other columns"),
        Column("step", "string", "'attributes' or 'rows'"),
        Column("messages", "array<map<string,string>>", "role and content of each message of a chat; empty for a completion"),
        Column("text", "string", "what a completion continues; null for a chat", nullable=True),
        Column("stop", "array<string>", "where a completion ends"),
        Column("schema", "string", "JSON schema of the answer; {} for a continuation in the form of the text"),
    ),
)  # fmt: skip

AUGMENTED = Table(
    "augmented", "resample", "Real rows and drawn synthetic rows, ready to train on.", ("row_id",),
    (
        Column("row_id", "string", "hash of origin, doc_id and draw"),
        Column("origin", "string", "'real' or 'synthetic'"),
        DOC_ID,
        Column("draw", "int", "number of the copy, from 0; a row drawn twice has draws 0 and 1"),
        Column("text", "string", "the text"),
        LABEL,
        Column("weight", "double", "sampling weight of a synthetic row within its label times its number of rows; 1 for a real row"),
        Column("sample_weight", "double", "weight of the row where a model is trained on this table, of mean 1 over the rows that are used (not used, and 0, are labels without a share and, with mixing weight 0, synthetic rows); every label has its real (or asked) share; see align.mixing_weight. Equal for the synthetic rows of a label, but under resample.method topn for those drawn for sure, which keep their own"),
        Column("fields", "map<string,string>", "the parts of a synthetic row, by name; null for a real row and without generate.fields", nullable=True),
    ),
)  # fmt: skip

METRICS = Table(
    "metrics", "report", "Every figure of the report, in long form.", ("name", "label"),
    (
        Column("name", "string", "what was measured"),
        LABEL,
        Column("value", "double", "the figure", nullable=True),
        Column("unit", "string", "rows, seconds, tokens, usd, share, ..."),
    ),
)  # fmt: skip

TABLES: tuple[Table, ...] = (
    CORPUS, REJECTS, EMBEDDINGS, CENTROIDS, CLUSTERS, DUPLICATES, DEMONSTRATIONS, SELECTION_TRACE, ATTRIBUTES, SYNTHETIC,
    REFUSALS, CALLS, PROMPTS, WEIGHTS, CERTIFICATE, SOLVER_TRACE, WITNESS, ROUNDS, AUGMENTED, EVALUATION, NEAREST_PAIRS, METRICS,
)  # fmt: skip
BY_NAME = {table.name: table for table in TABLES}
