"""Processes that work for this one: they read requests on standard input, a JSON value a line, and
answer on standard output. Each ends when its input ends, so none outlives the process that started
it."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import IO, Any, cast

from vm_startup.speech_commands.errors import DataError

PIPE = 1 << 20  # bytes of answers that may wait; with fewer, both processes wait more often


class Worker:
    """A process that answers requests."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process
        self._output = cast(IO[bytes], process.stdout)

    def send(self, request: Any) -> None:
        """Send a request: any JSON value."""
        with contextlib.suppress(BrokenPipeError):  # its missing answer is noticed later
            descriptor = cast(IO[bytes], self._process.stdin).fileno()
            rest = memoryview(json.dumps(request).encode() + b"\n")
            while rest:
                rest = rest[os.write(descriptor, rest) :]

    def read(self, count: int) -> bytes:
        """So many bytes of its answers; raises DataError if it ended before."""
        found = self._output.read(count)
        if len(found) < count:
            raise self._ended()
        return found

    def read_line(self) -> bytes:
        """A line of its answers; raises DataError if it ended before."""
        found = self._output.readline()
        if not found.endswith(b"\n"):
            raise self._ended()
        return found

    def _ended(self) -> DataError:
        code = self._process.wait()
        return DataError(f"a process that reads or speaks clips ended early with exit code {code}")


@contextlib.contextmanager
def started(module: str) -> Iterator[Worker]:
    """A process that runs `module`, which calls `serve`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["OPENBLAS_NUM_THREADS"] = "1"  # each core has its own process
    with subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        process_group=0,  # Ctrl-C reaches only the process that started it
        pipesize=PIPE,
    ) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def serve(answer: Callable[[Callable[[], Any]], None]) -> None:
    """Run `answer`, which calls its argument for each next request, until the input ends."""
    requests: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_receive, args=[requests], daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the parent process has ended
        answer(lambda: json.loads(requests.get()))
    os._exit(0)


def _receive(requests: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # at once, even while working
