"""Some of the stored clips, as an array that reads audio when it is indexed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES

SILENT_ROW = -1  # a clip that is not stored: digital silence


class StoredAudio:
    """int16 [n, 16000]: row i is row `rows[i]` of the stores laid end to end.

    Index it as an array along its first axis, by number, slice, mask or numbers. The result is an
    array with its own memory.
    """

    dtype, ndim = np.dtype(np.int16), 2

    def __init__(self, stores: Sequence[np.ndarray], rows: np.ndarray) -> None:
        """`stores` are int16 [m, 16000], `rows` int64 [n]."""
        self._rows, self._stores = rows, stores
        self._starts = np.cumsum([0, *map(len, stores)])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), CLIP_SAMPLES

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = self._rows[key]
        audio = np.zeros((*rows.shape, CLIP_SAMPLES), np.int16)
        for start, store in zip(self._starts, self._stores, strict=False):
            here = (start <= rows) & (rows < start + len(store))
            if here.all():
                return store[rows - start]
            audio[here] = store[rows[here] - start]
        return audio

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)
