"""Fifty models are due at one moment, and each rents a machine: how many at once?

    python benchmarks/schedule_cloud.py                50 models, at most 3 machines; 15 minutes
    python benchmarks/schedule_cloud.py --models 10 --max-parallel 2

The scheduler, each launcher, Google's client, SSH, the trainer, the compiler and the emulator are
real; the trainings are the shortest that have every part, and Compute Engine is the stand-in that
the tests use. Needs root and what scripts/test installs; best in a network namespace with loopback
only:

    unshare --net bash -c 'ip link set lo up; python benchmarks/schedule_cloud.py'

Ends with exit code 1 where too many machines were there at once, one is left, or a model got no
verdict.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from cloud_office import all_due_at_once  # noqa: E402  its folder is on the path only now
from fake_gce import FakeGce, missing_tools  # noqa: E402
from office import Office  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--max-parallel", type=int, default=3)
    options = parser.parse_args()
    if missing := missing_tools():
        sys.exit(missing)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "office").mkdir()
        office = Office(Path(folder) / "office")
        os.environ["XDG_STATE_HOME"] = office.environment["XDG_STATE_HOME"]
        with FakeGce(Path(folder) / "gce", vm_environment={"PYTHON": sys.executable}) as gce:
            office.environment |= gce.environment
            try:
                met = all_due_at_once(office, gce, options.models, options.max_parallel)
            finally:
                office.clear()
    verdicts = Counter(met.verdicts.values())
    print(
        f"{options.models} models due at one moment: "
        f"{', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}; "
        f"{met.rented} machines, {met.at_once} of at most {options.max_parallel} at once, "
        f"{met.left} left; {(time.monotonic() - began) / 60:.1f} min"
    )
    good = verdicts["promoted"] == options.models and met.at_once <= options.max_parallel
    sys.exit(not good or met.left > 0)


if __name__ == "__main__":
    main()
