"""Vectors and their keys as one line of text: what a ledger keeps of an endpoint's answer, bit by bit."""

import base64
import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


def pack(keys: Sequence[str], x: Float32Array) -> str:
    """keys: n; x: (n, d).

    >>> pack(["a"], np.array([[0.6, 0.8]], dtype=np.float32))
    '{"keys": ["a"], "width": 2, "vectors": "mpkZP83MTD8="}'
    """
    return json.dumps({"keys": list(keys), "width": x.shape[1], "vectors": base64.b64encode(x.astype("<f4").tobytes()).decode()})


def unpack(line: str) -> tuple[list[str], Float32Array]:
    """The n keys and (n, d) vectors of a line that ``pack`` made. Raises ValueError for another."""
    found = json.loads(line)
    flat = np.frombuffer(base64.b64decode(found["vectors"]), dtype="<f4")
    return found["keys"], flat.reshape(len(found["keys"]), found["width"]).astype(np.float32)
