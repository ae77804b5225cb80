"""The accuracy of the networks on new speakers, by cross-validation.

The folder's speakers are divided into five parts. The product's trainer and recipe train five
models, each tested on the part that it was not trained on. Five seeds divide and train. The recipe
decides the length of the training and the last weights count, so no test chooses anything. SEEDS=1
in the environment takes a fifth of the time.
"""

from pathlib import Path

import _trials
import numpy as np

from vm_startup.conventions import SILENCE, UNKNOWN

GOALS = {"tiny_conv": 90.0, "time_conv": 93.0}  # percent
FOLDS, SEEDS = 5, 5


def run(folder: Path) -> None:
    for network, goal in GOALS.items():
        found = []
        for seed in _trials.seeds(SEEDS):
            found += [one(folder, network, seed, fold) for fold in range(FOLDS)]
            print(f"  {network}, {len(found)} models: {_trials.mean(found)}", flush=True)
        print(f"{network} on new speakers: {_trials.mean(found)}; goal: all {goal:g}")


def one(folder: Path, network: str, seed: int, fold: int) -> _trials.Score:
    """The score of one model on its held-out part of the speakers."""
    clips, speakers, noises = _trials.recordings(folder)
    names = np.unique(speakers)
    part = dict(
        zip(names, np.random.default_rng(seed).permutation(len(names)) % FOLDS, strict=True)
    )
    trained = np.array([part[speaker] != fold for speaker in speakers])
    data = dataset(clips, trained, noises)
    flags = (
        f"--model_architecture={network}",
        f"--seed={FOLDS * seed + fold}",
        f"--data_dir={folder}",
    )
    return _trials.score(_trials.trained(data, *flags), data.splits["testing"])


def dataset(clips, trained: np.ndarray, noises: list[np.ndarray]):
    """The clips of one division; as validation clips the trainer gets some training clips."""
    from vm_startup.speech_commands.data import dataset

    def some(chosen: np.ndarray) -> dataset.Split:
        return dataset.Split(*(column[chosen] for column in vars(clips).values()))

    return dataset.Dataset(
        labels=[SILENCE, UNKNOWN, *_trials.WANTED],
        background=noises,
        splits={
            "training": some(trained),
            "validation": some(np.flatnonzero(trained)[::20]),
            "testing": some(~trained),
        },
    )
