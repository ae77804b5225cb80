"""A process that speaks synthetic clips: espeak's library can be loaded once in each."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES
from vm_startup.speech_commands import worker_process
from vm_startup.speech_commands.data.source import Piece, Reader
from vm_startup.speech_commands.synthetic.speech import SyntheticSpeech

PIECE = 64  # clips passed on at once: 2 MB


@contextlib.contextmanager
def start(arguments: list, blocks: dict[range, int]) -> Iterator[Reader]:
    """A reader, in its own process, of the blocks of SyntheticSpeech(*arguments)."""
    with worker_process.started(__spec__.name) as worker:

        def read(block: range) -> Iterator[Piece]:
            worker.send(blocks[block])
            for start in range(0, len(block), PIECE):
                shape = min(PIECE, len(block) - start), CLIP_SAMPLES
                samples = worker.read(2 * shape[0] * CLIP_SAMPLES)
                yield np.frombuffer(samples, "<i2").reshape(shape), [None] * shape[0]

        worker.send(arguments)
        yield read


def _answer(next_request: Callable[[], Any]) -> None:
    """Speak the blocks whose indices are asked for."""
    speech = SyntheticSpeech(*next_request())
    while True:
        for clip in speech.speak(next_request()):
            sys.stdout.buffer.write(clip.astype("<i2", copy=False).data)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    worker_process.serve(_answer)
