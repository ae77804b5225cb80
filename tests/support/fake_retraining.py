"""A fake `launcher retrain` for schedulers: it checks its arguments and ends at once. Files beside
the config change that:

    CONFIG.seconds   run for so long
    CONFIG.until     run until the file that it names exists
    CONFIG.killed    die of SIGKILL, so many times
    CONFIG.answer    print this JSON instead of a verdict, and end with its exit_code

Each begin and end is a line in the file `retrainings` in its folder.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def log(what: str) -> None:
    with Path("retrainings").open("a") as file:  # so short a line is written at once
        file.write(f"{what} {config} {scheduled} {os.getpid()}\n")


def setting(name: str) -> str:
    path = Path(f"{config}.{name}")
    return path.read_text() if path.exists() else ""


def interrupted(*_: object) -> None:
    log("interrupted")
    print(json.dumps({"error": "interrupted", "hint": "", "exit_code": 130}))
    sys.exit(130)


command, config, option, scheduled, expect, digest, as_json = sys.argv[1:]
assert (command, option, expect, as_json) == ("retrain", "--scheduled", "--expect", "--json")
signal.signal(signal.SIGTERM, interrupted)
log("begin")
if (left := int(setting("killed") or 0)) > 0:
    Path(f"{config}.killed").write_text(str(left - 1))
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(float(setting("seconds") or 0))
while not Path(setting("until")).exists():  # no name is the folder itself
    time.sleep(0.02)
log("end")
answer = json.loads(setting("answer") or '{"verdict": "kept", "reasons": ["No better."]}')
print(json.dumps(answer))
sys.exit(answer.get("exit_code", 0))
