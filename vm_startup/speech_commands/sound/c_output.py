"""Keeps what C libraries print themselves away from the terminal.

libmpg123 writes about every damaged MP3 frame to C's `stderr`, and libsndfile has no way to ask it
not to. In the GNU C library `stdout` and `stderr` are variables that a program may set. Python and
child processes do not use them: they write to file descriptors 1 and 2.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0  # threads
_streams: list[ctypes.c_void_p] = []  # C's variables
_own: list[int | None] = []  # what they hold outside
_nowhere: int | None = None


@contextmanager
def silenced() -> Iterator[None]:
    """While it lasts, C code of this process prints nothing. Threads may use it together."""
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _redirect()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _restore()


def _redirect() -> None:
    global _nowhere
    if _nowhere is None:
        try:
            _streams[:] = [
                ctypes.c_void_p.in_dll(ctypes.pythonapi, name) for name in ("stdout", "stderr")
            ]
        except ValueError:  # a C library without these variables: it prints
            return
        fopen = ctypes.pythonapi.fopen
        fopen.restype = ctypes.c_void_p
        _nowhere = fopen(b"/dev/null", b"w")
    _own[:] = [stream.value for stream in _streams]
    for stream in _streams:
        stream.value = _nowhere


def _restore() -> None:
    for stream, own in zip(_streams, _own, strict=False):
        stream.value = own
