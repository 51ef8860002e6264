"""The synthetic rows of one process on a torch device, a GPU: the same passes as ``core.solver.shard``, the same numbers to rounding.

Features are made on the device from the embeddings. A pass keeps its running sums there and waits for the device once, at its
end. torch is imported when a device is first used: it takes seconds that a run without one need not wait.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.moments import Moments, Pass
from synalign_spark.core.solver.row_shard import STORAGES, Chunk, Float32Array, Float64Array, RowBuilder
from synalign_spark.core.solver.shard import SINGLE_FROM, Rows, ShardBuilder, choose_storage

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_NUMBERS = 2**26  # features of a block: 2^15 rows of 2,048, so that a kernel works far longer than its start takes
SUM_ROWS = 256  # rows that are summed in a block's own precision; beyond them sums are float64
SECOND_ROWS = 2**13  # rows of a product of second moments
WAITING_NUMBERS = 2**28  # numbers of embeddings that may wait on the host for their block to be full: 1 GB
FREE_SHARE = 0.9  # of the device's free memory; other processes use it too


def device_storage(rows: int, n_features: int, width: int, free_bytes: float) -> tuple[str | None, str]:
    """How to keep ``rows`` rows on a device with ``free_bytes`` free, and why; None where not even the embeddings fit.

    n_features: D; width: d of the embeddings.

    >>> [device_storage(10_000_000, 2_048, 384, gib * 2**30)[0] for gib in (96, 64, 32, 8)]
    ['float32', 'int16', 'recompute', None]
    """
    workspace = 16 * BLOCK_NUMBERS + 24 * n_features**2  # a block in float64 beside its float32 form; second moments
    budget = max(0.0, FREE_SHARE * free_bytes - workspace - 16 * rows)
    storage, shown = choose_storage(rows, n_features, budget)
    return (None if storage == "recompute" and rows * width * 4 > budget else storage), shown


def row_builder(make: FeatureMap, storage: str, device: str | None, threads: int = 1) -> RowBuilder:
    """Where rows go: into this process's memory, or onto a torch device. threads: of the passes in this process."""
    return ShardBuilder(make, storage, threads) if device is None else DeviceBuilder(make, storage, device)


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Products of float32 matrices in float32: TF32, which a program may have allowed, keeps 10 bits of a logit."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class DeviceFeatures:
    """A feature map on a device; see ``core.features``."""

    def __init__(self, make: FeatureMap, device: str) -> None:
        import torch

        self.frequencies = torch.from_numpy(np.array(make.frequencies)).to(device)  # (d, D/2)
        self.n_features, self.largest = make.n_features, make.largest

    @property
    def device(self) -> str:
        return str(self.frequencies.device)

    def __call__(self, x: "Tensor") -> "Tensor":
        """(n, D) float32 features of the (n, d) float32 rows of x, both on the device."""
        import torch

        half = self.n_features // 2
        with exact_products():
            angles = x @ self.frequencies  # (n, D/2)
        phi = torch.empty((len(x), self.n_features), dtype=torch.float32, device=x.device)
        torch.cos(angles, out=phi[:, :half])
        torch.sin(angles, out=phi[:, half:])
        return phi.mul_(float(np.float32(np.sqrt(1.0 / half))))


def fixed_point(phi: "Tensor", scale: float) -> "Tensor":
    """Features over a scale as int16, in place as far as it goes."""
    import torch

    return phi.div_(float(np.float32(scale))).round_().to(torch.int16)


