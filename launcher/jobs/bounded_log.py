"""A job's log on this disk, bounded although the machine that writes it may never stop."""

import os
from pathlib import Path
from typing import Self

LOG_BYTES = 16 << 20  # of a log that are kept from its beginning; a long training writes 2 MB
END_BYTES = 64 << 10  # of a longer one, also so much of its end


class BoundedLog:
    """Adds the log of a run to the job's log. What is beyond LOG_BYTES is held in memory, at most
    END_BYTES of it, and added at the close after a line that says how much is cut.

    `base` is the length of the file before this run, so its length says where to continue.
    """

    def __init__(self, path: Path, base: int) -> None:
        self._file = path.open("ab")
        self._base = base
        self._room = max(base, LOG_BYTES) - base
        self._kept = min(self._file.tell() - base, self._room)
        self._end = b""
        self.offset = self._kept  # of the next byte to ask the machine for
        self.cut = 0  # bytes that the file lacks, once it is closed

    def add(self, chunk: bytes, size: int) -> None:
        """Add the bytes at `offset`; the machine's log has `size` bytes so far."""
        self.offset += len(chunk)
        kept, beyond = chunk[: self._room - self._kept], chunk[self._room - self._kept :]
        self._kept += len(kept)
        self._write(kept)
        self._end = (self._end + beyond)[-END_BYTES:]
        if self._kept == self._room and self.offset < size - END_BYTES:
            self.offset, self._end = size - END_BYTES, b""  # nobody waits for what will be cut

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self.cut = self.offset - self._kept - len(self._end)
            if self.cut or self._end:
                # An earlier launcher may have added the end that it saw.
                self._file.truncate(self._base + self._kept)
                gap = b"\n[%d bytes of the log are cut here]\n" % self.cut if self.cut else b""
                self._write(gap + self._end)

    def _write(self, text: bytes) -> None:
        if text:
            self._file.write(text)
            self._file.flush()
            os.fsync(self._file.fileno())
