"""python -m fake_gce --root DIR [--port N]: prints one JSON line, the environment to use it with,
and runs until its standard input ends or a signal ends it."""

import argparse
import json
import signal
import sys
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
    with FakeGce(
        options.root,
        project=options.project,
        port=options.port,
        vm_environment=dict(pair.split("=", 1) for pair in options.vm_env),
        clock_speed=options.clock_speed,
        operation_seconds=options.operation_seconds,
    ) as gce:
        print(json.dumps(gce.environment | {"FAKE_GCE": gce.url}), flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    sys.exit(main())
