"""python -m fake_gce --root DIR: prints the environment of its clients as one line of JSON, and
runs until a signal or the end of its parent process. /fake/… controls it, see control.py."""

import argparse
import json
import os
import signal
import time
from pathlib import Path

from fake_gce import FakeGce


def main() -> None:
    parser = argparse.ArgumentParser(prog="fake_gce", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder for disks and keys")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--project", default="test-project")
    parser.add_argument("--clock-speed", type=float, default=1.0)
    parser.add_argument("--operation-seconds", type=float, default=0.05)
    parser.add_argument("--vm-env", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    ended: list[int] = []  # no Event: a signal handler that sets one can deadlock
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: ended.append(number))
    parent = os.getppid()
    with FakeGce(
        options.root,
        project=options.project,
        port=options.port,
        vm_environment=dict(pair.split("=", 1) for pair in options.vm_env),
        clock_speed=options.clock_speed,
        operation_seconds=options.operation_seconds,
    ) as gce:
        print(json.dumps(gce.environment), flush=True)
        while not ended and os.getppid() == parent:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
