"""The whole solve of all labels at once, on any runtime: path on a sample, then the end over all rows.

Every rank of a runtime runs this with the same problems; all that differs is who answers the passes.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from synalign_spark.core.solver.common_lambda import step_back, step_together
from synalign_spark.core.solver.dual import Evaluate, run_together
from synalign_spark.core.solver.moments import Moments, Pass
from synalign_spark.core.solver.path import Finished, Path, Sample, Settings, finish, pool, search_path

Float64Array = npt.NDArray[np.float64]
Kept = dict[str, tuple[Float64Array, Float64Array]]  # of one pass: label to theta and flattened moments


@dataclass(frozen=True)
class Problem:
    """What one label is aligned to. fit, validation: halves of the real rows that shape the weights and choose lambda;
    holdout: real rows that have no part in the solve and are for validation afterwards; row_share: rows of the solver's sample over all rows of the label."""

    fit: Sample
    validation: Sample
    holdout: Sample
    settings: Settings
    row_share: float

    @property
    def real(self) -> Sample:
        """All real rows that shape the weights."""
        return pool([self.fit, self.validation])


@dataclass(frozen=True)
class Answer:
    """How one label's solve went. Its last point has the weights."""

    path: Path
    finished: Finished


class Checkpoint(Protocol):
    """Keeps a small state outside of the process."""

    def save(self, state: bytes) -> None: ...

    def load(self) -> bytes | None: ...


def solve(problems: Mapping[str, Problem], evaluate: Evaluate, checkpoint: Checkpoint | None = None) -> dict[str, Answer]:
    """Chooses lambda and solves for every label. Passes over all rows are kept in the checkpoint and not made again.

    problems: by label; evaluate: makes the passes that are asked for over the rows of all ranks, see ``ShardRows``.

    >>> from synalign_spark.core.communicator import LocalCommunicator
    >>> from synalign_spark.core.solver.path import Settings
    >>> from synalign_spark.core.solver.shard import Shard, ShardRows
    >>> rows = Shard.of({"cat": (np.eye(2, dtype=np.float32), np.zeros(2))})  # two synthetic rows, alike by base weight
    >>> real, nobody = Sample(100, np.array([0.2, 0.8])), Sample(0, np.zeros(2))
    >>> problem = Problem(real, nobody, nobody, Settings("fixed", 1e-4, 0.0, 1e-9, 100), 1.0)
    >>> end = solve({"cat": problem}, ShardRows(rows, rows, LocalCommunicator()).evaluate)["cat"].finished.solution
    >>> end.converged, end.point.moments.mean.round(3).tolist()  # the weights of the two rows
    (True, [0.2, 0.8])
    """
    passes = evaluate if checkpoint is None else Replay(evaluate, checkpoint).evaluate
    paths = run_together({name: search_path((p.fit, p.validation), p.settings, p.row_share) for name, p in problems.items()}, passes)
    few = {name: paths[name] for name, problem in problems.items() if problem.settings.rule == "ess_rule"}
    floor = max((problems[name].settings.ess_floor for name in few), default=0.0)  # one setting for all
    step_together(few, {name: problems[name].row_share for name in few}, floor)
    finished = run_together({name: finish(p.real, paths[name], p.settings) for name, p in problems.items()}, passes)
    while behind := step_back(few, {name: finished[name] for name in few}, floor):
        again = run_together({name: finish(problems[name].real, paths[name], problems[name].settings) for name in behind}, passes)
        finished |= {name: end.after(finished[name], paths[name]) for name, end in again.items()}
    return {name: Answer(paths[name], finished[name]) for name in problems}


class Replay:
    """Answers passes over all rows from a checkpoint as far as it goes, and extends it.

    The solver is deterministic, so a retry asks what the first attempt asked: it needs no other state than the answers. The
    order in which rows arrive may have changed the last digits of theta; where it is farther off, the rest is forgotten."""

    def __init__(self, evaluate: Evaluate, checkpoint: Checkpoint) -> None:
        self._evaluate, self._checkpoint = evaluate, checkpoint
        state = checkpoint.load()
        self._kept: list[Kept] = _unpack(state) if state else []
        self._asked = 0
        self.replayed = 0

    def evaluate(self, wanted: Mapping[str, Pass]) -> dict[str, Moments]:
        """The moments of the passes, from the checkpoint or from the rows."""
        lasting = {name: asked for name, asked in wanted.items() if asked.everywhere and not asked.second}
        found = (
            dict(self._evaluate({name: asked for name, asked in wanted.items() if name not in lasting}))
            if len(lasting) < len(wanted)
            else {}
        )
        if not lasting:
            return found
        held = self._kept[self._asked] if self._asked < len(self._kept) else None
        if held is not None and _same(held, lasting):
            self.replayed += 1
            answers = {name: _moments(held[name][1]) for name in lasting}
        else:
            answers = dict(self._evaluate(lasting))
            entry = {name: (asked.theta, _flat(answers[name])) for name, asked in lasting.items()}
            self._kept = [*self._kept[: self._asked], entry]
            self._checkpoint.save(_pack(self._kept))
        self._asked += 1
        return found | answers


def _same(held: Kept, wanted: Mapping[str, Pass]) -> bool:
    """Whether the stored pass was asked for the same labels at the same thetas."""
    return set(held) == set(wanted) and all(np.allclose(held[name][0], wanted[name].theta, rtol=1e-7, atol=1e-9) for name in wanted)


def _flat(moments: Moments) -> Float64Array:
    return np.concatenate([[moments.shift, moments.total, moments.squares, moments.rows], moments.features])


def _moments(flat: Float64Array) -> Moments:
    return Moments(float(flat[0]), float(flat[1]), float(flat[2]), flat[4:].copy(), int(flat[3]))


def _pack(kept: list[Kept]) -> bytes:
    """Arrays named pass.label, labels by number; no pickle, for the file lies where others may write."""
    labels = sorted({name for entry in kept for name in entry})
    stream, arrays = io.BytesIO(), {"labels": np.array(labels)}
    for place, entry in enumerate(kept):
        for name, (theta, flat) in entry.items():
            arrays[f"{place}.{labels.index(name)}"] = np.concatenate([theta, flat])
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    return stream.getvalue()


def _unpack(state: bytes) -> list[Kept]:
    with np.load(io.BytesIO(state), allow_pickle=False) as stored:
        labels = [str(label) for label in stored["labels"]]
        kept: dict[int, Kept] = {}
        for name in stored.files:
            if name != "labels":
                place, label = map(int, name.split("."))
                values = stored[name]
                width = (len(values) - 4) // 2
                kept.setdefault(place, {})[labels[label]] = (values[:width], values[width:])
    return [kept[place] for place in sorted(kept)]
