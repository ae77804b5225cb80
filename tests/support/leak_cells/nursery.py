"""Launchers by the dozen: a process that has imported all that they need, and forks them.

    python -m leak_cells SOCKET

To import Google's client, fabric and TensorFlow takes a launcher five seconds and more. What is
forked is a process of its own in every respect that matters here: own session, own folder, own
environment, and a SIGKILL is one.
"""

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

ENDED_SECONDS = 150  # no launcher of a cell takes longer, unless it hangs
WARM_SECONDS = 120
WARM = (
    *(f"launcher.{name}" for name in ("cli", "jobs.control", "jobs.pipeline", "status")),
    *(f"launcher.machines.gce.{name}" for name in ("client", "create", "choices", "connect")),
    *(
        "firmware_export.compiler.sources",
        "firmware_export.verify.proof",
        "leak_cells.strikes",
        "tensorflow",
    ),
)
CLIPS = 24  # that are emulated in a cell, of the 200 that a proof is asked for


class Launched:
    """A launcher that was forked; `pid` is its number."""

    def __init__(self, link: socket.socket) -> None:
        self._lines = link.makefile("r")
        self._over = threading.Event()
        self.code: int | None = None  # negative: the signal that killed it
        self.pid = int(self._lines.readline())
        threading.Thread(target=self._await_end, daemon=True).start()

    def wait(self, seconds: float = ENDED_SECONDS) -> bool:
        """Whether it ended within so many seconds."""
        return self._over.wait(seconds)

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            if not self._over.is_set():
                os.kill(self.pid, number)

    def _await_end(self) -> None:
        self.code = int(self._lines.readline() or -signal.SIGKILL)
        self._over.set()


class Nursery:
    """Forks launchers, from `with` to its end, out of a process that has imported `warm`."""

    def __init__(self, folder: Path, warm: tuple[str, ...] = WARM) -> None:
        self._path = folder / "nursery"
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
                raise RuntimeError("the nursery did not come to life")
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
        self, desk: Path, environment: dict[str, str], *arguments: str, strike: dict | None = None
    ) -> Launched:
        """The launcher with these arguments in the folder `desk`; its output goes to the files
        `out` and `err` there. `strike` is what strikes.arm takes."""
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(self._path))
        wanted = {"desk": str(desk), "environment": environment, "arguments": arguments}
        link.sendall(json.dumps({**wanted, "strike": strike}).encode() + b"\n")
        return Launched(link)


def serve(path: Path, warm: list[str]) -> None:
    """Fork whoever is asked for at the socket `path`, for as long as the parent lives."""
    _warm(warm)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers need nobody to wait for them
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
                _keep(link)
            link.close()


def _keep(link: socket.socket) -> None:
    """Fork one launcher, tell its number, and how it ended."""
    link.settimeout(None)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request = json.loads(link.makefile("r").readline())
    child = os.fork()
    if child == 0:
        link.close()
        _become(request)
    link.sendall(b"%d\n" % child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        link.sendall(b"%d\n" % code)
    os._exit(0)


def _become(request: dict) -> None:
    """Be the launcher."""
    os.setsid()
    os.chdir(request["desk"])
    for number, name in enumerate((os.devnull, "out", "err")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(name, flags, 0o644), number)
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    sys.argv = ["launcher", *request["arguments"]]
    from launcher import cli
    from leak_cells import strikes

    strikes.arm(**request["strike"] or {})
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


def _warm(names: list[str]) -> None:
    """Import what launchers import on their way; start no thread, open no connection."""
    from firmware_export import clips, quiet_tensorflow

    clips.ENOUGH = CLIPS
    for name in names:
        quiet_tensorflow.tensorflow() if name == "tensorflow" else importlib.import_module(name)
