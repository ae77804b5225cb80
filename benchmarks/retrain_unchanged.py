"""Time of `launcher retrain` if nothing changed in a folder of 10,000 clips.

    python benchmarks/retrain_unchanged.py

Measures whole commands, after a retraining with the same folder. Prints the median and the slowest,
and `import click` alone; the median must be under a second.
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
from launcher.retrain import fingerprint, recordings
from launcher.retrain.events import RunBegun, RunEnded, Verdict
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
            clip.write_bytes(bytes(44))  # only its name, size and time count
        (place / "words.toml").write_text(CONFIG, encoding="utf-8")
        _make_history(place)
        _seconds([launcher, "retrain", "words.toml"], place)  # fills the caches
        ours = [_seconds([launcher, "retrain", "words.toml"], place) for _ in range(RUNS)]
        click = [_seconds([sys.executable, "-c", "import click"], place) for _ in range(RUNS)]
    print(
        f"nothing changed in {CLIPS:,} clips: {statistics.median(ours):.2f} s, at most "
        f"{max(ours):.2f} s; import click alone {statistics.median(click):.2f} s"
    )
    sys.exit(f"over {BOUND:g} s" if statistics.median(ours) > BOUND else 0)


def _make_history(place: Path) -> None:
    """Make the history of a retraining with the folder."""
    os.chdir(place)
    with History.lock("words") as history:
        config = configs.load(Path("words.toml"))
        listing = recordings.read(config.data.folder)
        recordings.save(history.folder, listing)
        seen = fingerprint.take(config, listing)
        history.add(RunBegun(1, seen, ("the first run",)))
        history.add(RunEnded(1, Verdict.KEPT))


def _seconds(command: list[str], place: Path) -> float:
    """Wall time of one command."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True)
    if "retrain" in command and "nothing changed" not in done.stdout:
        sys.exit(done.stdout)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
