"""Real values as the 8-bit codes of a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def quantise(
    values: np.ndarray, scale: float, zero_point: int, dtype: DTypeLike
) -> NDArray[np.integer[Any]]:
    """value / scale + zero point, clamped to `dtype`; ties round up, as in fake-quant nodes."""
    limits = np.iinfo(np.dtype(dtype))
    steps = np.floor(np.asarray(values, np.float64) / scale + 0.5) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)