class DeviceShard:
    """Rows grouped by label, as ``core.solver.shard.Shard``, on a torch device."""

    def __init__(self, groups: dict[str, list[Chunk["Tensor"]]], make: DeviceFeatures, single: bool = False) -> None:
        """single: passes in float32 within SUM_ROWS rows, else in float64."""
        self.groups, self.make, self.single = groups, make, single

    def rows(self, group: str) -> int:
        """Rows of a group, pinned ones included."""
        return sum(len(block.log_base) for block in self.groups.get(group, []))

    def evaluate(self, wanted: Mapping[str, Pass]) -> dict[str, Moments]:
        """One pass over the rows of the groups that are asked for; ``Pass.everywhere`` is the caller's affair."""
        import torch

        names = sorted(wanted)
        if not names:
            return {}
        thetas = torch.from_numpy(np.stack([wanted[name].theta for name in names])).to(self.make.device)  # (k, D)
        sums, second = [], {}
        with exact_products():
            for name, theta in zip(names, thetas, strict=True):
                flat, products = self._sums(name, theta, wanted[name])
                sums.append(flat)
                if products is not None:  # read at once: D^2 numbers a label are too many to let them wait
                    second[name] = products.cpu().numpy()
            found: Float64Array = torch.stack(sums).cpu().numpy()  # (k, 4 + D): the one wait for the device
        return {
            name: Moments(float(row[0]), float(row[1]), float(row[2]), row[4:].copy(), int(row[3]), second.get(name))
            for name, row in zip(names, found, strict=True)
        }

    def _sums(self, group: str, theta: "Tensor", asked: Pass) -> "tuple[Tensor, Tensor | None]":
        """shift, total, squares, rows and features in one (4 + D,) vector, and (D, D) second moments; all float64 and on the device."""
        import torch

        head, features = theta.new_zeros(3), torch.zeros_like(theta)  # head: total, squares, rows
        shift = theta.new_full((), -torch.inf)
        second = theta.new_zeros((len(theta), len(theta))) if asked.second else None
        for block in self.groups.get(group, []):
            x = block.features(self.make).to(torch.float32 if self.single else torch.float64)  # (n, D)
            log_a = (block.log_prior if asked.prior else block.log_base) + _logits(x, theta * block.scale)  # (n,) float64
            peak = torch.maximum(shift, log_a.max())
            at = torch.where(torch.isfinite(peak), peak, torch.zeros_like(peak))  # all rows so far may be pinned
            shrink, a = torch.exp(shift - at), torch.exp(log_a - at)
            head = head * torch.stack([shrink, shrink**2, torch.ones_like(shrink)])
            head = head + torch.stack([a.sum(), a @ a, torch.isfinite(log_a).sum().to(a.dtype)])
            features = features * shrink + block.scale * _weighted_sum(a, x)
            if second is not None:
                _add_products(second.mul_(shrink), a, x, block.scale)
            shift = peak
        return torch.cat([shift[None], head, features]), second

    def log_weights(self, group: str, theta: Float64Array) -> Float64Array:
        """(n,) log q_i + theta . phi_i of the rows of a group, in their order."""
        import torch

        on_device = torch.from_numpy(np.array(theta)).to(self.make.device)
        parts = []
        for block in self.groups.get(group, []):
            parts.append(block.log_base + block.features(self.make).to(torch.float64) @ (on_device * block.scale))
        found: Float64Array = torch.cat(parts).cpu().numpy() if parts else np.empty(0)
        return found

    def release(self) -> None:
        """Gives the memory back to the device, which a worker that lives on would keep; the shard has no rows after it."""
        import torch

        self.groups.clear()
        if self.make.frequencies.is_cuda:
            torch.cuda.empty_cache()


def _logits(x: "Tensor", theta: "Tensor") -> "Tensor":
    """(n,) float64 products of rows and theta, made in the precision of x; theta in two numbers of it, as in ``core.solver.fused_pass``."""
    import torch

    head = theta.to(x.dtype)
    return (x @ torch.stack([head, (theta - head).to(x.dtype)], dim=1)).sum(dim=1, dtype=torch.float64)


