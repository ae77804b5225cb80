"""How long `launcher retrain` takes to find that nothing changed in a folder of 10,000 clips.

    python benchmarks/retrain_unchanged.py

Whole commands, from a shell's point of view; the folder was seen by a retraining before. Prints the
median and the slowest, beside `import click` alone; the median must stay under a second.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from launcher.config import loading as configs
from launcher.retrain import fingerprint
from launcher.retrain.history import History

CLIPS, WORDS, RUNS = 10_000, 35, 11
BOUND = 1.0  # seconds
CONFIG = 'words.wanted = ["word-1", "word-2"]\ndata.folder = "clips"\nbackend = "local"\n'


def main() -> None:
    launcher = shutil.which("launcher") or sys.exit("launcher is not installed here")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for number in range(CLIPS):
            clip = place / "clips" / f"word-{number % WORDS}" / f"{number:08x}_nohash_0.wav"
            clip.parent.mkdir(parents=True, exist_ok=True)
            clip.write_bytes(bytes(44))  # only its name, size and time are looked at
        (place / "words.toml").write_text(CONFIG, encoding="utf-8")
        _seen(place)
        _seconds([launcher, "retrain", "words.toml"], place)  # warms the caches
        ours = [_seconds([launcher, "retrain", "words.toml"], place) for _ in range(RUNS)]
        click = [_seconds([sys.executable, "-c", "import click"], place) for _ in range(RUNS)]
    print(
        f"nothing changed in {CLIPS:,} clips: {statistics.median(ours):.2f} s, at most "
        f"{max(ours):.2f} s; import click alone {statistics.median(click):.2f} s"
    )
    sys.exit(f"over {BOUND:g} s" if statistics.median(ours) > BOUND else 0)


def _seen(place: Path) -> None:
    """The history of a retraining that has seen the folder, as it is left by a real one."""
    os.chdir(place)
    with History.take("words") as past:
        seen = fingerprint.take(configs.load(Path("words.toml")))
        seen.remember(past.folder)
        past.append("begun", run=1, fingerprint=seen.to_json(), changes=["the first run"])
        past.append("ended", run=1, verdict="kept", told=True)


def _seconds(command: list[str], place: Path) -> float:
    """Wall time of one command."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True)
    if "retrain" in command and "nothing changed" not in done.stdout:
        sys.exit(done.stdout)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
