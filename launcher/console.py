"""What a person sees while a job runs: bars on a terminal, lines elsewhere, nothing for a script.

Everything here goes to standard error; standard output is for the result.
"""

import contextlib
import sys
import time
from typing import Protocol, TextIO


class Screen(Protocol):
    """Where a job shows how far it is."""

    def phase(self, name: str) -> None:
        """A phase begins; the one before it, if any, is over."""

    def over(self) -> None:
        """The phase is over."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps of something inside the phase are over."""

    def say(self, text: str) -> None:
        """A sentence that stays on the screen."""

    def close(self) -> None:
        """The job is over, well or badly; may be called twice."""


def screen(quiet: bool) -> Screen:
    """The screen that suits where standard error goes."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()


class Forgiving:
    """A stream that may be gone, as a closed terminal is: no job ends, and no machine is kept,
    because nobody can be told."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """See TextIO.write."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """See TextIO.flush."""
        with contextlib.suppress(OSError):
            self._stream.flush()


class Silent:
    """Shows nothing: for --json."""

    def phase(self, name: str) -> None:
        """See Screen."""

    def over(self) -> None:
        """See Screen."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """See Screen."""

    def say(self, text: str) -> None:
        """See Screen."""

    def close(self) -> None:
        """See Screen."""


class Lines:
    """Plain lines for logs and CI, at most one every `every` seconds inside a phase."""

    def __init__(self, every: float = 5.0) -> None:
        self._every = every
        self._last = 0.0

    def phase(self, name: str) -> None:
        """See Screen."""
        self._last = 0.0
        self.say(f"{name} …")

    def over(self) -> None:
        """See Screen."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """See Screen."""
        if done >= total or time.monotonic() - self._last > self._every:
            self._last = time.monotonic()
            self.say(f"  {what} {done}/{total}{note}")

    def say(self, text: str) -> None:
        """See Screen."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """See Screen."""


class Bars:
    """A bar for what is at work now, a ticked line for each phase that is over."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        self._console = Console(stderr=True, highlight=False)
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),  # partly a machine's own words
            BarColumn(24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=self._console,
            transient=True,
        )
        self._live.start()
        self._phase, self._began, self._task, self._what = "", 0.0, None, ""

    def phase(self, name: str) -> None:
        """See Screen."""
        self.over()
        self._phase, self._began = name, time.monotonic()
        self._show(name)

    def over(self) -> None:
        """See Screen."""
        if self._phase:
            seconds = time.monotonic() - self._began
            self._console.print(f"[green]✓[/] {self._phase} [dim]{seconds:.1f} s")
        self._phase = ""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """See Screen."""
        if what != self._what:
            self._show(what)
        label = what if what == self._phase else f"{self._phase}: {what}"
        self._live.update(
            self._task,
            description=label,
            completed=done,
            total=total,
            count=f"{done:,}/{total:,}",
            note=note.strip(" :")[:60],
        )

    def say(self, text: str) -> None:
        """See Screen."""
        self._console.print(text, markup=False)

    def close(self) -> None:
        """See Screen."""
        self._live.stop()

    def _show(self, what: str) -> None:
        if self._task is not None:
            self._live.remove_task(self._task)
        self._what = what
        self._task = self._live.add_task(what, total=None, count="", note="")
