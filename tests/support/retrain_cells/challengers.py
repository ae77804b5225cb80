"""Two finished jobs with known accuracy: one firmware is correct on nearly every clip, one on
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
    """Make both from a finished job. The good one's test clips have its firmware's predictions as
    labels, so it is always correct; the bad one has its labels in another order, so it never is. A
    label that is never predicted still needs a clip, on which the good one is wrong."""
    from firmware_export import clips
    from firmware_export.verify.predict import predict_labels

    made = Challengers(folder / "good", folder / "bad")
    for job in (made.good, made.bad):
        shutil.copytree(finished, job)
    names = (finished / "labels.txt").read_text().split()
    rotated = [names[-1], *names[:-1]]
    (made.bad / "labels.txt").write_text("\n".join(rotated) + "\n")
    known = clips.load(finished / "test_features.npz")
    predicted = list(predict_labels(finished, known.features))
    for word in set(names) - set(predicted):
        predicted[names.index(word)] = word
    for job, labels in ((made.good, names), (made.bad, rotated)):
        indices = np.array([labels.index(word) for word in predicted])
        clips.save(replace(known, labels=indices), job / "test_features.npz")
    return made
