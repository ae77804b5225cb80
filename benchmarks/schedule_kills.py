"""A scheduler is killed again and again: is a run lost, begun twice, or one too many at once?

    python benchmarks/schedule_kills.py               100 kills, about three minutes
    python benchmarks/schedule_kills.py --kills 20 --seed 7

Five schedules are due every second; their runs, small scripts, last up to 1.5 s, and three may go
on at once. SIGKILL comes at a random instant of each scheduler's first 1.5 s; its runs go on, as
they do when a scheduler dies. Ends with exit code 1 where anything is wrong.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from office import Office, strike  # noqa: E402  its folder is on the path only now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = str(Path(folder) / "state")
        office = Office(Path(folder))
        try:
            struck = strike(office, options.kills, options.seed)
        finally:
            office.clear()
    print("\n".join(struck.wrong))
    print(
        f"{struck.kills} kills: {struck.due} times due, {struck.begun} begun and brought to their "
        f"verdict, the others skipped; {struck.at_once} of at most 3 at once; "
        f"{len(struck.wrong)} wrong"
    )
    sys.exit(bool(struck.wrong or struck.at_once > 3))


if __name__ == "__main__":
    main()
