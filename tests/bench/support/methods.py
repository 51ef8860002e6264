"""The methods that are compared: each gives every synthetic row a weight.

Every method says how much a row weighs against the other rows of its label, as a logarithm; ``weigh`` brings the rows of a label to the
label's share of the real rows. Sources: plain MMD by Adam is the method of SynAlign (Ren et al., WWW 2025, section 3.3) as one would
write it first; DSIR is Xie et al., "Data Selection for Language Models via Importance Resampling", NeurIPS 2023; IMP is Kuo et al., "Not
All LLM-Generated Data Are Equal: Rethinking Data Weighting in Text Classification", ICLR 2025.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from synalign_spark.core.features import draw_feature_map, median_distance
from tests.bench.support.corpora import Corpus

Float64Array = npt.NDArray[np.float64]

N_FEATURES, BANDWIDTH_SCALES, BANDWIDTH_ROWS = 2_048, (1.0, 0.5), 1_000  # as the product's defaults
ADAM_ESS_FLOOR = 0.4  # of the rows of a label, where it has one: as the product's with few real rows
ADAM_STEPS, ADAM_RATE = 400, 0.05  # enough to end where a rate of 0.2 ends; 0.01 stops on the way, which regularises by accident
BUCKETS = 10_000
CLIP_PERCENTILE = 99
WORD = re.compile(r"\w+|[^\w\s]+")  # as nltk's wordpunct_tokenize, which DSIR uses


@dataclass(frozen=True)
class Beside:
    """How real and synthetic rows count beside each other, in one unit. real: (n,) of each real row; synthetic: of all rows of a label."""

    real: Float64Array
    synthetic: Mapping[str, float]


@dataclass(frozen=True)
class Weighting:
    """weight: (n,), summing to 1; log_weight: (n,), on a scale of its own within each label; extra: what else a method has to say;
    beside: what the rows count beside real ones, None where the method does not say it."""

    weight: Float64Array
    log_weight: Float64Array
    without_replacement: bool = False
    extra: Any = None
    beside: Beside | None = None


def weigh(method: str, real: Corpus, synthetic: Corpus, seed: int) -> Weighting:
    """Weights by a method other than the product: within-label weights times the label shares of the real rows.

    A label without real rows has weight 0. Raises ValueError for a method that does not exist, and where no label has rows on both sides."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    log_weight = METHODS[method](real, synthetic, seed)
    return Weighting(normalised(log_weight, real.labels, synthetic.labels), log_weight, without_replacement=method == "dsir")


def normalised(log_weight: Float64Array, real_labels: npt.NDArray[np.str_], labels: npt.NDArray[np.str_]) -> Float64Array:
    """(n,) weights that sum to 1, each label to its share of the real rows. log_weight: (n,); labels: (n,) of the synthetic rows."""
    weight = np.zeros(len(labels))
    for label in np.intersect1d(real_labels, labels):
        of_label = labels == label
        weight[of_label] = _softmax(log_weight[of_label]) * (real_labels == label).mean()
    if not weight.any():
        raise ValueError(
            f"real and synthetic rows have no label in common: {sorted(set(real_labels))} and {sorted(set(labels))}; rename them"
        )
    return weight / weight.sum()


def _softmax(values: Float64Array) -> Float64Array:
    top = values.max()
    if not np.isfinite(top):
        return np.full(len(values), 1.0 / len(values))
    raised: Float64Array = np.exp(values - top)
    return raised / raised.sum()


