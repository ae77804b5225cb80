"""Kills a scheduler many times: is a run lost, started twice, or one too many at once?

    python benchmarks/schedule_kills.py               100 kills, about three minutes
    python benchmarks/schedule_kills.py --kills 20 --seed 7

Five schedules are due every second. Their runs are small scripts that last up to 1.5 s, and at most
three run at once. SIGKILL comes at a random instant in the first 1.5 s of each scheduler; its runs
continue. Ends with exit code 1 if anything is wrong.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from schedule_workspace import (  # noqa: E402  its folder is on the path only now
    ScheduleWorkspace,
    kill_schedulers,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = str(Path(folder) / "state")
        workspace = ScheduleWorkspace(Path(folder))
        try:
            result = kill_schedulers(workspace, options.kills, options.seed)
        finally:
            workspace.kill_all()
    print("\n".join(result.wrong))
    print(
        f"{result.kills} kills: {result.due} times due, {result.started} runs started once and "
        f"ended with a verdict, the others skipped; {result.at_once} of at most 3 at once; "
        f"{len(result.wrong)} lost or doubled"
    )
    sys.exit(bool(result.wrong or result.at_once > 3))


if __name__ == "__main__":
    main()
