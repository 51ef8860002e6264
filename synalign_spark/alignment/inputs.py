"""What the solver is given of the real rows: the kernel's bandwidths, and the mean features by group and split."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.alignment.samples import RealSample
from synalign_spark.alignment.sides import SPLITS, Batches, Side
from synalign_spark.alignment.survey import SUM_STEPS, effective_rows
from synalign_spark.core.defaults import LARGEST_DISTANCE, MOST_BANDWIDTH
from synalign_spark.core.features import FeatureMap, median_distance, nearly_equal
from synalign_spark.core.groups import label_of
from synalign_spark.core.solver.path import Sample
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.udfs.arrow import to_matrix

SLICE_ROWS = 4_096  # rows whose features are in memory at a time on an executor
SUMS = pa.schema([("grp", pa.string()), ("split", pa.string()), ("sums", pa.list_(pa.int64()))])


def bandwidths(real: RealSample, given: float | str, scales: Sequence[float]) -> list[float]:
    """Of the kernel. given: the first, or median: the median distance of 1,000 real rows that are not held out; scales: factors of it.

    Raises DataError for vectors of a length that sums do not bear, ConfigError for a bandwidth that tells no row from another, or none like it."""
    rows = real.bandwidth_rows()
    median = median_distance(rows)
    if not 1 / LARGEST_DISTANCE <= median <= LARGEST_DISTANCE:
        raise DataError(
            f"align: the embeddings of real rows are {median:.3g} apart in the median; divide all vectors, of both sides, by about that, or bring them to length 1"
        )
    found = [float(median if given == "median" else given) * scale for scale in scales]
    wrong = [value for value in found if not median / MOST_BANDWIDTH <= value <= median * MOST_BANDWIDTH]
    if wrong and len(rows) > 1 and not nearly_equal(rows):
        key = f"bandwidth_scales is {list(scales)}" if given == "median" else f"bandwidth is {given:g} (bandwidth_scales {list(scales)})"
        raise ConfigError(
            f"align.{key}, which makes a bandwidth of {wrong[0]:.3g}, but real rows are {median:.3g} apart in the median: the kernel is the same for "
            f"all rows; keep within a factor of {MOST_BANDWIDTH:g} of that, or leave both out"
        )
    return found


def real_means(real: Side, features: FeatureMap) -> dict[str, dict[str, Sample]]:
    """Mean feature of the real rows by group and split, in one pass.

    One D-vector a part, group and split reaches the driver. Sums are of whole numbers: the same bits for every partitioning.
    Returns group to split to sample, whose count is the effective number of rows; a split without rows has count 0.
    Raises DataError where all weights of a group are 0."""
    table = real.scan(partial(_sum_features, features=features), SUMS, ["grp", "split", "prior", "embedding"])
    sums: dict[tuple[str, str], npt.NDArray[np.int64]] = {}
    for group, split, total in zip(*(table.column(name) for name in ("grp", "split", "sums")), strict=True):
        key = (group.as_py(), split.as_py())
        sums[key] = sums.get(key, 0) + total.values.to_numpy()
    groups = sorted({group for group, _ in sums})
    found = {group: {split: _sample(sums.get((group, split)), features.n_features) for split in SPLITS} for group in groups}
    dead = [str(label_of(group) or "(none)") for group in groups if not any(part.count for part in found[group].values())]
    if dead:
        raise DataError(
            f"align: all weights of the real rows are 0, or below a billionth of the largest, for label {', '.join(dead[:10])}; give at least one row "
            "more weight"
        )
    return found


def _sample(sums: npt.NDArray[np.int64] | None, n_features: int) -> Sample:
    """sums: (D + 3,) whole numbers: rows of weight, sum p, sum p^2, sum p phi."""
    if sums is None or not sums[1]:
        return Sample(0, np.zeros(n_features))
    return Sample(effective_rows(*sums[:3].tolist()), sums[3:] / (SUM_STEPS * (sums[1] / SUM_STEPS)))


def _sum_features(batches: Batches, features: FeatureMap) -> Iterator[pa.RecordBatch]:
    sums: dict[tuple[str, str], npt.NDArray[np.int64]] = {}
    for batch in batches:
        for start in range(0, batch.num_rows, SLICE_ROWS):
            part = batch.slice(start, SLICE_ROWS)
            p = part.column("prior").to_numpy(zero_copy_only=False)[:, None]  # (n, 1)
            columns = np.concatenate([p, p**2, p * features(to_matrix(part.column("embedding"))).astype(np.float64)], axis=1)
            steps = np.concatenate([p > 0, np.rint(columns * SUM_STEPS)], axis=1).astype(np.int64)  # (n, D + 3)
            keys = np.asarray(list(zip(part.column("grp").to_pylist(), part.column("split").to_pylist(), strict=True)), dtype=object)
            for key in sorted({tuple(key) for key in keys}):
                rows = (keys[:, 0] == key[0]) & (keys[:, 1] == key[1])
                sums[key] = sums.get(key, 0) + steps[rows].sum(axis=0)
    for key in sorted(sums):
        row = [pa.array([key[0]]), pa.array([key[1]]), pa.array([sums[key]], pa.list_(pa.int64()))]
        yield pa.RecordBatch.from_arrays(row, schema=SUMS)
