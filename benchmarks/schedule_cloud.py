"""Retrains fifty models that are due at one moment, on a fake Compute Engine: how many machines?

    python benchmarks/schedule_cloud.py                50 models, at most 3 machines; 15 minutes
    python benchmarks/schedule_cloud.py --models 10 --max-parallel 2

The scheduler, each launcher, Google's client, SSH, the trainer, the compiler and the emulator are
real. The trainings are the shortest that have every part, and Compute Engine is the tests' fake.
Needs root and what scripts/test installs; best in a network namespace with loopback only:

    unshare --net bash -c 'ip link set lo up; python benchmarks/schedule_cloud.py'

Ends with exit code 1 if too many machines exist at once, one is left, or a model is not promoted.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from cloud_schedules import retrain_all_at_once  # noqa: E402  its folder is on the path only now
from fake_gce import FakeGce, missing_tools  # noqa: E402
from schedule_workspace import ScheduleWorkspace  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--max-parallel", type=int, default=3)
    options = parser.parse_args()
    if missing := missing_tools():
        sys.exit(missing)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "workspace").mkdir()
        workspace = ScheduleWorkspace(Path(folder) / "workspace")
        os.environ["XDG_STATE_HOME"] = workspace.environment["XDG_STATE_HOME"]
        with FakeGce(Path(folder) / "gce", vm_environment={"PYTHON": sys.executable}) as gce:
            workspace.environment |= gce.environment
            try:
                result = retrain_all_at_once(workspace, gce, options.models, options.max_parallel)
            finally:
                workspace.kill_all()
    verdicts = Counter(result.verdicts.values())
    print(
        f"{options.models} models due at one moment: "
        f"{', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}; "
        f"{result.created} machines, {result.at_once} of at most {options.max_parallel} at once, "
        f"{result.left} left; {(time.monotonic() - started) / 60:.1f} min"
    )
    good = verdicts["promoted"] == options.models and result.at_once <= options.max_parallel
    sys.exit(not good or result.left > 0)


if __name__ == "__main__":
    main()
