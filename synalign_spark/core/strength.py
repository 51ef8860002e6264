"""How strongly to align, judged by what the weights are for: models that are trained on the rows.

Matching the distribution alone can hurt: rows that look real but carry a wrong label gain weight. So the base measure may
favour rows whose label a probe of the real rows agrees with, q proportional to p(label | row)^a, and the pair (a, lambda),
lambda = infinity with a = 0 included ("stay uniform"), is chosen by real rows that shaped nothing: each half of them judges
students trained on rows drawn by the weights that the other half shaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synalign_spark.core.lambda_rule import PATH_PASSES, PATH_TOLERANCE, Sample
from synalign_spark.core.mmd import Curvature, Goal, Point, Search, Target, dual_point, maximise, run_together
from synalign_spark.core.moments import Pass
from synalign_spark.core.probes import Judgement, Views, fit_label_probe, judge_rows
from synalign_spark.core.resample import quotas, systematic_copies, to_ticks
from synalign_spark.core.shard import Shard, usable_threads

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

AGREEMENTS = (0.0, 1.0, 3.0)
LAMBDAS = (np.inf, *(4.0**-k for k in range(1, 8)))
SMALLEST_ESS = 0.03  # of a label's rows: below it the students see too few rows to be worth a trial
DRAWN_ROWS = 5_000
NEAR_TIE = 0.5  # standard errors of the accuracy within which the log-loss decides


@dataclass(frozen=True)
class Half:
    """One half of the real rows: mean features of all of them by group, and a sample of labelled rows on the driver."""

    means: Mapping[str, Sample]
    rows: Views


@dataclass(frozen=True)
class Pool:
    """The sample of synthetic rows, sorted by group. group: (n,); phi: (n, D); log_prior: (n,); u: (draws, n) uniform in (0, 1)."""

    rows: Views
    group: npt.NDArray[np.object_]
    phi: Float32Array
    log_prior: Float64Array
    u: Float64Array


@dataclass(frozen=True)
class Candidate:
    """One way to align and how its students did. ess_share: effective sample size over rows, the smallest over the labels."""

    agreement: float
    lam: float
    ess_share: float
    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class Choice:
    """The pair taken, all pairs tried, and the rows that judged (effectively, where they have weights)."""

    best: Candidate
    tried: tuple[Candidate, ...]
    judges: int

    @property
    def uniform(self) -> Candidate:
        """The pair that changes nothing."""
        return next(c for c in self.tried if c.agreement == 0.0 and np.isinf(c.lam))


def choose_by_probes(
    halves: tuple[Half, Half], pool: Pool, shares: Mapping[str, float], agreements: Sequence[float] = AGREEMENTS,
    lams: Sequence[float] = LAMBDAS,
) -> Choice:  # fmt: skip
    """Tries every pair of (a, lambda) in both directions. shares: of each group among the rows to draw."""
    found: dict[tuple[float, float], list[Candidate]] = {}
    for shaping, judging in (halves, halves[::-1]):
        log_agreement = np.log(
            fit_label_probe(shaping.rows.x, shaping.rows.labels, shaping.rows.weight).agreement(pool.rows.x, pool.rows.labels)
        )
        for a in agreements:
            for candidate in _try(a, a * log_agreement, shaping, judging, pool, shares, lams):
                found.setdefault((a, candidate.lam), []).append(candidate)
    judges = round(sum(half.rows.ess for half in halves))
    tried = tuple(_mean(both) for both in found.values() if len(both) == 2)
    return Choice(best_of(tried, judges), tried, judges)


def best_of(tried: Sequence[Candidate], judges: int) -> Candidate:
    """The highest accuracy; among those within half a standard error of it the smallest log-loss. judges: rows behind an accuracy."""
    top = max(c.accuracy for c in tried)
    near = NEAR_TIE * float(np.sqrt(max(top * (1 - top), 1e-12) / max(judges, 1)))
    return min((c for c in tried if c.accuracy >= top - near), key=lambda c: (c.log_loss, -c.lam, c.agreement))


def _mean(both: Sequence[Candidate]) -> Candidate:
    accuracy, log_loss = (float(np.mean([getattr(c, name) for c in both])) for name in ("accuracy", "log_loss"))
    return replace(both[0], accuracy=accuracy, log_loss=log_loss, ess_share=min(c.ess_share for c in both))


def _try(a: float, log_factor: Float64Array, shaping: Half, judging: Half, pool: Pool, shares: Mapping[str, float],
         lams: Sequence[float]) -> list[Candidate]:  # fmt: skip
    """The candidates of one base measure. log_factor: (n,) of the base measure over the prior weights."""
    groups = {name: slice(*np.flatnonzero(pool.group == name)[[0, -1]] + [0, 1]) for name in sorted(shares)}
    log_base = pool.log_prior + log_factor
    shard = Shard.of({name: (pool.phi[rows], log_base[rows]) for name, rows in groups.items()}, usable_threads())
    paths = run_together({name: solve_path(shaping.means[name], lams) for name in groups}, shard.evaluate)
    found = []
    for place in range(min(len(path) for path in paths.values())):
        points = {name: path[place] for name, path in paths.items()}
        weights = np.zeros(len(pool.group))
        for name, rows in groups.items():
            weights[rows] = np.exp(shard.log_weights(name, points[name].theta) - points[name].moments.log_partition)
        done = _judge(weights, groups, pool, shares, judging.rows)
        ess = min(point.moments.ess / point.moments.rows for point in points.values())
        found.append(Candidate(a, lams[place], ess, done.accuracy, done.log_loss))
    return found


def solve_path(real: Sample, lams: Sequence[float]) -> Search[list[Point]]:
    """The solutions at falling lambdas, as far as the effective sample size is worth it."""
    theta = np.zeros_like(real.mean)
    start = yield Pass(theta)
    target, curvature, goal = Target(real.mean, start.log_partition), Curvature(), Goal(PATH_TOLERANCE, PATH_PASSES)
    points = [dual_point(theta, np.inf, start, target)]
    for lam in lams:
        if not np.isinf(lam):
            point = (yield from maximise(target, lam, points[-1], curvature, goal)).point
            if point.moments.ess < SMALLEST_ESS * point.moments.rows:
                break
            points.append(point)
    return points


def _judge(weights: Float64Array, groups: Mapping[str, slice], pool: Pool, shares: Mapping[str, float], judges: Views) -> Judgement:
    """Students trained on rows drawn by the weights, the mean over the draws. The draws of all candidates use the same
    uniform numbers, which takes most of their noise out of the comparison."""
    rows = quotas(shares, min(DRAWN_ROWS, len(weights)))
    found = []
    for u in pool.u:
        copies = np.zeros(len(weights), dtype=np.int64)
        for name, mine in groups.items():
            ticks = to_ticks(weights[mine])
            copies[mine] = systematic_copies(ticks, 0, int(ticks.sum()), rows[name], float(u[mine.start]))
        found.append(judge_rows(pool.rows, copies, judges))
    return Judgement(float(np.mean([f.accuracy for f in found])), float(np.mean([f.log_loss for f in found])))
