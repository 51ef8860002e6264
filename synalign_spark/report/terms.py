"""What the terms of the report mean, for whoever meets them there first; docs/guide/report.md has them too."""

TERMS = {
    "real rows": "the texts of the corpus that was given",
    "synthetic rows": "texts that a language model wrote, or that were brought in as such",
    "weight": "how often a synthetic row should be drawn for training; 1 × uniform is as often as every other",
    "signal": "“Use them” where models gained by the rows beyond chance, “Do not use them” where they lost or where no mixing weight above 0 was "
    "better than real rows alone, “With care” for all between",
    "points": "percentage points: from 70 % to 72 % are 2 points",
    "95% interval": "where the value lies in 95 of 100 such measurements; a gain whose interval holds 0 may be chance",
    "standard error": "how far the value would vary from sample to sample, as one standard deviation",
    "held out": "real rows that shaped no weight, no cluster and no prompt, and were never shown to a language model",
    "closed": "share of the distance before weighting that the weights take away",
    "MMD²": "squared maximum mean discrepancy: how far two sets of texts are apart as distributions, by their embeddings; 0 where they are alike",
    "floor": "the same distance between two halves of the held-out real rows: what even real rows do not get below, but for chance",
    "p-value": "how often a test would see so large a difference if weighted synthetic rows and real rows were of one distribution",
    "detectable": "the distance that the test finds in 80 of 100 cases: a smaller one may be there unseen",
    "effective rows": "how many rows of equal weight say as much: 1 / sum of squared weights",
    "λ": "lambda, how strongly the weights are held to where they began; smaller matches the real rows better, by fewer rows",
    "duality gap": "at most so far is the solver's answer from the best one",
    "label confidence": "how sure classifiers of the real rows are of a row's label; rows that they dispute weigh less",
    "density ratio": "how much likelier a row's words are among real rows than among synthetic ones",
    "mixing weight": "how many real rows all synthetic ones together count as, where both train a model",
    "downstream classifier": "a small model of the kind that you would train with the rows, here a logistic regression on embeddings",
    "principal components": "the directions in which the embeddings of the real rows differ most; the map shows two of some hundred dimensions",
    "cluster": "real rows that are near each other by their embeddings",
    "coverage": "share of the real rows in clusters that are near one from which rows were shown to the language model",
    "mean uncertainty": "how little the rows shown so far say about the others, 1 before the first, by a Gaussian process",
    "witness": "positive where synthetic rows are missing, negative where there are too many",
    "demonstrations": "the real rows that a prompt showed to the language model",
    "attributes": "what a prompt asked a row to be, such as topic and tone, stated from the demonstrations",
    "acceptance rate": "share of the rows written that passed all gates",
    "calls": "prompts that were answered by a language model; one that was tried again counts once",
}

# Why rows are refused, by the reason that the table ``refusals`` gives.
REFUSALS = {
    "empty": "empty",
    "too_short": "too short",
    "too_long": "too long",
    "duplicate": "said before, word for word",
    "form": "not in the form of a row",
    "meta": "about the task and no row",
    "pii": "personal data",
    "length": "of a length that real rows do not have",
    "language": "another language",
    "copied": "copied from a real row",
    "near_duplicate": "nearly said before",
    "label_agreement": "a classifier of the real rows takes it for another label",
    "surplus": "its label is full",
    "unparsable": "no text could be read from the answer",
    "truncated": "the answer was cut off",
    "content_filter": "withheld by the provider's filter",
}


def term_id(word: str) -> str:
    """The id of a term's explanation on a page. Raises ValueError for a word without one.

    >>> term_id("real rows")
    'term-0'
    """
    return f"term-{list(TERMS).index(word)}"
