"""Where test clips come from, other than a training's test set: recordings, and a generator."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from firmware_export.clips import GENERATED, OWN, Clips
from firmware_export.errors import BadModel
from firmware_export.front_end import front_end
from vm_startup.conventions import CLIP_SAMPLES


def from_wavs(paths: Sequence[Path], labels: Sequence[str], inputs: int) -> Clips:
    """A user's recordings, one second each, labelled by their folder's name where it is a label.

    inputs: how many features the model takes, which decides the front end. Raises BadModel.
    """
    settings = front_end(inputs)
    from vm_startup.speech_commands.errors import DataError
    from vm_startup.speech_commands.features import extract
    from vm_startup.speech_commands.sound import sound_file

    try:
        audio = np.stack([sound_file.read(path, CLIP_SAMPLES).samples for path in paths])
    except DataError as problem:
        raise BadModel(str(problem)) from problem
    folders = [path.resolve().parent.name for path in paths]
    known = [labels.index(folder) if folder in labels else -1 for folder in folders]
    names = [path.name for path in paths]
    features, own = extract(audio, settings), np.full(len(paths), OWN)
    return Clips(features, np.array(known), own, np.array(names), audio, np.arange(len(paths)))


def generate(count: int, inputs: int, low: float, high: float, seed: int = 1) -> Clips:
    """Constant, alternating, sparse, smooth and random features; the same for the same seed.

    low, high: the range of the model's input; some values are outside it, as for loud clips.
    """
    rng = np.random.default_rng(seed)
    features = rng.uniform(low, high, (count, inputs))
    span = high - low
    features[1::4] *= rng.random((len(features[1::4]), 1))
    features[2::4] = np.where(
        rng.random(features[2::4].shape) < 0.9, low, features[2::4] + span / 9
    )
    steps = rng.normal(0, span / 40, features[3::4].shape)
    features[3::4] = low + np.abs(np.cumsum(steps, axis=1)) % span
    extremes = [np.full(inputs, low), np.full(inputs, high), np.full(inputs, high + 9 * span)]
    extremes.append(np.where(np.arange(inputs) % 2, low, high))
    features[: len(extremes)] = extremes[:count]
    names = np.array([f"generated {index}" for index in range(count)])
    return Clips(features, np.full(count, -1), np.full(count, GENERATED), names)
