"""Synthetic speech as a source of clips, spoken by one process per core."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vm_startup.conventions import UNKNOWN
from vm_startup.speech_commands.data.source import Reader
from vm_startup.speech_commands.data.survey_facts import Facts, Survey, count
from vm_startup.speech_commands.synthetic import worker
from vm_startup.speech_commands.synthetic.speech import SyntheticSpeech

SPOKEN_BY = [  # files of the trainer that decide a clip's samples
    *(f"synthetic/{name}.py" for name in ("speech", "vocabulary", "espeak")),
    *("synthetic/common_words.txt", "synthetic/speakers.txt"),
    *("augmentation/acoustics.py", "speaker_splits.py", "sound/sound_file.py"),
]


class SyntheticSource(SyntheticSpeech):
    """A number of clips of every wanted word, and at least half as many of other words in all."""

    reading = "Speaking words"

    def key(self) -> str:
        """A digest of the arguments and of the code and libraries that speak."""
        import espeakng_loader
        import soxr

        versions = [self.arguments, np.__version__, soxr.__version__]
        digest = hashlib.sha256(json.dumps(versions).encode())
        for name in SPOKEN_BY:
            digest.update((Path(__file__).parents[1] / name).read_bytes())
        digest.update(Path(espeakng_loader.get_library_path()).read_bytes())
        return digest.hexdigest()[:16]

    def survey(self, notes: Sequence[Any] = ()) -> Survey:
        """Every clip is used; other words than the wanted are counted as one."""
        clips = self.clips()
        counted = [c if c.word in self.wanted else replace(c, word=UNKNOWN) for c in clips]
        return Survey(clips, Facts(clips[0].source, count(counted, self.wanted, [UNKNOWN])))

    def reader(self) -> AbstractContextManager[Reader]:
        """Speaks in its own process, because a process can have one espeak."""
        indices = {block: index for index, block in enumerate(self.blocks())}
        return worker.start(self.arguments, indices)
