"""The solve in one Spark barrier stage: every task keeps its shard in memory, and they exchange sums of parameter size."""

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from synalign_spark.alignment.runtimes.device import Place, task_device
from synalign_spark.alignment.runtimes.driver_loop import SparkRows
from synalign_spark.alignment.runtimes.rows import add_rows, release
from synalign_spark.core.communicator import Communicator
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.device_shard import row_builder
from synalign_spark.core.solver.row_shard import RowShard
from synalign_spark.core.solver.shard import ShardRows
from synalign_spark.core.solver.solve import Answer, Problem, solve
from synalign_spark.distributed.checkpoint import Checkpoint
from synalign_spark.distributed.spmd import run_spmd
from synalign_spark.udfs.arrow import to_matrix

Shards = tuple[RowShard, RowShard]  # all rows of a task, and those of the solver's sample


class BarrierRows(SparkRows):
    """Rows that stay on the executors; the solver runs there too. Draws and weights are one Spark job each, as in ``SparkRows``."""

    def __init__(self, rows: DataFrame, features: FeatureMap, storage: str, tasks: int, timeout_s: float, checkpoint: str | None,
                 place: Place | None = None) -> None:  # fmt: skip
        """rows: the columns of ``sides.SYNTHETIC_SCHEMA``, persisted by the caller; timeout_s: the longest wait for another task;
        checkpoint: folder for the state of the solve, on a disk or store that all machines see; place: how a task chooses between
        a GPU and its cores, None for the cores."""
        super().__init__(rows, features)
        self._storage, self._tasks, self._timeout_s, self._folder, self._place = storage, tasks, timeout_s, checkpoint, place

    def solve(self, problems: Mapping[str, Problem]) -> dict[str, Answer]:
        shares = {name: problem.row_share for name, problem in problems.items()}
        needed = self._rows.select("doc_id", "grp", "prior", "base", "u_warm", "embedding")
        load = partial(load_shards, features=self._features, storage=self._storage, shares=shares, place=self._place)
        state = None if self._folder is None else f"{self._folder.rstrip('/')}/align-{self._fingerprint(problems)}.npz"
        answer = run_spmd(
            needed, "doc_id", self._tasks, load, partial(solve_shards, problems=dict(problems)), timeout_s=self._timeout_s, checkpoint=state
        )
        found: dict[str, Answer] = pickle.loads(answer)  # made by our own task a moment ago
        return found

    def _fingerprint(self, problems: Mapping[str, Problem]) -> str:
        """Of all that shapes the answers of the passes but the rows themselves: a state of other settings must not be found."""
        found = hashlib.sha256(repr((self._tasks, self._storage, sorted(problems))).encode())
        found.update(np.ascontiguousarray(self._features.frequencies).tobytes())
        for name in sorted(problems):
            problem = problems[name]
            found.update(repr((problem.settings, problem.row_share)).encode() + problem.real.mean.tobytes())
        return found.hexdigest()[:24]


def load_shards(batches: Iterator[pa.RecordBatch], features: FeatureMap, storage: str, shares: Mapping[str, float],
                place: Place | None = None) -> Shards:  # fmt: skip
    """The rows of one task, and of them those of the sample; features in memory once, and for the sample twice."""
    device, storage = (None, storage) if place is None else task_device(place, storage)
    everything, sample = row_builder(features, storage, device), row_builder(features, "float32", device)
    for batch in batches:
        group = np.asarray(batch.column("grp").to_pylist(), dtype=object)
        x = to_matrix(batch.column("embedding"))
        add_rows(everything, batch, group, x)
        share = np.array([shares[name] for name in group], dtype=np.float64)
        kept = np.flatnonzero(batch.column("u_warm").to_numpy() < share)
        add_rows(sample, batch.take(pa.array(kept)), group[kept], x[kept])
    return everything.shard(), sample.shard()


def solve_shards(shards: Shards, comm: Communicator, checkpoint: Checkpoint, problems: Mapping[str, Problem]) -> bytes:
    """The whole solve, on every task alike."""
    everything, sample = shards
    whole = all(problem.row_share >= 1.0 for problem in problems.values())
    rows = ShardRows(everything, everything if whole else sample, comm)
    try:
        return pickle.dumps(solve(problems, rows.evaluate, checkpoint))
    finally:
        release(*shards)  # Spark keeps the worker for later tasks
