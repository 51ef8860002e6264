"""A bi-encoder trained on pairs of a query and its document, each with a weight; the other documents of a batch are its negatives.

Either the whole encoder learns, or (much faster, and the index of documents stays as it is) a linear layer on the queries' vectors.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device

SCALE = 20.0  # of cosines in the loss, as in sentence-transformers


@dataclass(frozen=True)
class Training:
    """epochs: passes over the pairs; rate: learning rate, which rises over the first tenth of the steps and falls to nothing."""

    epochs: int
    batch: int
    rate: float
    max_tokens: int = 128


ENCODER, ADAPTER = Training(epochs=2, batch=32, rate=2e-5), Training(epochs=10, batch=64, rate=3e-4)


def weighted_loss(
    queries: torch.Tensor, documents: torch.Tensor, weights: torch.Tensor, same: torch.Tensor | None = None, scale: float = SCALE
) -> torch.Tensor:  # fmt: skip
    """In-batch negatives (van den Oord et al. 2018) for pairs that stand for ``weights`` pairs each.

    A pair's weight multiplies its own loss, and counts its document as so many negatives of the others: a pair of weight 2 is as good as
    the pair twice, one of weight 0 as good as none.
    queries, documents: (batch, d), a pair a row; weights: (batch,) >= 0 of mean 1 over all pairs; same: (batch, batch) where two pairs
    have one document, which is no negative then. Returns a sum over pairs, divided by the size of the batch, not by its weights."""
    unit = torch.nn.functional.normalize
    scores = scale * unit(queries, dim=-1) @ unit(documents, dim=-1).T  # (batch, batch)
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    counted = weights.log().expand_as(scores)  # -inf for a weight of 0
    if same is not None:
        counted = counted.masked_fill(same, -torch.inf)
    logits = torch.where(own, scores, scores + counted)
    losses = torch.nn.functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device), reduction="none")  # (batch,)
    return (weights * losses).sum() / len(weights)


class WeightedNegatives(torch.nn.Module):
    """The loss as trainers of sentence-transformers take it: columns query and document, and the weight as ``label``."""

    def __init__(self, model: SentenceTransformer, scale: float = SCALE) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, sentence_features: Sequence[dict[str, torch.Tensor]], labels: torch.Tensor) -> torch.Tensor:
        queries, documents = (self.model(features)["sentence_embedding"] for features in sentence_features)
        return weighted_loss(queries, documents, labels.to(queries), scale=self.scale)


def tune_encoder(
    encoder: SentenceTransformer, queries: Sequence[str], documents: Sequence[str], weights: npt.ArrayLike, how: Training = ENCODER, seed: int = 0
) -> SentenceTransformer:  # fmt: skip
    """Trains the encoder itself on pairs of texts, in place. weights: (n,)."""
    encoder.max_seq_length = how.max_tokens

    def pairs(rows: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        texts = ([side[i] for i in rows] for side in (queries, documents))
        found = [encoder(batch_to_device(encoder.preprocess(one), encoder.device))["sentence_embedding"] for one in texts]
        return found[0], found[1]

    torch.manual_seed(seed)  # dropout
    encoder.train()
    _train(list(encoder.parameters()), pairs, documents, weights, how, seed)
    return encoder.eval()


def tune_adapter(
    queries: npt.NDArray[np.float32], documents: npt.NDArray[np.float32], names: Sequence[str], weights: npt.ArrayLike, how: Training = ADAPTER, seed: int = 0
) -> npt.NDArray[np.float32]:  # fmt: skip
    """The (d, d) matrix that queries' vectors are to be multiplied by, learnt on the vectors of pairs; it starts at the identity.

    queries, documents: (n, d), a pair a row; names: (n,) of its document; weights: (n,)."""
    x, y = torch.from_numpy(queries), torch.from_numpy(documents)
    change = torch.zeros(x.shape[1], x.shape[1], requires_grad=True)

    def pairs(rows: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        return x[rows] + x[rows] @ change, y[rows]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps of a millisecond, in which threads would wait for each other
    try:
        _train([change], pairs, names, weights, how, seed)
    finally:
        torch.set_num_threads(threads)
    matrix: npt.NDArray[np.float32] = np.eye(x.shape[1], dtype=np.float32) + change.detach().numpy()
    return matrix


def with_adapter(encoder: SentenceTransformer, matrix: npt.NDArray[np.float32]) -> SentenceTransformer:
    """The encoder of queries: the one that was there, with the learnt layer behind it. Documents stay with the former."""
    from sentence_transformers.sentence_transformer.modules import Dense

    width = matrix.shape[0]
    layer = Dense(width, width, bias=False, activation_function=torch.nn.Identity(), init_weight=torch.from_numpy(matrix.T.copy()))
    return SentenceTransformer(modules=[*encoder, layer], device=str(encoder.device))


def _train(
    parameters: list[torch.Tensor], pairs: Callable[[npt.NDArray[np.int64]], tuple[torch.Tensor, torch.Tensor]], documents: Sequence[str],
    weights: npt.ArrayLike, how: Training, seed: int,
) -> None:  # fmt: skip
    """Steps over batches of pairs. The same seed and number of pairs give the same batches, whatever the weights."""
    weight = torch.from_numpy(np.asarray(weights, dtype=np.float32))
    codes = torch.from_numpy(np.unique(np.asarray(documents), return_inverse=True)[1])
    batches = list(_batches(len(weight), how, seed))
    optimiser: Any = torch.optim.AdamW(parameters, lr=how.rate, weight_decay=0.01)
    warm = max(1, len(batches) // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min((step + 1) / warm, (len(batches) - step) / len(batches)))
    for rows in batches:
        queries, found = pairs(rows)
        same = codes[rows][:, None] == codes[rows][None, :]
        loss = weighted_loss(queries, found, weight[rows].to(queries), same.to(queries.device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def _batches(n: int, how: Training, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Places of pairs: each once an epoch, in an order drawn anew. A last batch of one has no negatives and is left out."""
    rng = np.random.default_rng([seed, 0x7A])
    for _ in range(how.epochs):
        order = rng.permutation(n)
        yield from (rows for start in range(0, n, how.batch) if len(rows := order[start : start + how.batch]) > 1)
