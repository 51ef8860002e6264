"""The table contracts of the alignment: weights, what they achieve, and what is still missing."""

from synalign_spark.storage.contracts import DOC_ID, LABEL, Column, Table

WEIGHTS = Table(
    "weights", "align", "One sampling weight per accepted synthetic row.", ("doc_id",),
    (
        DOC_ID,
        LABEL,
        Column("weight", "double", "sampling probability; all rows of the run sum to 1"),
        Column("weight_in_label", "double", "the same, summing to 1 within the label"),
        Column("base_weight", "double", "the weight that the row came with, summing to 1 within the label"),
        Column("label_confidence", "double", "p(label | row) by classifiers of real and synthetic rows; null where it is left out", nullable=True),
        Column("repaired_label", "string", "the label that these classifiers find likelier than the row's own; null where there is none. Such a row gains no weight", nullable=True),
        Column("log_density_ratio", "double", "log of p(words | real) / p(words | synthetic) within the label; null where words are left out", nullable=True),
        Column("log_embedding_ratio", "double", "the same ratio of embeddings; null where it is left out", nullable=True),
        Column("capped_by", "string", "why the row was kept from gaining weight: far_from_real, near_copy, unknown_words, density_ratio, disputed_label; null for the others", nullable=True),
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
