"""Features of many clips at once by the front end in C, on every core."""

import ctypes
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from vm_startup.micro_frontend import build
from vm_startup.micro_frontend.tables import FrontEnd

SHARE = 128  # clips for one thread; a multiple of the 8 that are computed at once
SCALE = np.float32(10 / 256)  # from the integers to the features that models are trained on


class Extractor:
    """A front end built for this computer; any number of threads may use it."""

    def __init__(self, library: ctypes.CDLL, front_end: FrontEnd) -> None:
        self.front_end = front_end
        self._batch = _function(library.msl_frontend_extract_batch)
        self._one_by_one = _function(library.msl_frontend_extract)

    def features(self, audio: np.ndarray, threads: int | None = None) -> np.ndarray:
        """Features of many clips: int16 [n, samples] → float32 [n, frames * channels].

        `threads` defaults to the number of cores. Raises TypeError for other arrays.
        """
        _check(audio)
        size = self.frames(audio.shape[1]) * self.front_end.channels
        features = np.empty((len(audio), size), np.float32)

        def share(start: int) -> None:
            part = slice(start, start + SHARE)
            found = self.integers(audio[part])
            np.multiply(found.reshape(len(found), -1), SCALE, out=features[part])

        with ThreadPoolExecutor(threads or cores()) as pool:
            list(pool.map(share, range(0, len(audio), SHARE)))
        return features

    def integers(self, audio: np.ndarray, *, one_by_one: bool = False) -> np.ndarray:
        """The integers behind the features: int16 [n, samples] → uint16 [n, frames, channels].

        With `one_by_one` it computes as a microcontroller does; the bits are the same.
        """
        _check(audio)
        audio = np.ascontiguousarray(audio)
        clips, samples = audio.shape
        found = np.empty((clips, self.frames(samples), self.front_end.channels), np.uint16)
        run = self._one_by_one if one_by_one else self._batch
        run(audio.ctypes.data, clips, samples, found.ctypes.data)
        return found

    def frames(self, samples: int) -> int:
        """Windows that fit `samples`."""
        return max(0, 1 + (samples - self.front_end.window) // self.front_end.stride)


@functools.lru_cache
def extractor(front_end: FrontEnd) -> Extractor | None:
    """The extractor for these settings, built if needed; None without a compiler."""
    library = build.load(front_end)
    return Extractor(library, front_end) if library else None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check(audio: np.ndarray) -> None:
    if audio.dtype != np.int16 or audio.ndim != 2:
        raise TypeError(f"clips must be int16 [n, samples], not {audio.dtype} {audio.shape}")


def _function(entry: Any) -> Any:
    entry.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
    entry.restype = None
    return entry