def _weighted_sum(a: "Tensor", x: "Tensor") -> "Tensor":
    """(D,) float64 sum of a_i x_i. a: (n,) float64; x: (n, D), in whose precision SUM_ROWS rows are summed."""
    import torch

    runs, small = len(x) // SUM_ROWS, a.to(x.dtype)
    whole = runs * SUM_ROWS
    parts = torch.bmm(small[:whole].view(runs, 1, SUM_ROWS), x[:whole].view(runs, SUM_ROWS, x.shape[1]))  # (runs, 1, D)
    return parts.sum(dim=(0, 1), dtype=torch.float64) + (small[whole:] @ x[whole:]).to(torch.float64)


def _add_products(second: "Tensor", a: "Tensor", x: "Tensor", scale: float) -> None:
    """Adds the (D, D) sum of a_i phi_i phi_i^T, phi = scale * x, in float64."""
    for start in range(0, len(x), SECOND_ROWS):
        rows = slice(start, start + SECOND_ROWS)
        scaled = x[rows].to(second.dtype) * (scale * a[rows].sqrt())[:, None]
        second.addmm_(scaled.T, scaled)


class DeviceBuilder:
    """Takes rows as they come and makes blocks of them on a device; they wait on the host until a block is full."""

    def __init__(self, make: FeatureMap, storage: str, device: str, block_rows: int | None = None) -> None:
        """device: as torch names it; block_rows: rows of a block, by default as many as have BLOCK_NUMBERS features.

        Raises ValueError for an unknown storage or no rows a block."""
        if storage not in STORAGES:
            raise ValueError(f"storage must be one of {', '.join(STORAGES)}, got {storage!r}")
        self._block_rows = max(1, BLOCK_NUMBERS // make.n_features) if block_rows is None else block_rows
        if self._block_rows < 1:
            raise ValueError(f"block_rows must be at least 1, got {block_rows}")
        self._make, self._storage = DeviceFeatures(make, device), storage
        self._waiting_limit = max(1, WAITING_NUMBERS // make.width)  # rows, over all groups
        self._waiting: dict[str, list[Rows]] = {}
        self._counts: dict[str, int] = {}
        self._groups: dict[str, list[Chunk[Tensor]]] = {}

    @property
    def waiting_rows(self) -> int:
        """Rows of all groups that wait on the host for their block to be full."""
        return sum(self._counts.values())

    def add(self, group: str, x: Float32Array, log_base: Float64Array, log_prior: Float64Array) -> None:
        """Rows of one group. x: (n, d) embeddings; log_base, log_prior: (n,)."""
        waiting = self._waiting.setdefault(group, [])
        for start in range(0, len(x), self._block_rows):
            rows = slice(start, start + self._block_rows)
            waiting.append((x[rows], log_base[rows], log_prior[rows]))
            self._counts[group] = self._counts.get(group, 0) + len(x[rows])
            if self._counts[group] >= self._block_rows:
                self._emit(group)
        while self.waiting_rows > self._waiting_limit:  # many labels: the fullest block goes as it is
            self._emit(max(sorted(self._counts), key=lambda name: self._counts[name]))

    def _emit(self, group: str) -> None:
        import torch

        joined = [np.concatenate(column) for column in zip(*self._waiting[group], strict=True)]
        taken = [torch.from_numpy(column[: self._block_rows]).to(self._make.device) for column in joined]
        left = [column[self._block_rows :].copy() for column in joined]  # not a view, which would keep all of it
        self._waiting[group][:] = [(left[0], left[1], left[2])] if len(left[0]) else []
        self._counts[group] = len(left[0])
        x, log_base, log_prior = taken
        block = Chunk.of(
            x.to(torch.float32), log_base.to(torch.float64), log_prior.to(torch.float64), self._make, self._storage, fixed_point
        )
        self._groups.setdefault(group, []).append(block)

    def shard(self) -> DeviceShard:
        """All rows that were added."""
        for group in sorted(self._waiting):
            while self._counts[group]:
                self._emit(group)
        numbers = sum(len(block.log_base) for blocks in self._groups.values() for block in blocks) * self._make.n_features
        return DeviceShard(self._groups, self._make, single=numbers >= SINGLE_FROM)
