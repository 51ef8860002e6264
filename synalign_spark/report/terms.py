"""What the terms of the report mean, for whoever meets them there first."""

TERMS = {
    "MMD²": "squared maximum mean discrepancy: how far two sets of texts are apart as distributions, by their embeddings; 0 where they are alike",
    "floor": "the same distance between two halves of the held-out real rows: what even real rows do not get below, but for chance",
    "closed": "share of the distance before weighting that the weights take away",
    "p-value": "how often a test would see so large a difference if weighted synthetic rows and real rows were of one distribution",
    "detectable": "the distance that the test finds in 80 of 100 cases: a smaller one may be there unseen",
    "effective rows": "how many rows of equal weight say as much: 1 / sum of squared weights",
    "held out": "real rows that shaped no weight, no cluster and no prompt, and were never shown to a language model",
    "λ": "lambda, how strongly the weights are held to where they began; smaller matches the real rows better, by fewer rows",
    "duality gap": "at most so far is the solver's answer from the best one",
    "label confidence": "how sure classifiers of the real rows are of a row's label; rows that they dispute weigh less",
    "density ratio": "how much likelier a row's words are among real rows than among synthetic ones",
    "mixing weight": "how many real rows all synthetic ones together count as, where both train a model",
    "witness": "positive where synthetic rows are missing, negative where there are too many",
    "demonstrations": "the real rows that a prompt showed to the language model",
}
