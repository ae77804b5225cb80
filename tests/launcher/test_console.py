import os
import pty
import re
import subprocess
import sys

import pytest

from launcher.console import readable

SHOW = """
import time
from launcher.console import screen
shown = screen(quiet={quiet})
shown.phase("train")
shown.progress("Step", 1, 20, ": accuracy 50 %")
shown.progress("Step", 20, 20, ": accuracy 90 %")
shown.progress("Copying [/data]", 1, 2, "[/] of a stranger's words")
time.sleep(0.3)  # the bars are drawn ten times a second
shown.phase("report")
shown.over()
shown.close()
"""


def on_a_terminal(environment):
    """What the screen writes to a terminal, as text."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW.format(quiet=False)],
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 4096):
            written += chunk
    except OSError:  # Linux's way of saying that the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return written.decode()


def test_terminal_shows_bars_and_ticks():
    """On a terminal a bar moves, and every phase that is done is ticked."""
    written = on_a_terminal({})
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert "Copying [/data]" in plain
    assert "[/] of a stranger's words" in plain
    assert "✓ train" in plain
    assert "✓ report" in plain


def test_no_color_removes_colours():
    """With NO_COLOR the terminal gets no colours."""
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    assert colour.search(on_a_terminal({}))
    assert not colour.search(on_a_terminal({"NO_COLOR": "1"}))


@pytest.mark.parametrize(
    ("quiet", "expected"),
    [
        (False, "train …\n  Step 1/20: accuracy 50 %\n  Step 20/20: accuracy 90 %\nreport …\n"),
        (True, ""),
    ],
)
def test_pipe_gets_plain_lines(quiet, expected):
    """Without a terminal there are plain lines; with --json there is nothing."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW.format(quiet=quiet)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("", expected)


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"caf\xe9.wav", r"caf\xe9.wav"), ("café".encode(), "café"), (b"\x80\xff", r"\x80\xff")],
)
def test_readable_shows_bytes_that_are_not_utf8(name, shown):
    """A byte that is not UTF-8 is shown as such, in a name as it is and in one that is quoted."""
    assert readable(os.fsdecode(name)) == shown
    assert readable(repr(os.fsdecode(name))) == repr(shown).replace(r"\\", "\\")
