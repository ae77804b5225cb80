"""Start a job's script detached, follow its log byte by byte, pull its results with checksums.

All of it is Bash over Machine.run, so it is the same on every backend, and a launcher that comes
back hours later reads on where the last one stopped.
"""

import contextlib
import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import JobFailed, PullFailed
from launcher.jobs.plan import CHECKSUMS
from launcher.machines.base import Completed, Machine

CALL_SECONDS = 60  # longest single call on a machine
POLL_SECONDS = 0.5
SLOWEST_POLL_SECONDS = 3.0
CHUNK = 1 << 20  # bytes of log a poll may bring
CHECKPOINT = (".data-00000-of-00001", ".index")  # the parts of one, in TensorFlow's format
CHECKPOINT_BYTES = 64 << 20  # largest part; tiny_conv's has about 200 kB


@dataclass(frozen=True)
class Poll:
    """One look at a detached command: `code` is its exit code once it has ended; `lost` says that
    it ended without leaving one, for example because the machine was restarted."""

    code: int | None
    lost: bool
    size: int  # bytes of log so far
    chunk: bytes  # the log from the offset asked for, at most CHUNK bytes


def start(machine: Machine, run: str, command: str, limit_seconds: float) -> bool:
    """Start `command` detached in run folder `run`; False if that run was started before.

    It survives this launcher and the loss of its connection, and ends by itself after
    `limit_seconds`. Its pid file can be made only once, so it happens once, however often it is
    asked for, and also where an earlier call was cut off halfway.
    """
    bounded = f"timeout -k 10 {limit_seconds:g} bash -c {shlex.quote(command)}"
    place = shlex.quote(run)
    inner = (
        f"set -C; echo $$ >{place}/pid || exit; set +C; "
        f"{bounded} >{place}/out.log 2>&1 </dev/null & "
        f"echo $! >{place}/group; wait $!; "
        f"echo $? >{place}/exit.tmp && mv {place}/exit.tmp {place}/exit"
    )
    done = _run(
        machine,
        f"mkdir -p {place} || exit 1; [ -e {place}/pid ] && exit 17; : >>{place}/out.log; "
        f"setsid -f bash -c {shlex.quote(inner)} >/dev/null 2>&1 </dev/null; "
        f"for _ in {{1..200}}; do [ -e {place}/pid ] && exit 0; sleep 0.05; done; exit 1",
    )
    if done.code not in (0, 17):
        raise PullFailed(f"the job could not be started on {machine.name}: {_text(done.stderr)}")
    return done.code == 0


def poll(machine: Machine, run: str, offset: int) -> Poll:
    """Look at a detached command once. The exit code is read before the log, so that a log read
    after an exit code is complete. The heartbeat tells the machine that somebody still asks."""
    place = shlex.quote(run)
    done = _run(
        machine,
        f": >heartbeat; cd {place} || exit 1; code=$(cat exit 2>/dev/null); "
        'if [ -z "$code" ] && pid=$(cat pid 2>/dev/null) && ! kill -0 "$pid" 2>/dev/null; then '
        "sleep 0.2; code=$(cat exit 2>/dev/null || echo lost); fi; "
        'echo "${code:-running} $(stat -c %s out.log)"; '
        f"tail -c +{offset + 1} out.log | head -c {CHUNK}",
    )
    head, newline, chunk = done.stdout.partition(b"\n")
    match = re.fullmatch(rb"(running|lost|\d+) (\d+)", head)
    if done.code != 0 or not newline or not match:
        raise PullFailed(f"run {run} on {machine.name} cannot be read: {_text(done.stderr)}")
    state, size = match[1], int(match[2])
    code = int(state) if state.isdigit() else None
    return Poll(code, state == b"lost", size, chunk)


def stop(machine: Machine, run: str) -> None:
    """End whatever a run left behind: `timeout` leads the process group of all that it started."""
    _run(machine, f'kill -KILL -- "-$(cat {shlex.quote(run)}/group)"')


def follow(
    machine: Machine,
    run: str,
    log: Path,
    base: int,
    deadline: float,
    on_poll: Callable[[bytes], object],
) -> int | None:
    """Append the log of a run to `log` until it ends; its exit code, or None if it was cut off.

    `base` is the length `log` had before this run, so the file itself says how far reading got.
    `on_poll` sees each piece, also an empty one, after it is on the disk. Raises JobFailed past
    `deadline` (seconds since the epoch).
    """
    pause = POLL_SECONDS
    with log.open("ab") as file:
        while True:
            seen = poll(machine, run, file.tell() - base)
            ended = seen.lost or seen.code is not None
            if seen.chunk:
                file.write(seen.chunk)
                file.flush()
                os.fsync(file.fileno())
                pause = POLL_SECONDS
            on_poll(seen.chunk)
            if ended and not seen.chunk:
                return seen.code
            if not ended and time.time() > deadline:
                raise JobFailed(f"no end of the job on {machine.name} within its time")
            if not seen.chunk:  # the longer nothing is said, the less often it is asked for
                time.sleep(pause)
                pause = min(pause * 1.25, SLOWEST_POLL_SECONDS)


def pull(machine: Machine, results: dict[str, int], folder: Path) -> dict[str, str]:
    """Bring every file of `results` (name: largest size) into `folder`; name: SHA-256.

    A file stands under its name only once its checksum matched what the machine wrote down.
    """
    sums = _checksums(machine, folder)
    for name, limit in results.items():
        if name not in sums:
            raise PullFailed(f"the machine made no {name}")
        _pull_one(machine, name, limit, sums[name], folder)
    return {name: sums[name] for name in results}


def pull_checkpoint(machine: Machine, prefix: str, folder: Path) -> None:
    """Bring the two files of the checkpoint `prefix` into `folder`; those of older ones go.

    The index comes last: without it the other is no checkpoint.
    """
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
            raise PullFailed(f"{name} changed on its way: SHA-256 {actual}, not {expected}")
        arriving.replace(folder / name)


@contextlib.contextmanager
def _arriving(target: Path) -> Iterator[Path]:
    """A name beside `target` for bytes that are not trusted yet; nothing is left of it."""
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


def _run(machine: Machine, command: str) -> Completed:
    return machine.run(command, timeout=CALL_SECONDS)


def _text(output: bytes) -> str:
    return output.decode(errors="replace").strip() or "no message"
