"""Some of the clips that are stored, as an array of audio that reads what is asked of it."""

from collections.abc import Sequence

import numpy as np

from vm_startup.speech_commands.data.clip import SAMPLES

SILENT_ROW = -1  # a clip that is stored nowhere: digital silence


class Rows:
    """int16 [n, 16000]: row i is row `rows[i]` of the stores laid end to end.

    It is indexed as an array is, by number, slice, mask or numbers, along its first axis, and
    gives arrays of its own memory.
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
        return len(self), SAMPLES

    def __getitem__(self, key) -> np.ndarray:
        rows = self._rows[key]
        audio = np.zeros((*rows.shape, SAMPLES), np.int16)
        for start, store in zip(self._starts, self._stores, strict=False):
            here = (start <= rows) & (rows < start + len(store))
            if here.all():
                return store[rows - start]
            audio[here] = store[rows[here] - start]
        return audio

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def copy(self) -> np.ndarray:
        """All rows."""
        return self[:]
