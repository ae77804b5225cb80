"""From words to firmware by configs/quickstart.toml: seconds, accuracy, size, instructions.

    python benchmarks/quickstart.py                              synthetic speech alone
    python benchmarks/quickstart.py --folder speech_commands     and real recordings besides

Each run is the command a user types, in a temporary folder. Ends with exit code 1 where a figure
misses its bound.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.toml"
SECONDS = 90  # the whole command, on two cores
AT_LEAST = {"synthetic": 0.95, "folder": 0.84}  # accuracy on held-out speakers
AT_MOST = {"flash": 26 << 10, "ram": 6 << 10, "instructions": 2_000_000, "mismatches": 0}


def run(folder: str, seed: int | None) -> tuple[dict, float]:
    """The report of one job, and its wall time in seconds."""
    with tempfile.TemporaryDirectory() as place:
        command = ["launcher", "train", str(CONFIG), "--json"]
        command += [f"--set=data.folder={Path(folder).resolve()}"] if folder else []
        command += [f"--set=train.seed={seed}"] if seed is not None else []
        environment = {**os.environ, "XDG_STATE_HOME": place}
        began = time.perf_counter()
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout), seconds


def show(name: str, value: str, ok: bool, bound: str) -> bool:
    """Print one figure; whether it holds."""
    print(f"{name:34} {value:>12}   {'holds' if ok else 'MISSES'} {bound}")
    return ok


def judge(report: dict, seconds: float, has_folder: bool) -> bool:
    """Print every figure against its bound; whether all hold."""
    accuracy, firmware = report["accuracy"], report["firmware"]
    held = [show("seconds", f"{seconds:.0f}", seconds <= SECONDS, f"at most {SECONDS}")]
    wanted = "folder" if has_folder else "synthetic"
    for source, score in accuracy["by_source"].items():
        bound = AT_LEAST[source] if source == wanted else 0.0
        name = f"accuracy, {source}, {score['count']} clips"
        held.append(
            show(
                name,
                f"{score['accuracy']:.1%}",
                score["accuracy"] >= bound,
                f"at least {bound:.0%}",
            )
        )
    lost = accuracy["float"] - accuracy["quantised"]
    held.append(show("accuracy lost by quantising", f"{lost:.2%}", lost <= 0.01, "at most 1%"))
    for key, bound in AT_MOST.items():
        held.append(show(key, f"{firmware[key]:,}", firmware[key] <= bound, f"at most {bound:,}"))
    held.append(
        show("clips compared", f"{firmware['clips']:,}", firmware["clips"] >= 200, "at least 200")
    )
    return all(held)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="", help="recordings to train on besides")
    parser.add_argument("--seed", type=int, help="instead of the config's")
    arguments = parser.parse_args()
    report, seconds = run(arguments.folder, arguments.seed)
    sys.exit(0 if judge(report, seconds, bool(arguments.folder)) else 1)


if __name__ == "__main__":
    main()
