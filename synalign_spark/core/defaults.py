"""Every statistical constant of selection and alignment, and where it comes from. Configuration texts and documents read them from here.

"Seven tasks" are AG News with rows of Llama-3.1-8B, IMDb with rows of three models, and SST-2 with CTRL (three seeds), GPT-3.5 and a mixture
of both; "unseen real rows" are labelled training rows that a run did not take (``tests/bench/downstream.py --develop``), never test rows.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class FewRowsRule:
    """How strongly to align where real rows are too few to validate by. confidence: a, exponent of p(label | row); ess_floor: on the
    effective sample size, as a share of the rows; density_ratio: b, exponent of the words' density ratio."""

    confidence: float
    ess_floor: float
    density_ratio: float


# Clusters and demonstrations, where the configuration says auto
FEWEST_CLUSTERS, MOST_CLUSTERS = 8, 1_000  # sqrt(rows) between them; a million rows have the most
ROWS_A_SET = 10  # candidate rows of a demonstration set: more of them repeat each other (Ren et al. 2025 ask for ten)
SETS_MARGIN = 2.0  # of the sets that would do if every row were accepted: small models lose half; a set that is not needed costs nothing
MOST_SETS = 10_000  # demonstration sets over all labels, with their texts on the driver: a target of 50,000 to 100,000 rows
SPARSE_PICKS = 64  # of a label by the queue, which is the quicker one for few picks
MOST_DENSE_CLUSTERS = 3_000  # whose covariances are held, in 72 MB; a label with more of them has one set a cluster at most

# Base measure and strength
STANDARD_RULE = FewRowsRule(1.5, 0.4, 1.0)  # on unseen real rows of seven tasks with 300 real rows
MILD_RULE = FewRowsRule(
    0.75, 0.6, 1.0
)  # where synthetic rows teach better: on unseen real rows of twelve tasks with 100 to 1,000 real rows
NO_RULE = FewRowsRule(0.0, 0.1, 0.0)  # where nothing else is known: the floor keeps the draws from a tenth of the rows alone
CLEARLY_BETTER_ERRORS = (
    2.0  # standard errors by which synthetic rows must teach better; over the twelve tasks the mild rule then cost nothing
)
CONFIDENCE_EXPONENTS = (0.0, 1.0, 3.0)  # candidates where classifiers choose, the mildest first
DENSITY_RATIO_EXPONENTS = (0.0, 1.0)  # 1.5 was as good as 1, 2 and 3 worse, on unseen real rows
CANDIDATE_LAMBDAS = (float("inf"), *(4.0**-k for k in range(1, 8)))  # fewer where the effective sample size is lost before the last
DENSITY_RATIO_ROWS = 750.0  # rows that each side counts as in the classifier of words: with few real ones more would learn them by heart
LARGEST_LOG_RATIO = 10.0  # a weight of 22,000 times another: beyond it a ratio is an artefact of separable words
SMALLEST_PROBABILITY = 1e-6  # a row whose label a classifier rules out keeps this much, so that no label can lose all its rows

# Cross-validation on halves of the real rows
CROSS_VALIDATION_ROWS = 2_000  # real rows from which classifiers choose: with 1,000 a half an accuracy has an error of 1.5 points
VALIDATION_ROWS = 4_000  # real rows of a half on the driver: an error of 0.7 points, in seconds
RARE_VALIDATION_ROWS = 500  # of a label, where it has so many
FEWEST_VALIDATION_ROWS = 20  # of a label in each half; a label with fewer takes no part in the choice
DRAWN_ROWS = 5_000  # synthetic rows drawn for a candidate, as in the benchmark
FINALISTS = 4  # harmless candidates that are also trained with sample weights, which takes longer
SMALLEST_ESS_SHARE = 0.03  # of a label's rows: below it the classifiers see too few rows to be worth a trial
NEGLIGIBLE_ERRORS = 0.5  # standard errors of an accuracy that count as no difference
TEACHER_FOLDS = 5  # cross-fitting folds of the comparison of teachers: scikit-learn's usual number

# Mixing real and synthetic rows
MIXING_WEIGHT = 1_500.0  # real rows that the synthetic ones count as where nothing validates it: unseen real rows of seven tasks
MIXING_WEIGHTS = (0.0, 500.0, MIXING_WEIGHT, 5_000.0)  # candidates: on the seven tasks the best lay between 500 and 2,000

