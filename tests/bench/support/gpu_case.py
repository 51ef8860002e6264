"""The solve on a GPU: rows, features and passes on the device."""

import time
from collections.abc import Iterator

import numpy as np

from synalign_spark.alignment.samples import sample_rows
from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.solver.device_shard import BLOCK_NUMBERS, DeviceFeatures, DeviceShard, device_storage, fixed_point
from synalign_spark.core.solver.dual import Target
from synalign_spark.core.solver.moments import Pass
from synalign_spark.core.solver.row_shard import Chunk
from synalign_spark.core.solver.shard import SINGLE_FROM, ShardRows, choose_storage
from synalign_spark.distributed.devices import gpu, gpu_count
from tests.bench.support.align_cases import CENTRES, LAM, WARM_START_ROWS, WIDTH, best, feature_map, solve

REAL_ROWS = 5_000
CPU_BYTES = 1e9  # of features, where torch's CPU stands for a GPU


def gpu_case(rows: list[int], features: int, device: str | None = None) -> dict:
    """Seconds of the solve (lambda 1e-3, relative gap 1e-6, path on the sample included) with features on the device.

    device: as torch names it; None takes the first GPU, and where there is none the entry says so."""
    if device is None and not gpu_count():
        return {"gpu_solve": {"skipped": "no CUDA device on this machine"}}
    place = device or "cuda:0"
    return {"gpu_solve": {"device": _named(place), "runs": [_one(n, features, place) for n in rows]}}


def _named(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"torch's {device}"


def _wait(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _vectors(rows: int, seed: int, device: str, step: int, skew: float = 0.0) -> Iterator:
    """(n, 384) unit vectors around 40 directions in pieces, made on the device; skew: how much the first directions are preferred."""
    import torch

    directions = torch.from_numpy(np.random.default_rng(0).standard_normal((CENTRES, WIDTH)).astype(np.float32)).to(device)
    share = torch.exp(-skew * torch.arange(CENTRES, device=device) / CENTRES)
    source = torch.Generator(device).manual_seed(seed)
    for start in range(0, rows, step):
        n = min(step, rows - start)
        x = directions[torch.multinomial(share, n, replacement=True, generator=source)]
        x = x + 1.2 * torch.randn((n, WIDTH), generator=source, device=device)
        yield x / x.norm(dim=1, keepdim=True)


def _one(rows: int, features: int, device: str) -> dict:
    import torch

    free = gpu(torch.device(device).index or 0).free_bytes if device.startswith("cuda") else None
    storage, why = choose_storage(rows, features, CPU_BYTES) if free is None else device_storage(rows, features, WIDTH, free)
    entry = {"rows": rows, "features": features, "storage": storage}
    if storage is None:
        return entry | {"skipped": f"not even the embeddings fit on the device: {why}"}
    started = time.perf_counter()
    everything, sample, target = _problem(rows, features, device, storage)
    _wait(device)
    built = time.perf_counter() - started
    theta = np.random.default_rng(0).standard_normal(features)
    a_pass = best(lambda: everything.evaluate({"": Pass(theta)}), 3)
    found, seconds = solve(ShardRows(everything, sample, LocalCommunicator()), target)
    sample.release()
    everything.release()
    entry |= {"features_s": round(built, 2), "pass_s": round(a_pass, 5), "solve_s": round(seconds, 3), "full_passes": found.passes}
    return entry | {"sample_passes": found.sample_passes, "relative_gap": found.point.relative_gap, "lambda": LAM}


def _problem(rows: int, features: int, device: str, storage: str) -> tuple[DeviceShard, DeviceShard, Target]:
    """All rows and the product's sample of them on the device, and the target."""
    import torch

    make, step = DeviceFeatures(feature_map(features), device), max(1, BLOCK_NUMBERS // features)
    whole: list[Chunk] = []
    part: list[Chunk] = []
    for x in _vectors(rows, 2, device, step):
        nothing = torch.zeros(len(x), dtype=torch.float64, device=device)
        whole.append(Chunk.of(x, nothing, nothing, make, storage, fixed_point))
        taken = -(-sample_rows(rows, WARM_START_ROWS) * len(x) // rows)
        part.append(Chunk.of(x[:taken].clone(), nothing[:taken], nothing[:taken], make, "float32", fixed_point))
    mean = torch.stack([make(x).sum(dim=0, dtype=torch.float64) for x in _vectors(REAL_ROWS, 3, device, step, skew=2.0)]).sum(dim=0)
    everything = DeviceShard({"": whole}, make, single=rows * features >= SINGLE_FROM)
    return everything, DeviceShard({"": part}, make), Target(mean.cpu().numpy() / REAL_ROWS, float(np.log(rows)))
