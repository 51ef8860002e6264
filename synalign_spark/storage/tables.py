"""The table contracts: what each stage writes and the next one may rely on.

A contract lists the columns without ``run_id``: the lake adds that column when it writes and filters
on it when it reads, so no stage ever handles it. Types are Spark DDL. This module imports nothing
but :mod:`synalign_spark.storage.contracts`, so every layer may use it.
"""

from synalign_spark.storage.contracts import Column as Column
from synalign_spark.storage.contracts import Table as Table

DOC_ID = Column("doc_id", "string", "sha256 of the normalised text")
LABEL = Column("label", "string", "class of the row; null where the corpus has no labels", nullable=True)
REQUEST_ID = Column("request_id", "string", "hash of everything that defines the call: prompt, model, sampling, sample number")

CORPUS = Table(
    "corpus", "ingest", "Accepted real rows, one per distinct text.", ("doc_id",),
    (
        DOC_ID,
        Column("text", "string", "normalised text (Unicode NFC, collapsed white space)"),
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
        Column("reason", "string", "null_text, empty, too_short, too_long, bad_encoding, null_label, unknown_label, duplicate, malformed"),
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
            "surplus (its label is full); unparsable (no text, or a field is lacking); of the whole answer: truncated, unparsable, content_filter",
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

WEIGHTS = Table(
    "weights", "align", "One sampling weight per accepted synthetic row.", ("doc_id",),
    (
        DOC_ID,
        LABEL,
        Column("weight", "double", "sampling probability; all rows of the run sum to 1"),
        Column("weight_in_label", "double", "the same, summing to 1 within the label"),
        Column("base_weight", "double", "the weight that the row came with, summing to 1 within the label"),
        Column("label_confidence", "double", "p(label | row) by classifiers of real and synthetic rows; null where it is left out", nullable=True),
        Column("repaired_label", "string", "the label that these classifiers find likelier than the row's own; null where there is none. No weight follows from it", nullable=True),
        Column("log_density_ratio", "double", "log of p(words | real) / p(words | synthetic) within the label; null where words are left out", nullable=True),
        Column("log_embedding_ratio", "double", "the same ratio of embeddings; null where it is left out", nullable=True),
        Column("capped_by", "string", "why the row was kept from gaining weight: far_from_real, near_copy, unknown_words, density_ratio; null for the others", nullable=True),
    ),
)  # fmt: skip


def _distance(name: str, what: str) -> tuple[Column, ...]:
    """A squared MMD of the certificate, its standard error and its 95% interval."""
    return (
        Column(name, "double", f"squared MMD {what}", nullable=True),
        Column(f"{name}_error", "double", "its standard error, by the jackknife over rows", nullable=True),
        Column(f"{name}_low", "double", "lower end of its 95% interval, 0 at least", nullable=True),
        Column(f"{name}_high", "double", "upper end", nullable=True),
    )


def _test(place: str, what: str) -> tuple[Column, ...]:
    """A permutation test of the certificate."""
    return (
        Column(f"p_value_{place}", "double", f"permutation test, {what}, each row once at most, against held-out real rows", nullable=True),
        Column(f"p_value_error_{place}", "double", "its Monte Carlo standard error", nullable=True),
        Column(f"p_adjusted_{place}", "double", "the p-value by Holm's correction over the labels", nullable=True),
        Column(f"detectable_mmd2_{place}", "double", "squared MMD that the test finds in 80 of 100 cases at the 5% level", nullable=True),
        Column(f"n_tested_{place}", "bigint", "synthetic rows in the test", nullable=True),
        Column(f"n_tested_real_{place}", "bigint", "held-out real rows in it", nullable=True),
    )


CERTIFICATE = Table(
    "certificate", "align", "What the weights achieve, per label and as a whole (label null).", ("label",),
    (
        LABEL,
        Column("n_synthetic", "bigint", "synthetic rows"),
        Column("n_real_fit", "bigint", "real rows that shaped the weights"),
        Column("n_real_holdout", "bigint", "real rows held out, which shaped no weight"),
        Column("rule", "string", "how lambda was chosen: ess_rule, mmd_rule, fixed, plain, uniform"),
        Column("lambda", "double", "regularisation strength; infinity keeps the base measure"),
        Column("label_confidence_exponent", "double", "a: the base measure is the rows' own weight times p(label | row)^a; a mean over its components"),
        Column("density_ratio_exponent", "double", "b: and times the density ratio of words, (p(words | real) / p(words | synthetic))^b; a mean"),
        Column("embedding_ratio_exponent", "double", "c: and times that of embeddings to the power of c; a mean over components"),
        Column("mixing_weight", "double", "real rows that all synthetic ones count as beside real ones"),
        Column("bandwidths", "array<double>", "RBF bandwidths of the features"),
        Column("n_features", "int", "D, width of the feature map"),
        *_distance("mmd2_before", "of the synthetic rows, weighted as they came, to held-out real rows: unbiased U-statistic, same label shares on both sides"),
        *_distance("mmd2_after", "the same of the rows by weight; corrected for weights that were fitted on these rows"),
        *_distance("mmd2_floor", "the same between two halves of the held-out real rows: 0 on average"),
        Column("closed_share", "double", "1 - mmd2_after / mmd2_before, 1 at most; null where mmd2_before cannot be told from 0", nullable=True),
        Column("closed_share_low", "double", "lower end of its 95% interval (Fieller)", nullable=True),
        Column("closed_share_high", "double", "upper end", nullable=True),
        Column("n_compared", "bigint", "synthetic rows behind these distances", nullable=True),
        Column("n_compared_real", "bigint", "held-out real rows behind them", nullable=True),
        *_test("before", "rows drawn as they came"),
        *_test("after", "rows drawn by weight"),
        Column("n_permutations", "int", "permutations behind each p-value", nullable=True),
        Column("gain", "double", "accuracy of models trained beside all real rows minus that on these alone: gain_measured, brought to their number; null where none was trained, and of a label", nullable=True),
        Column("gain_error", "double", "its standard error over the rows that judged", nullable=True),
        Column("gain_measured", "double", "the same by nested cross-validation, where models saw gain_measured_rows real rows", nullable=True),
        Column("gain_measured_rows", "bigint", "real rows behind each model", nullable=True),
        Column("mmd2_fit_before", "double", "the solver's own figure: plug-in MMD^2 to the rows that shaped the weights, random features, weights as they came"),
        Column("mmd2_fit_after", "double", "the same, weighted; both have in them that a few rows are no distribution"),
        Column("dual_value", "double", "dual objective at the solution"),
        Column("duality_gap", "double", "||gradient||^2 / (2 lambda), absolute"),
        Column("relative_gap", "double", "duality gap over max(|dual value|, tiny)"),
        Column("ess", "double", "effective sample size 1 / sum w^2, in rows"),
        Column("max_weight", "double", "largest weight within the label"),
        Column("passes", "int", "full passes over the synthetic rows"),
        Column("sample_passes", "int", "passes over the solver's sample of them"),
        Column("seconds", "double", "wall time of the solve"),
        Column("verdict", "string", "the certificate in words"),
    ),
)  # fmt: skip

SOLVER_TRACE = Table(
    "solver_trace", "align", "What was tried: the lambda path of each label, and mixing weights by cross-validation (kind 'mixing_weight', no label).",
    ("kind", "label", "step"),
    (
        Column("kind", "string", "'path', or 'mixing_weight' (classifiers trained on real and weighted synthetic rows)"),
        LABEL,
        Column("step", "int", "order, from 0"),
        Column("lambda", "double", "regularisation strength"),
        Column("label_confidence_exponent", "double", "a of the base measure"),
        Column("density_ratio_exponent", "double", "b of the base measure"),
        Column("embedding_ratio_exponent", "double", "c of the base measure"),
        Column("mixing_weight", "double", "real rows that the synthetic ones counted as, for 'mixing_weight'", nullable=True),
        Column("dual_value", "double", "dual objective", nullable=True),
        Column("duality_gap", "double", "absolute duality gap", nullable=True),
        Column("mmd2_fit", "double", "MMD^2 to the rows that shaped the weights", nullable=True),
        Column("mmd2_validation", "double", "MMD^2 to rows that did not", nullable=True),
        Column("score", "double", "what the rule minimises: MMD^2 plus variance, or the log-loss of the classifiers", nullable=True),
        Column("accuracy", "double", "of the classifiers on real rows that shaped and trained nothing", nullable=True),
        Column("ess", "double", "effective sample size in rows", nullable=True),
        Column("passes", "int", "passes over the sample spent on this point"),
        Column("chosen", "boolean", "true for the point that was taken"),
    ),
)  # fmt: skip

WITNESS = Table(
    "witness", "align", "Where real rows are still under-represented: one row a label and cluster.", ("label", "cluster_id"),
    (
        LABEL,
        Column("cluster_id", "int", "cluster of the corpus that holds real rows of the label"),
        Column("real_rows", "bigint", "real rows of the label in it"),
        Column("real_share", "double", "share of the label's real rows in it"),
        Column("synthetic_rows", "bigint", "synthetic rows of the label whose nearest centroid it is"),
        Column("synthetic_share_before", "double", "share of the label's base weight on them"),
        Column("synthetic_share", "double", "share of the label's weight on them"),
        Column("missing_share", "double", "max(0, real_share - synthetic_share)"),
        Column("witness_mean_before", "double", "mean of the MMD witness over its real rows, base weights"),
        Column("witness_mean", "double", "the same, weighted; positive where real rows are under-represented"),
        Column("rank", "int", "1 is the largest witness_mean * real_share of the label"),
        Column("example_ids", "array<string>", "doc_id of the real rows with the largest witness, at most 3, largest first"),
        Column("examples", "array<string>", "their texts, the first 500 characters"),
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
        Column("sample_weight", "double", "weight of the row where a model is trained on this table, of mean 1; every label has its real (or asked) share; see align.mixing_weight"),
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
    CORPUS, REJECTS, EMBEDDINGS, CENTROIDS, CLUSTERS, DEMONSTRATIONS, SELECTION_TRACE, ATTRIBUTES, SYNTHETIC,
    REFUSALS, CALLS, PROMPTS, WEIGHTS, CERTIFICATE, SOLVER_TRACE, WITNESS, AUGMENTED, METRICS,
)  # fmt: skip
BY_NAME = {table.name: table for table in TABLES}
