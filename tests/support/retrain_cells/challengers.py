"""Two finished jobs whose firmware is known to differ: one is right on nearly every clip, one on
nearly none."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Challengers:
    """Folders of finished jobs, with the same test clips."""

    good: Path
    bad: Path


def make(finished: Path, folder: Path) -> Challengers:
    """Both, out of a finished job. Its test clips are called what its firmware takes them for, so
    that it is always right; the other has its labels in another order, so that it never is. A word
    that it never hears needs a clip all the same, on which it is wrong."""
    from firmware_export import clips
    from firmware_export.verify.predict import predict_labels

    made = Challengers(folder / "good", folder / "bad")
    for job in (made.good, made.bad):
        shutil.copytree(finished, job)
    names = (finished / "labels.txt").read_text().split()
    moved = [names[-1], *names[:-1]]
    (made.bad / "labels.txt").write_text("\n".join(moved) + "\n")
    known = clips.load(finished / "test_features.npz")
    heard = list(predict_labels(finished, known.features))
    for word in set(names) - set(heard):
        heard[names.index(word)] = word
    for job, labels in ((made.good, names), (made.bad, moved)):
        meant = np.array([labels.index(word) for word in heard])
        clips.save(replace(known, labels=meant), job / "test_features.npz")
    return made
