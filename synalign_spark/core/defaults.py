"""Every statistical constant of selection and alignment, and where it comes from. Configuration texts and documents read them from here.

"Seven tasks" are AG News with rows of Llama-3.1-8B, IMDb with rows of three models, and SST-2 with CTRL (three seeds), GPT-3.5 and a mixture
of both; "unseen real rows" are labelled training rows that a run did not take (``tests/bench/downstream.py --develop``), never test rows.
"""

# Clusters and demonstrations, where the configuration says auto
FEWEST_CLUSTERS, MOST_CLUSTERS = 8, 1_000  # sqrt(rows) between them; a million rows have the most
ROWS_A_SET = 10  # candidate rows of a demonstration set: more of them repeat each other (Ren et al. 2025 ask for ten)
SETS_MARGIN = 2.0  # of the sets that would do if every row were accepted: small models lose half; a set that is not needed costs nothing
MOST_SETS = 10_000  # demonstration sets over all labels, with their texts on the driver: a target of 50,000 to 100,000 rows
MOST_FOLDED_CLUSTERS = 3_000  # whose covariances are held, in 72 MB; a label with more of them has one set a cluster at most

# Base measure and strength
CONFIDENCE_EXPONENT = 3.0  # a: beats 1.5 by 0.24 +- 0.10 points on unseen real rows of three tasks with 25 to 1,000 real rows
WORD_RATIO_EXPONENT = 1.0  # b: on unseen real rows of seven tasks with 300 real rows; 1.5 was as good, 2 and 3 worse
EMBEDDING_RATIO_EXPONENTS = (
    0.0,
    1.0,
)  # c, one component each: averaged 0.2 points better alone, as good beside real rows (docs/benchmarks.md)
ESS_FLOOR = 0.4  # of the rows, with labels, for components and what is matched on them: 0.3 costs accuracy, 0.5 gains 0.1 points and has 10 % more MMD^2
ENOUGH_ROWS = 4_000.0  # effective rows, with labels, that are always enough: they count as fewer real rows (USUAL_MIXING_WEIGHT), so more of them bring nothing; +0.9 points alone on unseen real rows of AG News, 0.0 beside real ones
UNLABELLED_ESS_FLOOR = 0.1  # where nothing else is known: it keeps the draws from a tenth of the rows alone
FEWEST_SHAPING_ROWS = 5  # real rows of a label that takes part; one with fewer keeps the weights that its rows came with
DENSITY_RATIO_ROWS = 750.0  # rows that each side counts as in a classifier of real against synthetic rows, at most
ROWS_A_REAL_ROW = 5.0  # of these for each real row: with few real ones more would learn them by heart
LARGEST_LOG_RATIO = 10.0  # a weight of 22,000 times another: beyond it a ratio is an artefact of separable words
SMALLEST_PROBABILITY = 1e-6  # a row whose label a classifier rules out keeps this much, so that no label can lose all its rows

SHAPING_ROWS = 10_000  # real rows on the driver that shape the base measure
RARE_SHAPING_ROWS = 500  # of a label, where it has so many

# Mixing real and synthetic rows
ONE_SOURCE_QUANTILE = 0.9  # a synthetic row nearer to a real one than so many real rows are to any other may have been written from it: it teaches no model that this row judges
USUAL_MIXING_WEIGHT = 1_000.0  # of 100 to 4,000 on unseen real rows of three tasks with 60 to 5,000 of them (docs/benchmarks.md): within 0.1 points of the best at every size, four students; as many as the real rows (300 to 4,000) is 0.4 +- 0.1 behind with 300
MIXING_FACTORS = (0.1, 1 / 3, 1.0)  # of the usual one: candidates beside none; more is what log-loss likes and accuracy does not
FEWEST_JUDGES = 10  # real rows; n of them keep no mixing weight above n^2 over this, nor fewer above n, unless they speak for it: on simulated rows and openings of IMDb reviews, labels clean and shuffled, the best was 100 to 333 for 20 to 60 rows, and 1,000 harmed 40 where 40 was too few (docs/benchmarks.md)
SAME_WEIGHTS = 0.2  # total variation within a label of the weights handed out from those that models judge; above it no gain is claimed. 0.00 to 0.03 where a solve ended
SAME_SHARES = 0.05  # total variation of asked label shares from the real rows', up to which models trained for these speak for those
CROSS_VALIDATION_ROWS = (2_000, 2_000)  # real and synthetic rows that choose the mixing weight: an error of 0.9 points, in seconds
FOLDS = 5  # scikit-learn's usual number
FEW_ROWS_REPEATED, MOST_REPEATS = 300, 3  # so many rows are to judge in all: folds are drawn again where there are fewer

