"""How often the networks are right about speakers that they have never heard.

The folder's speakers are dealt into five parts; five models are trained by the product's own
trainer and recipe, each tested on the part that it was not trained on, and all that with five
seeds, which deal and train. The length of the training is the recipe's and the last weights count:
nothing is chosen by a test. SEEDS=1 in the environment takes a fifth of the time.
"""

from pathlib import Path

import _trials
import numpy as np

GOALS = {"tiny_conv": 90.0, "time_conv": 93.0}  # per cent
FOLDS, SEEDS = 5, 5


def run(folder: Path) -> None:
    for network, goal in GOALS.items():
        found = []
        for seed in _trials.seeds(SEEDS):
            found += [one(folder, network, seed, fold) for fold in range(FOLDS)]
            print(f"  {network}, {len(found)} models: {_trials.mean(found)}", flush=True)
        print(f"{network} on speakers never heard: {_trials.mean(found)}; goal: all {goal:g}")


def one(folder: Path, network: str, seed: int, fold: int) -> _trials.Score:
    """The score of one model on the part of the speakers that it has not heard."""
    clips, speakers, noises = _trials.recordings(folder)
    names = np.unique(speakers)
    part = dict(
        zip(names, np.random.default_rng(seed).permutation(len(names)) % FOLDS, strict=True)
    )
    heard = np.array([part[speaker] != fold for speaker in speakers])
    data = dataset(clips, heard, noises)
    flags = (
        f"--model_architecture={network}",
        f"--seed={FOLDS * seed + fold}",
        f"--data_dir={folder}",
    )
    return _trials.score(_trials.trained(data, *flags), data.splits["testing"])


def dataset(clips, heard: np.ndarray, noises: list[np.ndarray]):
    """The clips of one deal. The trainer wants validation clips: it gets some that it has heard."""
    from vm_startup.speech_commands.data import dataset

    def some(chosen: np.ndarray) -> dataset.Split:
        return dataset.Split(*(column[chosen] for column in vars(clips).values()))

    return dataset.Dataset(
        labels=[dataset.SILENCE_LABEL, dataset.UNKNOWN_LABEL, *_trials.WANTED],
        background=noises,
        splits={
            "training": some(heard),
            "validation": some(np.flatnonzero(heard)[::20]),
            "testing": some(~heard),
        },
    )
