"""A process that has imported what launchers import, and forks them.

    python -m leak_cells SOCKET

A launcher needs five seconds and more to import Google's client, fabric and TensorFlow. A forked
launcher is a process of its own in every respect that matters here: session, folder, environment,
signals.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

LAUNCHER_SECONDS = 150  # a launcher of a cell that takes longer hangs
WARM_SECONDS = 120
WARM = (
    *(f"launcher.{name}" for name in ("cli", "jobs.control", "jobs.pipeline", "status")),
    *(f"launcher.machines.gce.{name}" for name in ("client", "create", "choices", "connect")),
    *(
        "firmware_export.compiler.sources",
        "firmware_export.steps",
        "firmware_export.verify.proof",
        "leak_cells.injection",
        "tensorflow",
        "unicorn",
    ),
)
# What a forked launcher emulates: a real proof emulates 200 clips, and the sound of 24, 16 of them
# recorded, and counts instructions, one call of Python each.
CLIPS, RECORDED = 24, 4


class Launched:
    """A forked launcher."""

    def __init__(self, link: socket.socket) -> None:
        self._lines = link.makefile("r")
        self._ended = threading.Event()
        self.code: int | None = None  # negative: the signal that killed it
        self.pid = int(self._lines.readline())
        threading.Thread(target=self._wait_for_end, daemon=True).start()

    def wait(self, seconds: float = LAUNCHER_SECONDS) -> bool:
        """Whether it ended within `seconds`."""
        return self._ended.wait(seconds)

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            if not self._ended.is_set():
                os.kill(self.pid, number)

    def _wait_for_end(self) -> None:
        self.code = int(self._lines.readline() or -signal.SIGKILL)
        self._ended.set()


class Forked:
    """A forked launcher with what tests use of subprocess.Popen."""

    def __init__(self, launched: Launched, streams: tuple[IO[str], ...]) -> None:
        self._launched, self._streams = launched, streams
        self.send_signal = launched.signal

    @property
    def returncode(self) -> int | None:
        """The exit code; negative: the signal that killed it; None: it runs."""
        return self._launched.code

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = LAUNCHER_SECONDS) -> tuple[str, str]:
        """Wait for its end: standard output, standard error. Raises TimeoutExpired."""
        if not self._launched.wait(timeout):
            raise subprocess.TimeoutExpired("launcher", timeout)
        for stream in self._streams:
            stream.seek(0)
        return self._streams[0].read(), self._streams[1].read()


class ForkServer:
    """A context manager that forks launchers from a process which has imported `warm`."""

    def __init__(self, folder: Path, warm: tuple[str, ...] = WARM) -> None:
        self._path = folder / "fork_server"
        self._warm = warm

    def __enter__(self) -> Self:
        tests = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "leak_cells", str(self._path), *self._warm],
            env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + WARM_SECONDS
        while not self._path.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the fork server did not start")
            time.sleep(0.05)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()

    def launch(
        self,
        workspace: Path,
        environment: dict[str, str],
        *arguments: str,
        fault: dict | None = None,
        streams: tuple[int, ...] = (),
    ) -> Launched:
        """Start the launcher in the folder `workspace`; its output goes to the files `out` and
        `err` there, or to two file descriptors. `fault` has the arguments of injection.install."""
        if not streams:
            with (workspace / "out").open("a") as out, (workspace / "err").open("a") as err:
                both = out.fileno(), err.fileno()
                return self.launch(workspace, environment, *arguments, fault=fault, streams=both)
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(self._path))
        wanted = {"workspace": str(workspace), "environment": environment, "arguments": arguments}
        socket.send_fds(link, [b"\n"], streams)
        link.sendall(json.dumps({**wanted, "fault": fault}).encode() + b"\n")
        return Launched(link)

    def start(self, folder: Path, environment: dict[str, str], *arguments: str) -> Forked:
        """Start the launcher in `folder`, and keep what it prints."""
        out = tempfile.TemporaryFile("w+")  # noqa: SIM115  read when the launcher has ended
        err = tempfile.TemporaryFile("w+")  # noqa: SIM115
        both = out.fileno(), err.fileno()
        return Forked(self.launch(folder, environment, *arguments, streams=both), (out, err))


def serve(path: Path, warm: list[str]) -> None:
    """Fork a launcher for each request at the socket `path`, as long as the parent lives."""
    _import(warm)
    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # no zombies of the processes that watch launchers
    parent = os.getppid()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(64)
    Path(f"{path}.new").rename(path)
    listener.settimeout(1)
    while os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            link, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _watch(link)
            link.close()


def _watch(link: socket.socket) -> None:
    """Fork one launcher; send its process ID, and later its exit code."""
    link.settimeout(None)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(link, 1, 2)
    request = json.loads(link.makefile("r").readline())
    child = os.fork()
    if child == 0:
        link.close()
        _launch(request, streams)
    for stream in streams:
        os.close(stream)
    link.sendall(b"%d\n" % child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        link.sendall(b"%d\n" % code)
    os._exit(0)


def _launch(request: dict, streams: list[int]) -> None:
    """Run the launcher in this process."""
    os.setsid()
    os.chdir(request["workspace"])
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    sys.argv = ["launcher", *request["arguments"]]
    from launcher import cli
    from leak_cells import injection

    injection.install(**request["fault"] or {})
    code = 1
    try:
        cli.main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _import(names: list[str]) -> None:
    """Import what launchers import; starts no thread and opens no connection."""
    from firmware_export import clips, quiet_tensorflow
    from firmware_export.verify import emulator, proof_audio

    clips.ENOUGH, proof_audio.RECORDED = CLIPS, RECORDED
    emulator.Chip._count = lambda chip, wanted: None
    for name in names:
        quiet_tensorflow.tensorflow() if name == "tensorflow" else importlib.import_module(name)
    gc.freeze()  # no launcher needs to look at all that again
