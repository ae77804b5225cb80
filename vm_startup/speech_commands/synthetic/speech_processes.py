"""Processes that speak synthetic clips: espeak's library can be loaded once in each.

A process is told on its standard input what to speak, one JSON value a line, and answers with
samples on its standard output. It ends when its input does, so it never outlives who started it.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from vm_startup.speech_commands.data.clip import SAMPLES, Reader
from vm_startup.speech_commands.errors import DataError

PIECE = 64  # clips handed over at once: 2 MB
SPOKEN_BY = [  # files of the trainer that decide what a clip sounds like
    *(f"synthetic/{name}.py" for name in ("source", "vocabulary", "espeak")),
    *("synthetic/common_words.txt", "synthetic/speakers.txt"),
    *("augmentation/acoustics.py", "data/split.py", "data/wav.py"),
]


def key(made_of: dict) -> str:
    """A digest of a SyntheticSource's arguments and of the code and library that speak."""
    import espeakng_loader
    import soxr

    digest = hashlib.sha256(json.dumps([made_of, np.__version__, soxr.__version__]).encode())
    for name in SPOKEN_BY:
        digest.update((Path(__file__).parents[1] / name).read_bytes())
    digest.update(Path(espeakng_loader.get_library_path()).read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def process(made_of: dict, blocks: dict[range, int]) -> Iterator[Reader]:
    """A reader of the blocks that SyntheticSource(**made_of) has, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["OPENBLAS_NUM_THREADS"] = "1"  # each core has a process of its own

    def read(block: range) -> Iterator[np.ndarray]:
        _tell(speaker, blocks[block])
        for start in range(0, len(block), PIECE):
            shape = min(PIECE, len(block) - start), SAMPLES
            samples = speaker.stdout.read(2 * shape[0] * SAMPLES)
            if len(samples) < 2 * shape[0] * SAMPLES:
                raise DataError(f"a process that speaks has ended with code {speaker.wait()}.")
            yield np.frombuffer(samples, "<i2").reshape(shape)

    with subprocess.Popen(
        [sys.executable, "-m", __spec__.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        process_group=0,  # Ctrl-C is for who started it
    ) as speaker:
        try:
            _tell(speaker, made_of)
            yield read
        finally:
            speaker.kill()


def _tell(speaker: subprocess.Popen, what: dict | int) -> None:
    with contextlib.suppress(BrokenPipeError):  # what it should have answered will be missed
        os.write(speaker.stdin.fileno(), json.dumps(what).encode() + b"\n")


def main() -> None:
    """Speak what standard input asks for."""
    asked: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=[asked], daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # nobody is left to hear it
        _speak(asked)
    os._exit(0)


def _speak(asked: "SimpleQueue[str]") -> None:
    from vm_startup.speech_commands.synthetic.source import SyntheticSource

    source = SyntheticSource(**json.loads(asked.get()))
    while True:
        for clip in source.speak(json.loads(asked.get())):
            sys.stdout.buffer.write(clip.astype("<i2", copy=False).data)
        sys.stdout.buffer.flush()


def _listen(asked: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        asked.put(line)
    os._exit(0)  # at once, whatever is being spoken


if __name__ == "__main__":
    main()
