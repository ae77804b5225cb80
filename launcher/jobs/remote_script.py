"""Start a job's script detached, follow its log byte by byte, pull its results with checksums.

Everything is a shell program over Machine.run, the same on every backend. A launcher that connects
hours later continues to read where the last one stopped.
"""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import JobFailed, PullFailed
from launcher.jobs.bounded_log import LOG_BYTES, BoundedLog
from launcher.jobs.plan import CHECKSUMS
from launcher.machines import scripts
from launcher.machines.base import Completed, Machine

CALL_SECONDS = 60  # longest single call on a machine
POLL_SECONDS = 0.5
SLOWEST_POLL_SECONDS = 3.0
MESSAGE = 2000  # most bytes that are shown of a message; its end says the most
CHUNK = 1 << 20  # most bytes of log in the answer to a poll
CHECKPOINT = (".data-00000-of-00001", ".index")  # its files, in TensorFlow's format
CHECKPOINT_BYTES = 64 << 20  # largest file; tiny_conv's has about 200 kB
STARTED, STARTED_BEFORE = 0, 17  # exit codes of start.sh


@dataclass(frozen=True)
class Poll:
    """The state of a detached command."""

    code: int | None  # its exit code once it has ended
    lost: bool  # it ended without an exit code, for example because the machine was restarted
    size: int  # bytes of log so far
    chunk: bytes  # the log from the requested offset on, at most CHUNK bytes


def start(machine: Machine, run: str, command: str, limit_seconds: float) -> bool:
    """Start `command` detached in run folder `run`, for at most `limit_seconds`; False if that run
    was started before, also by a call that was cut off."""
    detached = scripts.arguments("detached", run, f"{limit_seconds:g}", command, LOG_BYTES)
    done = _run(machine, "start", run, *detached)
    if done.code not in (STARTED, STARTED_BEFORE):
        raise PullFailed(f"the job could not be started on {machine.name}: {_text(done.stderr)}")
    return done.code == STARTED


def poll(machine: Machine, run: str, offset: int) -> Poll:
    """The state of a detached command, and its log from byte `offset` on. A log that comes with an
    exit code is complete once its chunk is empty."""
    done = _run(machine, "poll", run, offset, CHUNK)
    head, newline, chunk = done.stdout.partition(b"\n")
    match = re.fullmatch(rb"(running|lost|\d{1,3}) (\d{1,18})", head)
    if done.code != 0 or not newline or not match or len(chunk) > CHUNK:
        raise PullFailed(f"{run} on {machine.name} cannot be read: {_text(done.stderr)}")
    state, size = match[1], int(match[2])
    code = int(state) if state.isdigit() else None
    return Poll(code, state == b"lost", size, chunk)


def stop(machine: Machine, run: str) -> None:
    """Kill every process that a run left behind."""
    _run(machine, "stop", run)


def follow(
    machine: Machine,
    run: str,
    log: BoundedLog,
    deadline: float,
    on_poll: Callable[[bytes], object],
) -> int | None:
    """Add the log of a run to `log` until it ends; its exit code, or None if it was lost.

    `on_poll` gets each chunk, also an empty one, after it is on the disk. Raises JobFailed after
    `deadline` (seconds since the epoch).
    """
    pause = POLL_SECONDS
    while True:
        seen = poll(machine, run, log.offset)
        ended = seen.lost or seen.code is not None
        log.add(seen.chunk, seen.size)
        on_poll(seen.chunk)
        if ended and not seen.chunk:
            return seen.code
        if not ended and time.time() > deadline:
            raise JobFailed(f"the job on {machine.name} did not end within its time")
        if seen.chunk:
            pause = POLL_SECONDS
        else:  # the longer the log is silent, the rarer the polls
            time.sleep(pause)
            pause = min(pause * 1.25, SLOWEST_POLL_SECONDS)


def pull(machine: Machine, results: dict[str, int], folder: Path) -> dict[str, str]:
    """Copy every file of `results` (name: largest size) into `folder`; name: SHA-256. A file gets
    its name only once its checksum matches the machine's list."""
    sums = _checksums(machine, folder)
    for name, limit in results.items():
        if name not in sums:
            raise PullFailed(f"{CHECKSUMS} of {machine.name} does not list {name}")
        _pull_one(machine, name, limit, sums[name], folder)
    return {name: sums[name] for name in results}


def pull_checkpoint(machine: Machine, prefix: str, folder: Path) -> None:
    """Copy the two files of the checkpoint `prefix` into `folder`, and delete older ones there. The
    index is copied last: TensorFlow finds a checkpoint by its index."""
    folder.mkdir(exist_ok=True)
    name = prefix.rpartition("/")[2]
    kept = [f"{name}{ending}" for ending in CHECKPOINT]
    for file in kept:
        with _arriving(folder / file) as arriving:
            _get(machine, prefix.removesuffix(name) + file, arriving, CHECKPOINT_BYTES)
            arriving.replace(folder / file)
    for old in sorted(folder.iterdir(), reverse=True):  # index before data
        if old.name not in kept:
            old.unlink()


def _checksums(machine: Machine, folder: Path) -> dict[str, str]:
    with _arriving(folder / CHECKSUMS) as arriving:
        _get(machine, CHECKSUMS, arriving, 64 << 10)
        lines = arriving.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line) for line in lines)
    return {match[2]: match[1] for match in found if match}


def _pull_one(machine: Machine, name: str, limit: int, expected: str, folder: Path) -> None:
    with _arriving(folder / name) as arriving:
        _get(machine, f"results/{name}", arriving, limit)
        with arriving.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        if actual != expected:
            raise PullFailed(f"{name} changed in transit: its SHA-256 is {actual}, not {expected}")
        arriving.replace(folder / name)


@contextlib.contextmanager
def _arriving(target: Path) -> Iterator[Path]:
    """A temporary name beside `target` for bytes that are not verified yet; removed at the end."""
    path = target.with_name(f".{target.name}.arriving")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _get(machine: Machine, source: str, target: Path, limit: int) -> None:
    try:
        machine.get(source, target, limit)
    except (FileNotFoundError, ValueError) as error:
        raise PullFailed(f"{source} cannot be pulled from {machine.name}: {error}") from None


def _run(machine: Machine, program: str, *parameters: object) -> Completed:
    return machine.run(scripts.command(program, *parameters), timeout=CALL_SECONDS)


def _text(output: bytes) -> str:
    return output[-MESSAGE:].decode(errors="replace").strip() or "no message"
