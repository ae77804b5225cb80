"""A folder of recordings, in any layout that layouts.py knows, as a source of clips."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from vm_startup.speech_commands.data import survey
from vm_startup.speech_commands.data.source import Reader
from vm_startup.speech_commands.data.survey_facts import Survey
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.layouts import layout as layouts
from vm_startup.speech_commands.takes import examination, worker

FEW = 500  # files that are examined in this process: sooner than another starts
BLOCK = 64  # recordings read in one go: 2 MB, unless they have many takes


class FolderSource:
    """The clips of a folder."""

    reading = "Reading recordings"

    def __init__(
        self,
        folder: Path | str,
        wanted: Sequence[str],
        validation_percentage: float = 10.0,
        testing_percentage: float = 10.0,
        source: str = "folder",
    ) -> None:
        """Raises DataError if the folder cannot be understood, or has no recording of a word."""
        self.layout = layouts.find(folder, wanted)
        self._folder, self._wanted, self._source = Path(folder), wanted, source
        self._percentages = validation_percentage, testing_percentage

    def key(self) -> str:
        """A digest of the files' names, sizes and times, of which are noise, and of the code that
        reads them."""
        return self._key

    @cached_property
    def _key(self) -> str:
        digest = hashlib.sha256(examination.version())
        for index, path in enumerate(self._paths):
            try:
                found = path.stat()
            except OSError as error:
                raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
            # The time of the last change of the inode cannot be set: another file with an old
            # file's name, size and modification time has another one.
            times = found.st_mtime_ns, found.st_ctime_ns
            name = path.relative_to(self._folder).as_posix()
            kind = "noise" if self._is_noise(index) else "spoken"
            digest.update(os.fsencode(f"\n{kind} {name}\0{found.st_size} {times}"))
        return digest.hexdigest()[:16]

    def blocks(self) -> list[range]:
        """Blocks of BLOCK files; the last one may be shorter."""
        count = len(self._paths)
        return [range(at, min(at + BLOCK, count)) for at in range(0, count, BLOCK)]

    @contextlib.contextmanager
    def reader(self) -> Iterator[Reader]:
        """Examines the files of a block in a process of its own, where that is worth its start."""
        few = len(self._paths) <= FEW
        with contextlib.nullcontext(worker.examine_all) if few else worker.start() as examine:
            yield lambda block: [examine([self._file(index) for index in block])]

    def survey(self, notes: Sequence[examination.Note]) -> Survey:
        """The clips that can be used, and what became of every file."""
        return survey.make(
            *(self.layout, notes, self._folder, self._source, self._wanted, self._percentages)
        )

    def background(self) -> list[np.ndarray]:
        """The noises that can be used, float32 in [-1, 1]."""
        noises = []
        for path in self.layout.noises:
            with contextlib.suppress(DataError):  # the survey names those that cannot be used
                noises.append(examination.read_noise(path).astype(np.float32) / 32768)
        return noises

    @cached_property
    def _paths(self) -> list[Path]:
        return [recording.path for recording in self.layout.recordings] + self.layout.noises

    def _file(self, index: int) -> tuple[Path, bool]:
        return self._paths[index], self._is_noise(index)

    def _is_noise(self, index: int) -> bool:
        return index >= len(self.layout.recordings)
