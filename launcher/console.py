"""The progress of a job: bars on a terminal, lines elsewhere, nothing with --json.

All of it goes to standard error; standard output is for the result.
"""

import codecs
import contextlib
import io
import json
import re
import sys
import time
from typing import Any


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


# What a terminal acts on instead of showing it, but newline and tab: control characters, of which
# escape sequences are made, changes of the direction of text, and surrogates, which are no text.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
QUOTED_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")


def readable(text: str) -> str:
    """The text as a terminal may have it: each of CONTROLS as \\xHH or \\uHHHH. A byte that is not
    UTF-8 is \\xHH; Python has a surrogate for it, which it quotes as \\udcHH."""
    return CONTROLS.sub(_escaped, QUOTED_BYTE.sub(r"\\x\1", text))


def _escaped(control: re.Match[str]) -> str:
    code = ord(control[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def error_text(error: str, hint: str) -> str:
    """An error and its hint, as the last lines of a command that failed."""
    return f"error: {error}" + (f"\nhint: {hint}" if hint else "")


def json_text(value: object) -> str:
    """What --json prints: readable by JSON's own escapes. In capitals they are no QUOTED_BYTE."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return CONTROLS.sub(lambda control: f"\\u{ord(control[0]):04X}", text)


class _Wrapper:
    """Passes everything on to another stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class ReadableStream(_Wrapper):
    """A stream on which all text is readable; bytes pass as they are through its `buffer`."""

    def write(self, text: str) -> int:
        self._stream.write(readable(text))
        return len(text)


class LossyStream(_Wrapper):
    """A stream for messages that may be closed, as a terminal can be. A message that is lost ends
    no job and keeps no machine."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def guard_streams() -> None:
    """Make all text readable that this process prints: a machine, a cloud or a file may have said
    it. Messages, which go to standard error, may also be lost."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it may be closed
            # click writes UTF-8 where it finds ASCII, past the stream that it was given.
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            # Not every character set has an arrow.
            stream.reconfigure(encoding="utf-8" if ascii_only else None, errors="replace")
    if sys.stdout:
        sys.stdout = ReadableStream(sys.stdout)
    if sys.stderr:
        sys.stderr = ReadableStream(LossyStream(sys.stderr))


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

        # Past the guarded stream, which would show the controls of the bars themselves.
        stream: Any = LossyStream(sys.__stderr__)
        self._console = Console(file=stream, highlight=False)
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
        what, note = readable(what), readable(note)
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
        self._console.print(readable(text), markup=False)

    def close(self) -> None:
        self._live.stop()

    def _show(self, what: str) -> None:
        self._live.remove_task(self._task)
        self._what = what
        self._task = self._live.add_task(what, total=None, count="", note="")
