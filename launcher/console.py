"""The progress of a job: bars on a terminal, lines elsewhere, nothing with --json.

All of it goes to standard error; standard output is for the result.
"""

import contextlib
import json
import re
import sys
import time
from typing import Any, TextIO


class Screen:
    """Where a job shows its progress. This one, for --json, shows nothing."""

    def phase(self, name: str) -> None:
        """Begin a phase; end the one before it, if any."""

    def over(self) -> None:
        """End the phase."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` steps of something inside the phase are done."""

    def say(self, text: str) -> None:
        """Print a sentence that stays on the screen."""

    def close(self) -> None:
        """End the display, after success or failure; may be called twice."""


def screen(quiet: bool) -> Screen:
    """The screen that fits standard error: a terminal or not."""
    if quiet:
        return Screen()
    return Bars() if sys.stderr.isatty() else Lines()


def readable(text: str) -> str:
    """The text with \\xHH for each byte of a path that is not UTF-8; Python has a surrogate for it,
    which it quotes as \\udcHH."""
    return re.sub(
        r"\\udc([89a-f][0-9a-f])|[\udc80-\udcff]",
        lambda byte: f"\\x{byte[1] or format(ord(byte[0]) - 0xDC00, '02x')}",
        text,
    )


def error_text(error: str, hint: str) -> str:
    """An error and its hint, as the last lines of a command that failed."""
    return f"error: {error}" + (f"\nhint: {hint}" if hint else "")


def json_text(value: object) -> str:
    """What --json prints."""
    return json.dumps(value, indent=2, ensure_ascii=False)


class LossyStream:
    """A stream for messages that may be closed, as a terminal can be. A message that is lost ends
    no job and keeps no machine."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(readable(text))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


class Lines(Screen):
    """Plain lines for logs and CI, at most one every `every` seconds inside a phase."""

    def __init__(self, every: float = 5.0) -> None:
        self._every = every
        self._last = 0.0

    def phase(self, name: str) -> None:
        self._last = 0.0
        self.say(f"{name} …")

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        if done >= total or time.monotonic() - self._last > self._every:
            self._last = time.monotonic()
            self.say(f"  {what} {done}/{total}{note}")

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Bars(Screen):
    """A bar for the current work, a ticked line for each phase that is done."""

    def __init__(self) -> None:
        from rich import progress
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._live = progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}", markup=False),  # partly from the machine
            progress.BarColumn(24),
            progress.TextColumn("{task.fields[count]}"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=self._console,
            transient=True,
        )
        self._live.start()
        self._phase, self._began, self._what = "", 0.0, ""
        self._task = self._live.add_task("", visible=False, count="", note="")

    def phase(self, name: str) -> None:
        self.over()
        self._phase, self._began = name, time.monotonic()
        self._show(name)

    def over(self) -> None:
        if self._phase:
            seconds = time.monotonic() - self._began
            self._console.print(f"[green]✓[/] {self._phase} [dim]{seconds:.1f} s")
        self._phase = ""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
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
        self._console.print(text, markup=False)

    def close(self) -> None:
        self._live.stop()

    def _show(self, what: str) -> None:
        self._live.remove_task(self._task)
        self._what = what
        self._task = self._live.add_task(what, total=None, count="", note="")
