"""The methods that are compared: each gives every synthetic row a weight.

Every method says how much a row weighs against the other rows of its label, as a logarithm; ``weigh`` brings the rows of a label to the
label's share of the real rows. Sources: plain MMD by Adam is the method of SynAlign (Ren et al., WWW 2025, section 3.3) as one would
write it first; DSIR is Xie et al., "Data Selection for Language Models via Importance Resampling", NeurIPS 2023.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from synalign_spark.core.features import draw_feature_map, median_distance
from tests.bench.support.corpora import Corpus

Float64Array = npt.NDArray[np.float64]

OURS = "ours"
N_FEATURES, BANDWIDTH_SCALES, BANDWIDTH_ROWS = 2_048, (1.0, 0.5), 1_000  # as the product's defaults
ADAM_STEPS, ADAM_RATE = 400, 0.05  # enough to end where a rate of 0.2 ends; 0.01 stops on the way, which regularises by accident
BUCKETS = 10_000
CLIP_PERCENTILE = 99
WORD = re.compile(r"\w+|[^\w\s]+")  # as nltk's wordpunct_tokenize, which DSIR uses


@dataclass(frozen=True)
class Weighting:
    """weight: (n,), summing to 1; log_weight: (n,), on a scale of its own within each label; extra: what else in_real is to say;
    mixing_weight: real rows that the synthetic ones count as beside real ones, None where each row counts as one."""

    weight: Float64Array
    log_weight: Float64Array
    without_replacement: bool = False
    extra: Any = field(default=None)
    mixing_weight: float | None = None


def weigh(
    method: str, real: Corpus, synthetic: Corpus, seed: int, ours: Callable[[Corpus, Corpus, int], tuple[Float64Array, Any]] | None = None
) -> Weighting:
    """Weights by a method: within-label weights times the label shares of the real rows.

    ours: the product as a method (``product.Product``), for method 'ours'. A label without real rows has weight 0.
    Raises ValueError for a method that does not exist, and where no label has rows on both sides."""
    if method == OURS and ours is not None:
        log_weight, extra = ours(real, synthetic, seed)
        mixing_weight = extra[-1]["mixing_weight"] if extra else None  # the same in every row of the certificate
    elif method in METHODS:
        log_weight, extra, mixing_weight = METHODS[method](real, synthetic, seed), None, None
    else:
        raise ValueError(f"method must be one of {', '.join([*METHODS, OURS])}, got {method!r}")
    return Weighting(normalised(log_weight, real.labels, synthetic.labels), log_weight, method == "dsir", extra, mixing_weight)


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


def adam(real: Corpus, synthetic: Corpus, seed: int) -> Float64Array:
    """Plain MMD per label: Adam on softmax logits until the weighted mean feature is that of the real rows. All of them shape the weights."""
    rng = np.random.default_rng([seed, 0xADA])
    sample = rng.permutation(len(real))[:BANDWIDTH_ROWS]
    median = median_distance(real.x[sample])
    features = draw_feature_map(real.x.shape[1], N_FEATURES, [median * scale for scale in BANDWIDTH_SCALES], seed)
    logits = np.zeros(len(synthetic))
    for in_real, in_synthetic in _groups(real, synthetic):
        logits[in_synthetic] = _adam_logits(features(synthetic.x[in_synthetic]), features(real.x[in_real]).mean(axis=0, dtype=np.float64))
    return logits


def _adam_logits(phi: npt.NDArray[np.float32], mu: Float64Array) -> Float64Array:
    """(n,) logits whose softmax w makes || w phi - mu ||^2 small. phi: (n, D); mu: (D,)."""
    import torch

    torch.set_num_threads(1)  # a product of a vector and a matrix waits for memory, and threads wait for each other
    rows, target = torch.from_numpy(phi), torch.from_numpy(mu.astype(np.float32))
    logits = torch.zeros(len(phi), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=ADAM_RATE)
    for _ in range(ADAM_STEPS):
        optimiser.zero_grad()
        loss = ((torch.softmax(logits, dim=0) @ rows - target) ** 2).sum()
        loss.backward()
        optimiser.step()
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
    "adam": adam,
    "dsir": dsir,
    "density_ratio": density_ratio,
}