# The path of lambda
PLAIN_LAMBDA = 1e-6  # MMD^2 is then within 2e-6 * log(rows) of the smallest that weights can reach
SMALLEST_LAMBDA = {"mmd_rule": 2.0**-20, "ess_rule": 2.0**-6}  # few real rows: closer than that is their noise (unseen rows, GPT-3.5)
PATH_STEP = {"mmd_rule": 1.0, "ess_rule": 0.5}  # of log2(lambda); halving lambda can take a third of the effective sample size at once
LABEL_FLOOR = {"mmd_rule": 1.0, "ess_rule": 0.5}  # of the floor, for a single label; by ess_rule the labels keep the floor together
WORSE_POINTS = 3  # the path ends after so many points that are worse than the best

# Real rows
HOLDOUT, MOST_HOLDOUT = 0.2, 0.5  # share held out: a fifth, as is usual, is 60 rows of 300, whose accuracy has an error of 6 points
FEWEST_REAL_ROWS = 20  # a label with fewer keeps its base weights under a rule that validates, and is not split under any
FEWEST_SPLIT_ROWS = 3  # the same where a split got fewer: its variance is not known
BANDWIDTH_ROWS = 1_000  # half a million pairs, in 8 MB

# Rows that must not gain weight: AG News (Llama-3.1-8B) and SST-2 (CTRL), 300 and 1,500 real rows, with junk and copies mixed in
REFERENCE_ROWS, MOST_REFERENCE_ROWS = 2_000, 20_000  # real rows that rows are compared with, of a label and in all: 30 MB of 384 floats
FEWEST_REFERENCE_ROWS = 50  # for the quantiles below
FAR_QUANTILE = (
    0.95  # of the distance of a real row to the nearest other: 15 of 21 junk rows are farther, and 3 to 9 % of the synthetic ones
)
COPY_QUANTILE, COPY_COSINE = (
    0.01,
    0.9,
)  # real rows with a word or two appended had cosines of 0.98 to 0.999, other rows below 0.8 but for few
UNKNOWN_WORDS_QUANTILE = 0.01  # of the share of a real row's words that another has: names and formulas near other rows have none
MOST_KNOWN_WORDS = 0.5  # that this quantile asks for: with 1,200 rows of AG News it would be two thirds, and 2 % of good rows have less
MOST_OUTLIERS = (
    0.5  # of a label's rows: what most rows are is no exception, and capping all would undo the weights (rows of another language)
)
MOST_GROWTH = 2.0  # factor by which other rows may grow in their place: where most rows are unusual, the rest must not take all the weight

# The solver's sample of the synthetic rows
SAMPLE_SHARE = 0.1  # of many rows, so that a pass over the sample costs little beside one over all
SAMPLE_LIMIT = 5  # times align.warm_start_rows; so many rows are all taken: at small lambda a sample of few rows misleads
FEWEST_SAMPLE_ROWS = 1_000  # of each label

# The certificate
TEST_LEVEL = 0.05
FEWEST_TEST_ROWS = 5  # a side; a test on fewer says nothing
FEWEST_HALF_ROWS = 3  # of a half that the floor compares: without one of them two are left, and no pair otherwise
LARGEST_ROW_SHARE = 0.5  # of its weight that one row may have where a distance is measured: beyond it there are no two rows to compare
INTERVAL_ERRORS = 1.959964  # standard errors on each side of a 95% interval
POWER_ERRORS = 0.841621  # standard errors above the critical value, of a difference that is found with a power of 80%
FEWEST_WHOLE_ROWS = 25  # of a label in the check over all rows, where it has so many: its weight is its share, however many they are
MOST_CERTIFICATE_ROWS = 20_000  # a side, over all labels, on the driver: 24 labels of as many rows as it allows take 8 CPU seconds
PERMUTATIONS_A_TEST = 40  # times the number of tests that Holm's correction looks at: the smallest p-value is half of what it asks for
OPTIMISM_ROWS = 500  # that the correction for fitted weights looks at: 0.02 s a label
SAME_VECTOR = 1e-3  # a distance below it, relative to the norm, is none: real sentences are 0.3 apart or more, equal ones 1e-6
