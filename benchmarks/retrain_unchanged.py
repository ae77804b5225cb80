"""Time of `launcher retrain` if nothing changed in a folder of 10,000 clips.

    python benchmarks/retrain_unchanged.py

Measures whole commands, after a retraining with the same folder. Prints the median and the slowest,
and `import click` alone; the median must be under a second. Then, in this process: the list of
unchanged files as a ratio to one stat a file, which must be under 2; and the time with all files
touched, whose contents are read again.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from launcher.config import loading as configs
from launcher.retrain import fingerprint, recordings
from launcher.retrain.events import RunBegun, RunEnded, Verdict
from launcher.retrain.history import History

CLIPS, WORDS, RUNS = 10_000, 35, 11
BYTES = 32_044  # of a clip
BOUND = 1.0  # seconds
MOST = 2.0  # the list of unchanged files to one stat a file
CONFIG = 'words.wanted = ["word-1", "word-2"]\ndata.folder = "clips"\nbackend = "local"\n'


def main() -> None:
    launcher = shutil.which("launcher") or sys.exit("launcher is not installed here")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for number in range(CLIPS):
            clip = place / "clips" / f"word-{number % WORDS}" / f"{number:08x}_nohash_0.wav"
            clip.parent.mkdir(parents=True, exist_ok=True)
            with clip.open("wb") as file:
                file.truncate(BYTES)  # takes no room, where the file system has holes
        (place / "words.toml").write_text(CONFIG, encoding="utf-8")
        _make_history(place)
        _seconds([launcher, "retrain", "words.toml"], place)  # fills the caches
        ours = [_seconds([launcher, "retrain", "words.toml"], place) for _ in range(RUNS)]
        click = [_seconds([sys.executable, "-c", "import click"], place) for _ in range(RUNS)]
        stats, unchanged, touched = _list_times(place / "clips")
    print(
        f"nothing changed in {CLIPS:,} clips: {statistics.median(ours):.2f} s, at most "
        f"{max(ours):.2f} s; import click alone {statistics.median(click):.2f} s"
    )
    print(
        f"list of them: {unchanged:.2f} s, {unchanged / stats:.2f} times one stat a file; "
        f"all touched {touched:.2f} s"
    )
    slow = statistics.median(ours) > BOUND or unchanged > MOST * stats
    sys.exit(f"over {BOUND:g} s, or {MOST:g} times one stat a file" if slow else 0)


def _list_times(clips: Path) -> tuple[float, float, float]:
    """Seconds: one stat a file and the list with nothing changed, the medians of RUNS; the list
    with every file touched, once."""
    model = Path("models/words")

    def seconds(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    def listed() -> object:
        return recordings.read(clips, recordings.scan(clips), model)

    def touch() -> None:
        for path in clips.glob("*/*"):
            os.utime(path)

    times = []
    for _ in range(RUNS):  # alternately, so that each meets the same other load
        times.append([seconds(lambda: recordings.scan(clips)), seconds(listed)])
    touch()
    stats, unchanged = (statistics.median(column) for column in zip(*times, strict=True))
    return stats, unchanged, seconds(listed)


def _make_history(place: Path) -> None:
    """Make the history of a retraining with the folder."""
    os.chdir(place)
    with History.lock("words") as history:
        config = configs.load(Path("words.toml"))
        folder = config.data.folder
        listing = recordings.read(folder, recordings.scan(folder), history.folder)
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
