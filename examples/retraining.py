"""Six weeks of a model that is retrained on a schedule, in ten minutes on two cores.

    python examples/retraining.py            in a new temporary folder
    python examples/retraining.py FOLDER     in FOLDER, which must not exist

Each week brings new recordings, or none; here they are WAV files of synthetic speech. A scheduler
starts `launcher retrain` when it is due. At the end the script prints the model's history. It
changes nothing outside the folder, and creates no cloud machine.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vm_startup.speech_commands.sound import sound_file
from vm_startup.speech_commands.synthetic.source import SyntheticSource

WORDS = ["yes", "no"]
TESTED = 30  # percent of the speakers: many test clips make differences significant
EVERY = "*/20 * * * * *"  # twenty seconds stand for a week
LAUNCHER = (sys.executable, "-P", "-m", "launcher")

CONFIG = """\
name = "spotter"
backend = "local"

[words]
wanted = {words}

[data]
folder = "recordings"
testing_percentage = {tested}

[train]
model_architecture = "time_conv"
how_many_training_steps = {steps}

[machine]
recipe = "python"

[retrain]
confidence = 0.99  # of a hundred challengers that are not better, one is promoted
"""


@dataclass(frozen=True)
class Week:
    """The recordings of a week."""

    news: str
    clips: int  # of each word, and as many of other words
    broken: bool = False  # microphone: noise only


WEEKS = [
    Week("the first recordings, a few", 30),
    Week("no new recordings", 0),
    Week("a handful more", 5),
    Week("many more", 1500),
    Week("a handful more", 5),
    Week("recordings from a broken microphone", 400, broken=True),
]


def main() -> None:
    """Run the weeks, then print the history."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--steps", type=int, default=1200, help="of each training")
    parser.add_argument("--part", type=float, default=1.0, help="of the clips, for a quick run")
    choices = parser.parse_args()
    folder = choices.folder or Path(tempfile.mkdtemp(prefix="retraining-")) / "spotter"
    folder.mkdir(parents=True)
    config = CONFIG.format(words=json.dumps(WORDS), tested=TESTED, steps=choices.steps)
    (folder / "spotter.toml").write_text(config)
    os.environ["XDG_STATE_HOME"] = str(folder.resolve() / "state")
    launcher(folder, "schedule", "add", "spotter.toml", "--cron", EVERY, "--timezone", "UTC")
    launcher(folder, "schedule", "pause", "spotter")
    command = [*LAUNCHER, "schedule", "run", "--json"]
    scheduler = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        for number, week in enumerate(WEEKS, 1):
            print(f"\nweek {number}: {week.news}", flush=True)
            record(folder / "recordings", number, week, choices.part)
            retrain_once(folder, map(json.loads, scheduler.stdout))
    finally:
        scheduler.terminate()
        scheduler.communicate()
    launcher(folder, "history", "spotter")
    print(f"\neverything is in {folder}")


def launcher(folder: Path, *arguments: str) -> None:
    """Print a launcher command, and run it."""
    print(f"\n$ launcher {shlex.join(arguments)}", flush=True)
    subprocess.run([*LAUNCHER, *arguments], cwd=folder, check=True)


def retrain_once(folder: Path, events: Iterator[dict]) -> None:
    """Resume the schedule until one run was started, and wait for its verdict."""
    quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([*LAUNCHER, "schedule", "resume", "spotter"], **quiet)
    for event in events:
        if event["schedule"] != "spotter":
            continue
        print(f"  {event['time'][11:19]}  {event['event']}  {event['message']}", flush=True)
        if event["event"] == "started":
            subprocess.run([*LAUNCHER, "schedule", "pause", "spotter"], **quiet)
        elif event["event"] in ("promoted", "kept", "unchanged", "failed"):
            return
    sys.exit("the scheduler ended")


def record(folder: Path, number: int, week: Week, part: float) -> None:
    """Write a week's recordings, FOLDER/WORD/SPEAKER_nohash_WEEK-N.wav."""
    clips = round(week.clips * part)
    if not clips:
        return
    noise = np.random.default_rng(number)
    spoken = SyntheticSource(WORDS, clips, seed=number, testing_percentage=TESTED)
    for clip in spoken.clips():
        word, name = clip.name.split("/")
        speaker, _, count = name.rpartition("_")
        path = folder / word / f"{speaker}_{number}-{count}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        hiss = noise.normal(0, 2000, 16000).astype(np.int16) if week.broken else None
        sound_file.write(path, clip.read() if hiss is None else hiss)
    if not (background := folder / "_background_noise_").exists():
        background.mkdir()
        for index, sound in enumerate(spoken.background()):
            sound_file.write(background / f"{index}.wav", (sound * 32767).astype(np.int16))


if __name__ == "__main__":
    main()
