"""Exact search, its measures query by query (ir-measures, which computes as trec_eval does), and differences with intervals."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from .beir import Judgements

MEASURES = {"recall@10": "R@10", "ndcg@10": "nDCG@10", "mrr": "RR"}
DEPTH, DRAWS = 100, 5_000  # documents a query; draws of a bootstrap
Rankings = dict[str, list[str]]


def search(
    names: Sequence[str], queries: npt.NDArray[np.float32], documents: npt.NDArray[np.float32], ids: Sequence[str], depth: int = DEPTH
) -> Rankings:  # fmt: skip
    """The nearest documents by cosine of each query, best first, ties in the order of the ids given.

    queries: (n, d), documents: (m, d), both unit vectors; names: (n,), ids: (m,)."""
    similar = queries @ documents.T  # (n, m)
    order = np.argsort(-similar, axis=1, kind="stable")[:, :depth]
    return {name: [ids[place] for place in row] for name, row in zip(names, order.tolist(), strict=True)}


def per_query(rankings: Rankings, judgements: Judgements) -> pd.DataFrame:
    """A row a query in the order of the names, a column a measure of MEASURES, each from 0 to 1."""
    import ir_measures

    judged = [ir_measures.Qrel(name, document, grade) for name, found in judgements.items() for document, grade in found.items()]
    run = [ir_measures.ScoredDoc(name, document, -float(place)) for name, row in rankings.items() for place, document in enumerate(row)]
    named = {ir_measures.parse_measure(code): name for name, code in MEASURES.items()}
    found = [(one.query_id, named[one.measure], one.value) for one in ir_measures.iter_calc(named, judged, run)]
    table = pd.DataFrame(found, columns=["query", "measure", "value"]).pivot(index="query", columns="measure", values="value")
    return table.reindex(index=sorted(judgements), columns=list(MEASURES))


def paired_difference(first: npt.ArrayLike, second: npt.ArrayLike, seed: int = 0) -> tuple[float, float, float]:
    """Mean of first - second over queries, with the ends of its 95% interval: percentiles of a bootstrap over the queries.

    first, second: (n,) the same queries in the same order. Raises ValueError where they are not as many.

    >>> paired_difference([1.0, 0.5, 1.0], [0.0, 0.5, 1.0])[0].__round__(3)
    0.333
    """
    from scipy.stats import bootstrap

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or not a.size:
        raise ValueError(f"as many queries of both are needed, at least one, got {a.shape} and {b.shape}")
    difference = a - b
    if len(difference) < 2 or np.ptp(difference) == 0:
        return (float(difference.mean()),) * 3
    drawn = bootstrap((difference,), np.mean, n_resamples=DRAWS, batch=500, method="percentile", rng=np.random.default_rng([seed, 0xB0]))
    return float(difference.mean()), float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)
