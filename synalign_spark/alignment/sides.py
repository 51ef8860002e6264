"""The rows of one side of an alignment, wherever they lie: all that the alignment asks of them.

``SparkSide`` keeps them in a DataFrame, ``ArrowSide`` in an Arrow table of this process; both answer with Arrow tables. Only what
``sample`` and ``scan`` gather reaches the driver: bounded samples, and results that have the size of the parameters.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from synalign_spark.core.holdout import FIT, HOLDOUT, VALIDATION

Batches = Iterable[pa.RecordBatch]
Job = Callable[[Batches], Iterator[pa.RecordBatch]]

SPLITS = (FIT, VALIDATION, HOLDOUT)
HALVES = (FIT, VALIDATION)  # of the real rows that shape the weights: each validates what the other shaped

# What a random number of a row is for; see ``core.keys.unit``. Side -> column -> purpose.
REAL_NUMBERS = {"u": "align.check", "u_whole": "align.whole", "u_bandwidth": "align.bandwidth"}
SYNTHETIC_NUMBERS = {
    "u": "align.draw", "u_whole": "align.whole", "u_warm": "align.warm", "u_half": "align.probe_half",
}  # fmt: skip

REAL_SCHEMA = pa.schema(
    [("doc_id", pa.string()), ("label", pa.string()), ("grp", pa.string()), ("split", pa.string()), ("u", pa.float64()),
     ("u_whole", pa.float64()), ("u_bandwidth", pa.float64()), ("prior", pa.float64()), ("embedding", pa.list_(pa.float32()))]
)  # fmt: skip
SYNTHETIC_SCHEMA = pa.schema(
    [("doc_id", pa.string()), ("label", pa.string()), ("grp", pa.string()), ("prior", pa.float64()), ("base", pa.float64()),
     ("label_confidence", pa.float64()), ("repaired_label", pa.string()), ("log_density_ratio", pa.float64()), ("log_embedding_ratio", pa.float64()), ("outlier", pa.string()),
     ("u", pa.float64()), ("u_whole", pa.float64()), ("u_warm", pa.float64()), ("half", pa.bool_()), ("embedding", pa.list_(pa.float32()))]
)  # fmt: skip


@dataclass(frozen=True)
class Draw:
    """Which rows a sample takes: those whose number in ``column`` is below the rate of their group; of groups without a rate none.

    splits: of these splits alone, all where it is empty; weighted: rows with a positive prior weight alone."""

    column: str
    rates: Mapping[str, float]
    splits: tuple[str, ...] = ()
    weighted: bool = False


class Side(Protocol):
    """Rows of one side, with the columns of REAL_SCHEMA or SYNTHETIC_SCHEMA."""

    @property
    def has_texts(self) -> bool:
        """Whether ``text`` can be asked for."""
        ...

    def scan(self, job: Job, schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
        """What ``job`` makes of these columns of all rows, part by part; every part may have rows of its own."""
        ...

    def sample(self, draws: Mapping[str, Draw], columns: Sequence[str]) -> pa.Table:
        """The rows that at least one draw takes, by rising doc_id: the columns asked for (``text`` too, where there are texts),
        and a boolean column for each draw."""
        ...

    def rebased(self, job: Job, with_texts: bool) -> "Side":
        """The rows as ``job`` gives them back, with the same columns. with_texts: it is given a column ``text`` too."""
        ...

    def table(self) -> pa.Table:
        """All rows in this process."""
        ...
