"""Retrievers without synthetic queries, with all of them alike, and with each by its weight: compared offline, and in a replay of users."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sentence_transformers import SentenceTransformer

import synalign_spark as sa

from .beir import Retrieval
from .interleaving import CLICK_MODELS, replay
from .measures import MEASURES, Rankings, paired_difference, per_query, search
from .queries import best_document
from .sequential import ALPHA, decide
from .training import ADAPTER, ENCODER, Training, tune_adapter, tune_encoder

Vectors = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]
Weights = npt.NDArray[np.float64]
MoreArms = Callable[[Weights], dict[str, Weights]]
NONE, UNIFORM, WEIGHTED = "none", "uniform", "weighted"
ARMS = (NONE, UNIFORM, WEIGHTED)
AGAINST = (UNIFORM, NONE)  # what weighted is compared with


@dataclass(frozen=True)
class Settings:
    """tune: 'adapter' or 'encoder'; how: None for the usual of either; seeds: trainings of each arm; real_pairs: judged real queries train
    in every arm too, and alone in the arm none; click_model, sessions: of the replay, sessions at most."""

    tune: str = "adapter"
    how: Training | None = None
    seeds: int = 1
    real_pairs: bool = False
    click_model: str = "navigational"
    sessions: int = 5_000
    seed: int = 0

    @property
    def training(self) -> Training:
        return self.how or (ENCODER if self.tune == "encoder" else ADAPTER)


def weigh(real: Sequence[str], queries: Sequence[str], encode: Encode, seed: int = 0) -> tuple[Weights, Any]:
    """A weight of mean 1 for each synthetic query, (n,), and the certificate: together they follow the real ones.

    real: texts, few or many; none of those that retrievers are judged by may be among them. Raises what sa.align raises."""
    frames = [
        pd.DataFrame({"id": [str(i) for i in range(len(texts))], "text": list(texts), "vector": list(encode(texts))})
        for texts in (real, queries)
    ]
    result = sa.align(*frames, text="text", embedding="vector", id="id", seed=seed)
    return result.weights["weight"].to_numpy() * len(queries), result.certificate


def compare(
    data: Retrieval, pairs: pd.DataFrame, encode: Encode, load: Callable[[], SentenceTransformer], settings: Settings, more: MoreArms | None = None
) -> dict[str, Any]:  # fmt: skip
    """Measures of each arm, differences with 95% intervals, and the decision of each replay.

    pairs: doc_id and query of the synthetic ones; encode: the encoder as it comes; load: a fresh copy of it, to be trained; more: further
    arms and their weights, made of the weights that were found, which are compared with uniform."""
    weight, certificate = weigh(list(data.real.values()), pairs["query"].tolist(), encode, settings.seed)
    others = more(weight) if more else {}
    arms = {NONE: None, UNIFORM: np.ones(len(pairs)), WEIGHTED: weight} | others
    tables: dict[str, list[pd.DataFrame]] = {arm: [] for arm in arms}
    first: dict[str, Rankings] = {}
    for seed in range(settings.seed, settings.seed + settings.seeds):
        for arm, weights in arms.items():
            rankings = _retrieve(data, *_training_pairs(data, pairs, weights, settings.real_pairs), encode, load, settings, seed)
            tables[arm].append(per_query(rankings, data.judgements))
            first.setdefault(arm, rankings)
    rules = pairs.get("rule", pd.Series("all", index=pairs.index))  # of a pair that was made by one
    means = {arm: sum(found) / len(found) for arm, found in tables.items()}  # of a query over the trainings
    return {
        "documents": len(data.documents), "queries": len(data.queries), "real_queries": len(data.real), "synthetic_queries": len(pairs),
        "tune": settings.tune, "seeds": settings.seeds, "real_pairs": settings.real_pairs,
        "effective_share": round(float(weight.sum() ** 2 / np.sum(weight**2) / len(weight)), 3),
        "mean_weight": pd.Series(weight).groupby(rules.to_numpy()).mean().round(3).to_dict(),
        "verdict": getattr(certificate, "verdict", None),
        "measures": {arm: {name: round(float(table[name].mean()), 4) for name in MEASURES} for arm, table in means.items()},
        "differences": {
            f"{one}-{other}": _differences(means[one], means[other], settings.seed)
            for one, other in [*((WEIGHTED, other) for other in AGAINST), *((other, UNIFORM) for other in others)]
        },
        "interleaving": {f"weighted-{other}": _interleaved(first, other, data, settings) for other in AGAINST},
    }  # fmt: skip


def _training_pairs(data: Retrieval, pairs: pd.DataFrame, weights: Weights | None, real_pairs: bool) -> tuple[list[str], list[str], list[float]]:  # fmt: skip
    """Queries, ids of their documents and weights. weights: None for no synthetic ones; a real pair has weight 1."""
    found = [(data.real[name], best_document(known), 1.0) for name, known in data.real_judgements.items() if known] if real_pairs else []
    if weights is not None:
        found += list(zip(pairs["query"], pairs["doc_id"], weights.tolist(), strict=True))
    return [row[0] for row in found], [row[1] for row in found], [row[2] for row in found]


def _retrieve(
    data: Retrieval, queries: list[str], documents: list[str], weights: list[float], encode: Encode, load: Callable[[], SentenceTransformer],
    settings: Settings, seed: int,
) -> Rankings:  # fmt: skip
    """Trains on the pairs, on none the encoder stays as it is, and ranks the documents for the queries that judge."""
    ids, texts, asked = list(data.documents), list(data.documents.values()), list(data.queries.values())
    if queries and settings.tune == "encoder":
        trained = tune_encoder(load(), queries, [data.documents[name] for name in documents], weights, settings.training, seed)
        x, y = (np.asarray(trained.encode(side, normalize_embeddings=True, show_progress_bar=False)) for side in (asked, texts))
        return search(list(data.queries), x, y, ids)
    x, y = encode(asked), encode(texts)
    if queries:
        place = {name: i for i, name in enumerate(ids)}
        x = x @ tune_adapter(encode(queries), y[[place[name] for name in documents]], documents, weights, settings.training, seed)
    return search(list(data.queries), x, y, ids)


def _differences(weighted: pd.DataFrame, other: pd.DataFrame, seed: int) -> dict[str, list[float]]:
    """Mean, low and high of each measure."""
    return {name: [round(value, 4) for value in paired_difference(weighted[name], other[name], seed)] for name in MEASURES}


def _interleaved(rankings: dict[str, Rankings], other: str, data: Retrieval, settings: Settings) -> dict[str, Any]:
    """The replay of the first training of both arms, up to its stop."""
    model = CLICK_MODELS[settings.click_model]
    outcomes = replay(rankings[WEIGHTED], rankings[other], data.judgements, model, settings.sessions, settings.seed)
    found = decide(outcomes)
    preferred = {1: WEIGHTED, -1: other, 0: None}[found.winner]
    return {"prefers": preferred, "click_model": settings.click_model, "alpha": ALPHA} | {
        name: value for name, value in asdict(found).items() if name != "winner"
    }


def told(found: dict[str, Any]) -> str:
    """The result in words and a table."""
    lines = [
        f"{found['documents']:,} documents, {found['queries']} queries that judge; {found['synthetic_queries']} synthetic queries, "
        f"weighed by {found['real_queries']} real ones (effective share {found['effective_share']:.2f})",
        f"{'':10}" + "".join(f"{name:>12}" for name in MEASURES),
    ]
    lines += [f"{arm:10}" + "".join(f"{row[name]:12.3f}" for name in MEASURES) for arm, row in found["measures"].items()]
    for pair, measures in found["differences"].items():
        lines += [f"{pair}: {name} {mean:+.3f} (95% {low:+.3f} to {high:+.3f})" for name, (mean, low, high) in measures.items()]
    for pair, end in found["interleaving"].items():
        decision = f"prefers {end['prefers']}" if end["prefers"] else "no decision"
        lines.append(f"{pair}: interleaved, {decision} after {end['sessions']:,} sessions ({end['wins']} won, {end['losses']} lost)")
    return "\n".join(lines)
