"""From the body of a reply of /v1/embeddings to unit vectors, checked: what is wrong with one is never paid for twice."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.core.packed_vectors import Float32Array
from synalign_spark.generation.faults import NotACompletionError, UnusableReplyError
from synalign_spark.generation.replies import not_an_answer

SHOWN = 80  # characters of a text in a message


def vectors_of(body: Any, texts: Sequence[str], width: int) -> Float32Array:
    """(n, d) unit vectors of the n texts, in their order. body: objects as namespaces; width: d, 0 where it is not known yet.

    Raises NotACompletionError for a body that has not one vector a text, which proxies and busy servers send now and then, and
    UnusableReplyError for vectors that are none: another request would bring the same.

    >>> from types import SimpleNamespace
    >>> body = SimpleNamespace(data=[SimpleNamespace(index=1, embedding=[0, 2]), SimpleNamespace(index=0, embedding=[3, 4])])
    >>> vectors_of(body, ["a", "b"], 2).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 1.0]]
    """
    data = getattr(body, "data", None)
    if not isinstance(data, list):
        raise not_an_answer(body, "data, the list of vectors")
    if len(data) != len(texts):
        raise NotACompletionError(f"the server gave {len(data)} vectors for {len(texts)} texts")
    places = [getattr(one, "index", place) for place, one in enumerate(data)]
    if any(isinstance(place, bool) or not isinstance(place, int) for place in places) or sorted(places) != list(range(len(texts))):
        raise NotACompletionError(
            f"the server's vectors have the indices {str(places)[:SHOWN]}, and each of 0 to {len(texts) - 1} is to come once"
        )
    ordered = sorted(zip(places, data, strict=True), key=lambda pair: pair[0])
    rows = [_numbers(getattr(one, "embedding", None)) for _, one in ordered]
    expected = width or len(rows[0])
    if odd := sorted({len(row) for row in rows} - {expected}):
        raise UnusableReplyError(
            f"the server gave vectors of {odd[0]} numbers, and {expected} are expected; set embed.endpoint.dimensions to null, or to a number that "
            "the model knows, and let one model answer under the name embed.model (a new embed.revision tells it from what is stored)"
        )
    return _unit(np.array(rows, dtype=np.float64), texts)


def _numbers(value: Any) -> npt.NDArray[np.float64]:
    if isinstance(value, str):
        raise UnusableReplyError(
            "the server gave vectors in base64, and encoding_format 'float' was asked for; use a server that gives numbers"
        )
    if not isinstance(value, list) or not value:
        raise NotACompletionError(f"a vector of the server's is no list of numbers: {str(value)[:SHOWN]}")
    if not {int, float, type(None)} >= set(map(type, value)):
        raise UnusableReplyError(f"a vector of the server's holds what is no number: {str(value)[:SHOWN]}")
    return np.array([np.nan if one is None else one for one in value], dtype=np.float64)  # null is how JSON says NaN


def _unit(x: npt.NDArray[np.float64], texts: Sequence[str]) -> Float32Array:
    """(n, d) vectors divided by their norms, as those of any encoder."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", x, x))  # (n,)
    bad = ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        first = texts[int(bad.argmax())][:SHOWN]
        raise UnusableReplyError(
            f"the server gave {int(bad.sum())} of {len(texts)} texts a zero, NaN or infinite vector, first {first!r}; use another model or reject such texts"
        )
    unit: Float32Array = (x / norms[:, None]).astype(np.float32)
    return unit
