"""Stands for the launcher behind a scheduler: takes a retraining's arguments and ends at once, or
does what a file beside the config asks for.

    CONFIG.seconds   go on for so long
    CONFIG.until     go on until the file that it names exists
    CONFIG.killed    die of SIGKILL, so many times
    CONFIG.answer    say this to scripts instead of a verdict, and end with its exit_code

Each begin and end is a line in `events` in its folder.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def note(what: str) -> None:
    with Path("events").open("a") as events:  # a line so short is written whole
        events.write(f"{what} {config} {scheduled} {os.getpid()}\n")


def asked(name: str) -> str:
    path = Path(f"{config}.{name}")
    return path.read_text() if path.exists() else ""


def interrupted(*_) -> None:
    note("interrupted")
    print(json.dumps({"error": "interrupted", "hint": "", "exit_code": 130}))
    sys.exit(130)


command, config, option, scheduled, expect, digest, as_json = sys.argv[1:]
assert (command, option, expect, as_json) == ("retrain", "--scheduled", "--expect", "--json")
signal.signal(signal.SIGTERM, interrupted)
note("begin")
if (left := int(asked("killed") or 0)) > 0:
    Path(f"{config}.killed").write_text(str(left - 1))
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(float(asked("seconds") or 0))
while not Path(asked("until")).exists():  # no name is the folder itself
    time.sleep(0.02)
note("end")
answer = json.loads(asked("answer") or '{"verdict": "kept", "reasons": ["No better."]}')
print(json.dumps(answer))
sys.exit(answer.get("exit_code", 0))