# The path of lambda
PLAIN_LAMBDA = 1e-6  # MMD^2 is then within 2e-6 * log(rows) of the smallest that weights can reach
SMALLEST_LAMBDA = {"mmd_rule": 2.0**-20, "ess_rule": 2.0**-12}
NOISE_ROWS = (
    1.0  # by ess_rule lambda is this over the real rows of the label at least: closer is their noise (unseen rows, GPT-3.5, 64 a label)
)
PATH_STEP = {"mmd_rule": 1.0, "ess_rule": 0.5}  # of log2(lambda); halving lambda can take a third of the effective sample size at once
LABEL_FLOOR = {"mmd_rule": 1.0, "ess_rule": 0.5}  # of the floor, for a single label; by ess_rule the labels keep the floor together
WORSE_POINTS = 3  # the path ends after so many points that are worse than the best

# Real rows
HOLDOUT, MOST_HOLDOUT = 0.2, 0.5  # share held out: a fifth, as is usual, is 60 rows of 300, whose accuracy has an error of 6 points
FEWEST_REAL_ROWS = 20  # a label with fewer keeps its base weights under a rule that validates, and is not split under any
BANDWIDTH_ROWS = 1_000  # half a million pairs, in 8 MB
MOST_BANDWIDTH = 100.0  # median distances, and one over it the least: beyond, float32 tells no kernel value from 1, and from 0
LARGEST_DISTANCE = (
    1e6  # median of the real rows, and one over it the smallest: the classifiers of embeddings, too, take lengths as they are
)
SMALLEST_WEIGHT = 1e-300  # that the largest may have: below it a number loses digits

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
MOST_OUTLIERS = 0.5  # of a label's rows: what most rows are is no exception, and capping all would undo the weights (words of another language); rows far from real ones stay capped: of news among film reviews 71 % are, and gained up to 27 times their weight
MOST_GROWTH = 2.0  # factor by which other rows may grow in their place: where most rows are unusual, the rest must not take all the weight

# The solver's sample of the synthetic rows
SAMPLE_SHARE = 0.1  # of many rows, so that a pass over the sample costs little beside one over all
SAMPLE_LIMIT = 5  # times align.warm_start_rows; so many rows are all taken: at small lambda a sample of few rows misleads
FEWEST_SAMPLE_ROWS = 1_000  # of each label

# The certificate
TEST_LEVEL = 0.05
FEWEST_TEST_ROWS = 5  # a side; a test on fewer says nothing
FEWEST_HALF_ROWS = 3  # of a half that validates, or that the floor compares: without one of them two are left, and no pair otherwise
LARGEST_ROW_SHARE = 0.5  # of its weight that one row may have where a distance is measured: beyond it there are no two rows to compare
INTERVAL_ERRORS = 1.959964  # standard errors on each side of a 95% interval
POWER_ERRORS = 0.841621  # standard errors above the critical value, of a difference that is found with a power of 80%
FEWEST_WHOLE_ROWS = 25  # of a label in the check over all rows, where it has so many: its weight is its share, however many they are
MOST_CERTIFICATE_ROWS = 20_000  # a side, over all labels, on the driver: 24 labels of as many rows as it allows take 8 CPU seconds
FEWEST_PERMUTATIONS = (
    99  # the usual least (Davison & Hinkley 1997, section 4.2.5): p-values in steps of 1%; with fewer than 19 none is below 5%
)
PERMUTATIONS_A_TEST = 40  # times the number of tests that Holm's correction looks at: the smallest p-value is half of what it asks for
OPTIMISM_ROWS = 500  # that the correction for fitted weights looks at: 0.02 s a label
SAME_VECTOR = 1e-3  # a distance below it, relative to the norm, is none: real sentences are 0.3 apart or more, equal ones 1e-6

# The precision that the embedder takes of its own accord
PROBE_TEXTS = 32  # real rows, by hash: a forward pass, some seconds in fp32
PROBE_COSINE = 0.9999  # mean, with the vectors of fp32: bf16 with norms in float32 has 0.99998 for MiniLM
GIVEN_COSINE = (
    0.99  # mean, of vectors that a source brings with those of embed.model on as many rows: other embedders are near 0, precisions near 1
)
PROBE_GAIN = 1.2  # times the rows a second of fp32: less is within what a shared machine varies by
