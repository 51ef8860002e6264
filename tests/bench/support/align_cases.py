"""The parts of the alignment benchmark. Each returns entries of its JSON line, with the sizes that they were taken at."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from synalign_spark.alignment.samples import sample_rows
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import FeatureMap, draw_feature_map, median_distance
from synalign_spark.core.solver.dual import Curvature, Goal, Solution, Target, maximise, maximise_through_sample, run_together
from synalign_spark.core.solver.moments import Pass
from synalign_spark.core.solver.shard import CHUNK_ROWS, Shard, ShardBuilder, ShardRows, usable_threads

WIDTH, CENTRES, REAL_ROWS, LAM = 384, 40, 5_000, 1e-3
WARM_START_ROWS = AlignConfig().warm_start_rows
THREADS = usable_threads()


def embeddings(rows: int, seed: int, skew: float = 0.0):
    """(rows, 384) unit vectors in slices of a chunk; skew: how much the first directions are preferred."""
    directions = np.random.default_rng(0).standard_normal((CENTRES, WIDTH)).astype(np.float32)
    share = np.exp(-skew * np.arange(CENTRES) / CENTRES)
    for start in range(0, rows, CHUNK_ROWS):
        rng = np.random.default_rng([seed, start])
        n = min(CHUNK_ROWS, rows - start)
        x = directions[rng.choice(CENTRES, n, p=share / share.sum())] + 1.2 * rng.standard_normal((n, WIDTH), dtype=np.float32)
        yield x / np.linalg.norm(x, axis=1, keepdims=True)


def feature_map(features: int) -> FeatureMap:
    base = median_distance(next(embeddings(1_000, 1)))
    return draw_feature_map(WIDTH, features, [base, base / 2], 0)


def problem(rows: int, features: int, storage: str = "float32") -> tuple[ShardRows, Shard, Target]:
    """All rows and the product's sample of them, in memory, and the target."""
    make, sampled = feature_map(features), sample_rows(rows, WARM_START_ROWS)
    everything, sample, taken = ShardBuilder(make, storage, THREADS), ShardBuilder(make, "float32", THREADS), 0
    for x in embeddings(rows, 2):
        nothing = np.zeros(len(x))
        everything.add("", x, nothing, nothing)
        share = max(0, -(-sampled * len(x) // rows))
        sample.add("", x[:share], nothing[:share], nothing[:share])
        taken += len(x[:share])
    mu = np.mean([make(x).astype(np.float64).mean(axis=0) for x in embeddings(REAL_ROWS // CHUNK_ROWS * CHUNK_ROWS, 3, skew=2.0)], axis=0)
    whole = everything.shard()
    return ShardRows(whole, whole if taken >= rows else sample.shard(), LocalCommunicator()), whole, Target(mu, float(np.log(rows)))


def solve(rows: ShardRows, target: Target, lam: float = LAM, tolerance: float = 1e-6) -> tuple[Solution, float]:
    """The solution from a cold start, path on the sample included, and its seconds."""
    started, theta, passes = time.perf_counter(), np.zeros_like(target.mu), 0

    def search():
        nonlocal passes
        curvature, start = Curvature(), (yield Pass(theta, everywhere=False))
        on_sample = Target(target.mu, start.log_partition)
        from synalign_spark.core.solver.dual import dual_point

        point = dual_point(theta, np.inf, start, on_sample)
        for step in np.geomspace(0.25, lam, 5):
            found = yield from maximise(on_sample, float(step), point, curvature, Goal(1e-4, 200), everywhere=False)
            point, passes = found.point, passes + found.sample_passes
        return (yield from maximise_through_sample(target, lam, point.theta, curvature, Goal(tolerance, 500)))

    found = run_together({"": search()}, rows.evaluate)[""]
    return found, time.perf_counter() - started


def best(job: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of several runs."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def adam(rows: int, features: int, rates: list[float]) -> dict:
    """Until Adam on softmax logits has the objective value of ours (solved to a relative gap of 1e-6) to one in a million.

    A rate that does not get there in forty times our seconds is reported as such."""
    import torch

    torch.set_num_threads(THREADS)
    ours, whole, target = problem(rows, features)
    found, seconds = solve(ours, target)
    goal = (found.point.value + found.point.gap) * (1 + 1e-6)
    phi = torch.from_numpy(np.concatenate([chunk.values for chunk in whole.groups[""]]))
    mu = torch.from_numpy(target.mu.astype(np.float32))
    tried = [_adam(phi, mu, rate, goal, 40 * seconds) for rate in rates]
    fastest = min(tried, key=lambda t: (not t["reached"], t["seconds"]))
    entry = {"rows": rows, "features": features, "ours_s": round(seconds, 2), "ours_passes": found.passes, "adam": tried}
    return {"speedup_vs_adam": round(fastest["seconds"] / seconds, 1), "speedup_vs_adam_at": entry}


def _adam(phi, mu, rate: float, goal: float, most_s: float) -> dict:
    """Adam on softmax logits, minimising KL(w || uniform) + ||sum w phi - mu||^2 / (2 lambda)."""
    import torch

    n = len(phi)
    logits = torch.zeros(n, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=rate)
    started, steps, value = time.perf_counter(), 0, float("inf")
    while value > goal and time.perf_counter() - started < most_s:
        optimiser.zero_grad()
        log_w = torch.log_softmax(logits, 0)
        w = log_w.exp()
        loss = (w * log_w).sum() + float(np.log(n)) + ((w @ phi - mu) ** 2).sum() / (2 * LAM)
        loss.backward()
        optimiser.step()
        value, steps = float(loss.detach()), steps + 1
    seconds = time.perf_counter() - started
    return {"rate": rate, "steps": steps, "seconds": round(seconds, 2), "reached": value <= goal, "excess": round(value / goal - 1, 6)}


def exact(rows: int, features: int) -> dict:
    """The primal optimum by clarabel (exponential cones), which knows nothing of the dual."""
    import clarabel
    from scipy import sparse

    ours, whole, target = problem(rows, features)
    found, seconds = solve(ours, target, tolerance=1e-9)
    phi = whole.groups[""][0].values.astype(np.float64)
    size, place = 2 * rows + features, np.arange(rows)
    quadratic = sparse.diags(np.concatenate([np.zeros(2 * rows), np.full(features, 1.0 / LAM)]), format="csc")
    linear = np.concatenate([np.zeros(rows), np.ones(rows), np.zeros(features)])
    equal = sparse.bmat([[phi.T, sparse.csc_matrix((features, rows)), -sparse.identity(features)], [np.ones((1, rows)), None, None]])
    cone = sparse.coo_matrix(
        (
            np.concatenate([np.ones(rows), -np.ones(rows)]),
            (np.concatenate([3 * place, 3 * place + 1]), np.concatenate([rows + place, place])),
        ),
        shape=(3 * rows, size),
    )
    bound = np.concatenate([target.mu, [1.0], np.tile([0.0, 0.0, 1.0 / rows], rows)])
    options = clarabel.DefaultSettings()
    options.verbose = False
    options.tol_gap_rel = options.tol_gap_abs = options.tol_feas = 1e-10
    cones = [clarabel.ZeroConeT(features + 1), *[clarabel.ExponentialConeT()] * rows]
    started = time.perf_counter()
    truth = clarabel.DefaultSolver(quadratic, linear, sparse.vstack([equal, cone]).tocsc(), bound, cones, options).solve().obj_val
    entry = {"rows": rows, "features": features, "ours_s": round(seconds, 2), "exact_s": round(time.perf_counter() - started, 2)}
    return {"objective_error_vs_exact": abs(found.point.value - truth) / abs(truth), "objective_error_at": entry}


def bandwidth(rows: int, features: int) -> dict:
    """The fused pass against a plain float32 matrix-vector product over the same array, both on all cores."""
    rng = np.random.default_rng(0)
    phi = np.empty((rows, features), dtype=np.float32)
    for start in range(0, rows, CHUNK_ROWS):
        phi[start : start + CHUNK_ROWS] = rng.standard_normal((min(CHUNK_ROWS, rows - start), features), dtype=np.float32)
    phi /= np.sqrt(features, dtype=np.float32)
    theta = rng.standard_normal(features)
    shard, plain = Shard.of({"": (phi, np.zeros(rows))}, THREADS), theta.astype(np.float32)
    product, fused = best(lambda: phi @ plain), best(lambda: shard.evaluate({"": Pass(theta)}))
    entry = {"rows": rows, "features": features, "threads": THREADS, "product_gb_s": round(phi.nbytes / product / 1e9, 1)}
    return {"bandwidth_fraction": round(product / fused, 3), "bandwidth_at": entry | {"fused_gb_s": round(phi.nbytes / fused / 1e9, 1)}}


def passes(rows: int, features: int) -> dict:
    """Full passes to a relative gap of 1e-6 from nothing; the seconds include the path on the sample."""
    storage = "float32" if rows * features * 4 <= 5e9 else "int16"
    started = time.perf_counter()
    ours, _, target = problem(rows, features, storage)
    built = time.perf_counter() - started
    found, seconds = solve(ours, target)
    entry = {"rows": rows, "features": features, "storage": storage, "features_s": round(built, 1), "solve_s": round(seconds, 2)}
    return {
        "full_passes": found.passes,
        "full_passes_at": entry | {"relative_gap": found.point.relative_gap, "sample_passes": found.sample_passes},
    }


def barrier(rows: int, features: int, times: int) -> dict:
    """The same solve in one process with a thread a core, in a Spark barrier stage of as many tasks, and with one job a pass.

    Seconds of the solve alone, features in memory; the driver loop makes them again in every pass."""
    from functools import partial

    from synalign_spark.alignment.runtimes.barrier import load_shards
    from synalign_spark.alignment.runtimes.driver_loop import SparkRows
    from synalign_spark.core.solver.path import Sample, Settings
    from synalign_spark.core.solver.solve import Problem
    from synalign_spark.core.solver.solve import solve as solve_all
    from synalign_spark.distributed.spmd import run_spmd
    from tests.bench.support.spark_rows import rows_frame, session, timed_solve_shards

    make, (ours, _, target) = feature_map(features), problem(rows, features)
    half = Sample(REAL_ROWS, target.mu)
    share = sample_rows(rows, WARM_START_ROWS) / rows
    problems = {
        "": Problem(half, Sample(0, np.zeros(features)), Sample(0, np.zeros(features)), Settings("fixed", LAM, 0.0, 1e-6, 500), share)
    }
    started = time.perf_counter()
    solve_all(problems, ours.evaluate)
    process = time.perf_counter() - started
    with session(THREADS) as spark:
        frame = rows_frame(spark, rows, partial(embeddings, seed=2), 2 * THREADS).persist()
        frame.count()
        load = partial(load_shards, features=make, storage="float32", shares={"": share})
        found, whole = [], []
        for _ in range(times):  # the second finds the workers started
            started = time.perf_counter()
            answer = run_spmd(frame, "doc_id", THREADS, load, partial(timed_solve_shards, problems=problems), timeout_s=300)
            whole.append(round(time.perf_counter() - started, 2))
            found.append(json.loads(answer))
        started = time.perf_counter()
        loop = SparkRows(frame, make).solve(problems)[""].finished
        looped = time.perf_counter() - started
    entry = {
        "rows": rows,
        "features": features,
        "tasks": THREADS,
        "process_s": round(process, 2),
        "barrier_s": round(found[-1]["seconds"], 2),
    }
    entry |= {
        "barrier_job_s": whole,
        "driver_loop_s": round(looped, 1),
        "full_passes": found[-1]["passes"],
        "driver_loop_passes": loop.passes,
    }
    return {"barrier_over_process": round(found[-1]["seconds"] / process, 2), "barrier_at": entry}


def memory(rows: int, features: int) -> dict:
    """Peak memory of a process that makes the features and solves, as a barrier task does; in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.support.align_cases", str(rows), str(features)]
    root = Path(__file__).resolve().parents[3]
    found = json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout)
    size = rows * features * 4
    entry = {"rows": rows, "features": features, "features_gb": round(size / 1e9, 2), "peak_gb": round(found["peak"] / 1e9, 2)}
    return {"peak_over_features": round(found["peak"] / size, 2), "memory_at": entry}


def scaling(rows: list[int], features: list[int]) -> dict:
    """Seconds a pass over rows and features; sizes above 9 GB are left out."""
    found = []
    for d in features:
        for n in rows:
            if n * d * 4 <= 9e9:
                phi = np.full((n, d), 1.0 / np.sqrt(d), dtype=np.float32)
                shard, theta = Shard.of({"": (phi, np.zeros(n))}, THREADS), np.ones(d)
                found.append({"rows": n, "features": d, "pass_s": round(best(lambda s=shard, t=theta: s.evaluate({"": Pass(t)}), 3), 5)})
    return {"scaling": found}


def plot(found: list[dict], path: Path) -> None:
    """Seconds a pass against rows, one line a width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for d in sorted({row["features"] for row in found}):
        of_width = [row for row in found if row["features"] == d]
        axes.loglog([row["rows"] for row in of_width], [row["pass_s"] for row in of_width], marker="o", label=f"D = {d:,}")
    axes.set(xlabel="rows", ylabel="seconds a pass")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    ours, _, target = problem(int(sys.argv[1]), int(sys.argv[2]))
    solve(ours, target)
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
