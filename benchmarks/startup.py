"""How long `launcher --help` and `launcher status` take, against `import click` alone.

    python benchmarks/startup.py

Prints the median of paired ratios; each must stay within 3.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 15
BOUND = 3.0


def seconds(command: list[str], folder: str) -> float:
    """Wall time of one run, in seconds."""
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    launcher = shutil.which("launcher") or sys.exit("launcher is not installed here")
    click = [sys.executable, "-c", "import click"]
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for arguments in (["--help"], ["status"]):
            command = [launcher, *arguments]
            seconds(command, folder)  # warms the caches
            pairs = [(seconds(command, folder), seconds(click, folder)) for _ in range(RUNS)]
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            ours = statistics.median(ours for ours, _ in pairs)
            print(f"launcher {arguments[0]:7} {ours:.3f} s, {ratio:.2f} × import click")
            worst = max(worst, ratio)
    sys.exit(f"over {BOUND:g}×" if worst > BOUND else 0)


if __name__ == "__main__":
    main()
