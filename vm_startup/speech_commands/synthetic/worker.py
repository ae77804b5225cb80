"""A process that speaks synthetic clips: espeak's library can be loaded once in each.

The process reads on its standard input what to speak, one JSON value a line, and writes samples to
its standard output. It ends when its input ends, so it never outlives the process that started it.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import IO, cast

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES
from vm_startup.speech_commands.data.source import Piece, Reader
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.synthetic.speech import SyntheticSpeech

PIECE = 64  # clips passed on at once: 2 MB


@contextlib.contextmanager
def start(arguments: list, blocks: dict[range, int]) -> Iterator[Reader]:
    """A reader, in its own process, of the blocks of SyntheticSpeech(*arguments)."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["OPENBLAS_NUM_THREADS"] = "1"  # each core has its own process

    def read(block: range) -> Iterator[Piece]:
        _send(process, blocks[block])
        output = cast(IO[bytes], process.stdout)
        for start in range(0, len(block), PIECE):
            shape = min(PIECE, len(block) - start), CLIP_SAMPLES
            samples = output.read(2 * shape[0] * CLIP_SAMPLES)
            if len(samples) < 2 * shape[0] * CLIP_SAMPLES:
                raise DataError(f"a speech process ended early with exit code {process.wait()}")
            yield np.frombuffer(samples, "<i2").reshape(shape), [None] * shape[0]

    with subprocess.Popen(
        [sys.executable, "-m", __spec__.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        process_group=0,  # Ctrl-C reaches only the process that started it
    ) as process:
        try:
            _send(process, arguments)
            yield read
        finally:
            process.kill()


def _send(process: subprocess.Popen, request: list | int) -> None:
    with contextlib.suppress(BrokenPipeError):  # its missing answer is noticed later
        os.write(cast(IO[bytes], process.stdin).fileno(), json.dumps(request).encode() + b"\n")


def main() -> None:
    """Speak the blocks whose indices standard input names."""
    requests: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_receive, args=[requests], daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the parent process has ended
        _answer(requests)
    os._exit(0)


def _answer(requests: "SimpleQueue[str]") -> None:
    speech = SyntheticSpeech(*json.loads(requests.get()))
    while True:
        for clip in speech.speak(json.loads(requests.get())):
            sys.stdout.buffer.write(clip.astype("<i2", copy=False).data)
        sys.stdout.buffer.flush()


def _receive(requests: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # at once, even while speaking


if __name__ == "__main__":
    main()
