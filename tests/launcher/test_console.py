import json
import os
import pty
import re
import subprocess
import sys

import pytest

from launcher.console import json_text, readable
from launcher.jobs.events import Created, Ended, MachineRequested
from launcher.jobs.ledger import Ledger
from launcher.jobs.states import Outcome

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


SHOW_ALL = SHOW.format(quiet=False)
# What a machine may put into a log, a label or a name: the clipboard, the title, another colour, a
# cleared screen, and text that runs backwards.
HOSTILE = "a\x1b]52;c;QQ==\x07 \x1b]0;title\x1b\\ \x1b[31m \x9b2J \u202eb\u2066 \r \x7f é"
SHOWN = r"a\x1b]52;c;QQ==\x07 \x1b]0;title\x1b\ \x1b[31m \x9b2J \u202eb\u2066 \x0d \x7f é"
SHOW_HOSTILE = f"""
import time
from launcher.console import guard_streams, screen
guard_streams()
shown = screen(quiet=False)
shown.phase("train")
shown.progress({HOSTILE!r}, 1, 2, {HOSTILE!r})
time.sleep(0.3)
shown.say({HOSTILE!r})
shown.close()
"""
OWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")  # what the bars themselves send


def on_a_terminal(*arguments, script=SHOW_ALL, code=0, **environment):
    """What a script writes to a terminal 300 columns wide, as text."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "300", **environment},
    )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 4096):
            written += chunk
    except OSError:  # Linux's way of saying that the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == code
    return written.decode()


def test_terminal_shows_bars_and_ticks():
    """On a terminal a bar moves, and every phase that is done is ticked."""
    written = on_a_terminal()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert "Copying [/data]" in plain
    assert "[/] of a stranger's words" in plain
    assert "✓ train" in plain
    assert "✓ report" in plain


def test_no_color_removes_colours():
    """With NO_COLOR the terminal gets no colours."""
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    assert colour.search(on_a_terminal())
    assert not colour.search(on_a_terminal(NO_COLOR="1"))


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE, SHOWN),
        ("\x00\b\x0b\x1f\x80\x85\x9f", r"\x00\x08\x0b\x1f\x80\x85\x9f"),
        ("\u202a\u202d\u2067\u2068\u2069", r"\u202a\u202d\u2067\u2068\u2069"),
        ("\ud800\udfff", r"\ud800\udfff"),
        ("a\tb\nç → 語 🎤", "a\tb\nç → 語 🎤"),
    ],
)
def test_readable_escapes_what_a_terminal_acts_on(text, shown):
    """Controls, changes of direction and surrogates are shown by their numbers; all else stays."""
    assert readable(text) == shown
    assert readable(shown) == shown


def test_json_text_with_hostile_values_is_the_same_json():
    """--json prints no control either, and a script reads the very values."""
    value = {HOSTILE: [HOSTILE, "\udce9", "→"]}
    assert json.loads(json_text(value)) == value
    assert readable(json_text(value)) == json_text(value)


def test_bars_show_hostile_text_readably():
    """Nothing that a machine says reaches the terminal raw while bars move on it."""
    written = OWN.sub("", on_a_terminal(script=SHOW_HOSTILE))
    assert f"train: {SHOWN}" in written
    assert f"{SHOWN}\n" in written
    assert readable(written) == written


@pytest.fixture
def hostile_job(tmp_path, monkeypatch, plan):
    """The folder of a failed job of a hostile machine: its name, its error and its log."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "words-1"
    with Ledger.create(folder, Created(plan(), uid="ab", pid=0)) as made:
        made.add(MachineRequested(f"m-{HOSTILE}", "", "id", 60))
        made.add(Ended(Outcome.FAILED, f"its last lines:\n{HOSTILE}"))
    # Cut within a sequence, and within a character of two bytes.
    (folder / "training.log").write_bytes((HOSTILE + "\n").encode() * 9000 + b"\xc3")
    return folder


@pytest.mark.parametrize(
    ("command", "times"),
    [("logs words-1", 9000), ("logs -f words-1", 9000), ("status words-1", 2), ("status", 1)],
)
def test_command_shows_hostile_text_readably(hostile_job, command, times):
    """On a terminal, `logs` and `status` show what a machine said readably, and all of it."""
    main = "from launcher.cli import main; main()"
    code = 3 if command == "status" else 0  # without credentials it cannot look into the cloud
    written = on_a_terminal(*command.split(), script=main, code=code).replace("\r\n", "\n")
    assert written.count(SHOWN) == times
    assert readable(written) == written
    assert written.endswith(r"\xc3") == ("logs" in command)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_pipe_gets_the_bytes_of_a_log_and_readable_text(hostile_job, encoding):
    """Through a pipe the log comes byte for byte; text is readable there too."""

    def run(*arguments):
        command = [sys.executable, "-c", "from launcher.cli import main; main()", *arguments]
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        return subprocess.run(command, capture_output=True, env=environment, timeout=60)

    assert run("logs", "words-1").stdout == (hostile_job / "training.log").read_bytes()
    text = run("status", "words-1").stdout.decode()
    assert SHOWN.partition(" ")[0] in text
    assert readable(text) == text
    shown = run("status", "words-1", "--json").stdout.decode()
    assert readable(shown) == shown
    assert json.loads(shown)["machine"] == f"m-{HOSTILE}"
    error = run("logs", HOSTILE).stderr.decode()
    assert r"\x1b]52;c" in error
    assert readable(error) == error
