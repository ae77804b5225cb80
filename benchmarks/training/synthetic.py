"""The accuracy of networks trained on synthetic speech alone, on real recordings.

The product's trainer and recipe train on "yes", "no" and other words by espeak-ng. The test is
every recording of the folder. All seeds train on the same clips. SEEDS=1 in the environment takes a
third of the time.
"""

import tempfile
from pathlib import Path

import _trials

GOALS = {"time_conv": 85.0, "tiny_conv": None}  # percent
CLIPS, SEEDS = 6000, 3


def run(folder: Path) -> None:
    clips, _, _ = _trials.recordings(folder)
    with tempfile.TemporaryDirectory() as cache:
        data = spoken(CLIPS, cache)
        for network, goal in GOALS.items():
            found = []
            for seed in _trials.seeds(SEEDS):
                flags = f"--model_architecture={network}", f"--synthetic_clips={CLIPS}"
                found.append(_trials.score(_trials.trained(data, *flags, f"--seed={seed}"), clips))
                print(f"  {network}, seed {seed}: {_trials.mean(found[-1:])}", flush=True)
            aim = f"goal: all {goal:g}" if goal else "no goal"
            print(f"{network} from synthetic speech, on recordings: {_trials.mean(found)}; {aim}")


def spoken(clips: int, cache: str):
    """Synthetic clips of each wanted word, and of others, as a training loads them."""
    from vm_startup.speech_commands.sources import load_data

    flags = f"--synthetic_clips={clips}", f"--train_dir={cache}"
    return load_data(_trials.parsed(*flags))
