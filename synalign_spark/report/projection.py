"""The plane of the map: principal components of the real rows."""

from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.report.findings import FloatArray


def principal_plane(real: npt.NDArray[Any], other: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Both sets on the two leading principal components of ``real``.

    real: (n, d), n >= 1; other: (m, d). Returns (n, 2), (m, 2) and the explained shares of variance (2,).
    The sign of an axis is fixed by its largest loading, so the same rows give the same map.
    Raises ValueError if there is no real row or the widths differ.

    >>> xy, other, explained = principal_plane(np.array([[-2.0, 0.0, 1.0], [2.0, 0.0, 1.0]]), np.array([[1.0, 5.0, 1.0]]))
    >>> xy[:, 0].tolist(), other[:, 0].tolist(), explained.tolist()
    ([-2.0, 2.0], [1.0], [1.0, 0.0])
    """
    if real.ndim != 2 or other.ndim != 2 or not len(real) or real.shape[1] != other.shape[1]:
        raise ValueError(f"the map needs real rows and one embedding width, got shapes {real.shape} and {other.shape}")
    centre = real.mean(axis=0, dtype=np.float64)
    centred = real - centre
    covariance = centred.T @ centred / len(real)  # (d, d)
    variances, vectors = np.linalg.eigh(covariance)  # ascending
    leading = vectors[:, ::-1][:, :2]  # (d, min(d, 2))
    leading = leading * np.where(leading[np.abs(leading).argmax(axis=0), range(leading.shape[1])] < 0, -1.0, 1.0)
    axes = np.zeros((real.shape[1], 2))
    axes[:, : leading.shape[1]] = leading
    explained = np.zeros(2)
    explained[: leading.shape[1]] = variances[::-1][:2].clip(min=0) / max(float(variances.clip(min=0).sum()), 1e-300)
    return centred @ axes, (other - centre) @ axes, explained