def _groups(real: Corpus, synthetic: Corpus) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Masks of the real and of the synthetic rows of each label that both have."""
    for label in np.intersect1d(real.labels, synthetic.labels):
        yield real.labels == label, synthetic.labels == label


def uniform(real: Corpus, synthetic: Corpus, seed: int) -> Float64Array:
    """All rows of a label alike."""
    return np.zeros(len(synthetic))


def drop_disputed(real: Corpus, synthetic: Corpus, seed: int) -> Float64Array:
    """All rows of a label alike but those whose label a classifier of the real rows disputes, on embeddings: these are dropped.

    A label that would lose all its rows keeps them."""
    answer = _label_classifier(real)
    if answer is None:
        return uniform(real, synthetic, seed)
    with np.errstate(divide="ignore"):
        kept: Float64Array = np.log((answer.predict(synthetic.x) == synthetic.labels).astype(np.float64))
    return kept


def _label_classifier(rows: Corpus) -> LogisticRegression | None:
    """None where there is one label alone."""
    return LogisticRegression(max_iter=1_000).fit(rows.x, rows.labels) if len(set(rows.labels.tolist())) > 1 else None


def imp(real: Corpus, synthetic: Corpus, seed: int) -> Float64Array:
    """log p(label | row) of a classifier of the real rows less that of one of the synthetic rows (Kuo et al. 2025, equation 5), on embeddings,
    clipped at the 99th percentile within each label as a density ratio is."""
    models = [_label_classifier(rows) for rows in (real, synthetic)]
    if None in models:
        return uniform(real, synthetic, seed)
    quality, diversity = (_log_probability(model, synthetic) for model in models)
    score = quality - diversity
    for _, in_synthetic in _groups(real, synthetic):
        score[in_synthetic] = np.minimum(score[in_synthetic], np.percentile(score[in_synthetic], CLIP_PERCENTILE))
    return score


def _log_probability(model: Any, rows: Corpus) -> Float64Array:
    """(n,) log p of the label that each row has; that of the likeliest label where the classifier never saw its own."""
    log_p = model.predict_log_proba(rows.x)  # (n, C)
    place: dict[str, int] = {label: i for i, label in enumerate(model.classes_)}
    column = np.array([place.get(label, -1) for label in rows.labels.tolist()])
    found: Float64Array = np.where(column < 0, log_p.max(axis=1), log_p[np.arange(len(log_p)), np.maximum(column, 0)])
    return found


def adam(real: Corpus, synthetic: Corpus, seed: int, ess_floor: float = 0.0) -> Float64Array:
    """Plain MMD per label: Adam on softmax logits until the weighted mean feature is that of the real rows. All of them shape the weights.

    ess_floor: stops a label before its effective sample size falls below this share of its rows."""
    rng = np.random.default_rng([seed, 0xADA])
    sample = rng.permutation(len(real))[:BANDWIDTH_ROWS]
    median = median_distance(real.x[sample])
    features = draw_feature_map(real.x.shape[1], N_FEATURES, [median * scale for scale in BANDWIDTH_SCALES], seed)
    logits = np.zeros(len(synthetic))
    for in_real, in_synthetic in _groups(real, synthetic):
        mu = features(real.x[in_real]).mean(axis=0, dtype=np.float64)
        logits[in_synthetic] = _adam_logits(features(synthetic.x[in_synthetic]), mu, ess_floor * in_synthetic.sum())
    return logits


def adam_with_floor(real: Corpus, synthetic: Corpus, seed: int) -> Float64Array:
    """``adam``, stopped at ADAM_ESS_FLOOR."""
    return adam(real, synthetic, seed, ADAM_ESS_FLOOR)


def _adam_logits(phi: npt.NDArray[np.float32], mu: Float64Array, smallest_ess: float) -> Float64Array:
    """(n,) logits whose softmax w makes || w phi - mu ||^2 small, the last with 1 / sum w^2 >= smallest_ess. phi: (n, D); mu: (D,)."""
    import torch

    torch.set_num_threads(1)  # a product of a vector and a matrix waits for memory, and threads wait for each other
    rows, target = torch.from_numpy(phi), torch.from_numpy(mu.astype(np.float32))
    logits = torch.zeros(len(phi), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=ADAM_RATE)
    for _ in range(ADAM_STEPS):
        before = logits.detach().clone()
        optimiser.zero_grad()
        loss = ((torch.softmax(logits, dim=0) @ rows - target) ** 2).sum()
        loss.backward()
        optimiser.step()
        if 1.0 / float((torch.softmax(logits.detach(), dim=0) ** 2).sum()) < smallest_ess:
            return before.numpy().astype(np.float64)
    return logits.detach().numpy().astype(np.float64)


def dsir(real: Corpus, synthetic: Corpus, seed: int) -> Float64Array:
    """Per label, log p(row) - log q(row) of two bag models over hashed words and pairs of words, add-one smoothed (Xie et al. 2023)."""
    counted = HashingVectorizer(
        n_features=BUCKETS, ngram_range=(1, 2), alternate_sign=False, norm=None, tokenizer=WORD.findall, token_pattern=None
    )
    counts_real, counts_synthetic = counted.transform(real.texts), counted.transform(synthetic.texts)  # (n, BUCKETS)
    score = np.zeros(len(synthetic))
    for in_real, in_synthetic in _groups(real, synthetic):
        score[in_synthetic] = counts_synthetic[in_synthetic] @ (
            _log_model(counts_real[in_real]) - _log_model(counts_synthetic[in_synthetic])
        )
    return score


def _log_model(counts: Any) -> Float64Array:
    """(BUCKETS,) log probabilities of a bag model. counts: (n, BUCKETS)."""
    total = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() + 1.0
    log_p: Float64Array = np.log(total / total.sum())
    return log_p


def density_ratio(real: Corpus, synthetic: Corpus, seed: int) -> Float64Array:
    """Per label, log p / (1 - p) of a classifier of real against synthetic rows on embeddings, clipped at the 99th percentile.

    How many rows each side has is a constant of the label and cancels."""
    score = np.zeros(len(synthetic))
    for in_real, in_synthetic in _groups(real, synthetic):
        x = np.concatenate([real.x[in_real], synthetic.x[in_synthetic]])
        y = np.repeat([1, 0], [in_real.sum(), in_synthetic.sum()])
        odds = LogisticRegression(max_iter=1_000).fit(x, y).decision_function(synthetic.x[in_synthetic])
        score[in_synthetic] = np.minimum(odds, np.percentile(odds, CLIP_PERCENTILE))
    return score


METHODS: Mapping[str, Callable[[Corpus, Corpus, int], Float64Array]] = {
    "uniform": uniform,
    "filter": drop_disputed,
    "adam": adam,
    "adam_floor": adam_with_floor,
    "dsir": dsir,
    "density_ratio": density_ratio,
    "imp": imp,
}
