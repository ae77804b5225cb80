import dataclasses
from itertools import islice

import numpy as np
import pytest

from vm_startup.speech_commands import batches
from vm_startup.speech_commands.dataset import Dataset, Split
from vm_startup.speech_commands.settings import AudioSettings

SETTINGS = AudioSettings(preprocess="average", window_stride_ms=20)
RECIPE = batches.Recipe(
    seed=7,
    batch_size=8,
    echo=3,
    silence_percentage=25,
    unknown_percentage=50,
    time_shift=100,
    background_volume=0.1,
    background_frequency=0.8,
)


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch):
    monkeypatch.setattr(batches, "ROUND", 5)


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.default_rng(0)
    audio = rng.integers(-3000, 3000, (12, 16000)).astype(np.int16)
    label = np.array([1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3], np.int32)
    nowhere = np.array([""] * 12)
    noise = [rng.uniform(-1, 1, 40000).astype(np.float32)]
    training = Split(audio, label, nowhere, nowhere)
    return Dataset(["_silence_", "_unknown_", "yes", "no"], noise, {"training": training})


def take(data, first, count, **changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    stream = batches.Batches(data, SETTINGS, recipe).from_step(first)
    return list(islice(stream, count))


def test_a_step_finds_its_batch_wherever_it_begins(data):
    """Starting at a later step gives the batches that a run from the first would have come to."""
    whole = take(data, 1, 17)
    for first in (2, 5, 6, 11):
        for (features, labels), (again, labels_again) in zip(
            whole[first - 1 :], take(data, first, 18 - first), strict=True
        ):
            assert np.array_equal(features, again)
            assert np.array_equal(labels, labels_again)


def test_batches_keep_the_asked_proportions(data):
    """Of wanted : unknown : silence, 100 : 50 : 25 are drawn."""
    labels = np.concatenate([labels for _, labels in take(data, 1, 120)])
    shares = np.bincount(labels, minlength=4) / len(labels)
    assert shares == pytest.approx([25 / 175, 50 / 175, 50 / 175, 50 / 175], abs=0.06)


def test_another_seed_draws_other_batches(data):
    """The seed decides."""
    assert not np.array_equal(take(data, 1, 1)[0][0], take(data, 1, 1, seed=8)[0][0])


def test_echo_uses_each_clip_again(data):
    """With an echo of 3 a round holds a third as many different pictures; with 1, all differ."""
    for echo, different in ((1, 40), (3, 16)):
        pictures = np.concatenate([features for features, _ in take(data, 1, 5, echo=echo)])
        speech = pictures[pictures.any(1)]
        assert len(np.unique(speech, axis=0)) <= different
    assert len(np.unique(pictures, axis=0)) == 16


def test_sources_are_drawn_equally_often(data):
    """Four recordings of a word stand up to eight synthetic clips."""
    split = data.splits["training"]
    mixed = Split(split.audio, split.label, np.repeat(["folder", "synthetic"], [4, 8]), split.name)
    mixed.label = np.array([2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3], np.int32)
    both = Dataset(data.labels, [], {"training": mixed})
    labels = np.concatenate([labels for _, labels in take(both, 1, 100)])
    assert (labels == 2).sum() / (labels >= 2).sum() == pytest.approx(0.5, abs=0.05)


def test_no_unknown_words_are_needed(data):
    """A data set of wanted words alone trains without any unknown."""
    split = data.splits["training"]
    wanted = Split(*(column[4:] for column in vars(split).values()))
    only = Dataset(data.labels, [], {"training": wanted})
    labels = np.concatenate([labels for _, labels in take(only, 1, 20)])
    assert set(labels) == {0, 2, 3}


def test_masks_hide_part_of_a_picture(data):
    """The same clips are drawn, and nothing but zeros is put in their place."""
    whole, masked = take(data, 1, 4), take(data, 1, 4, time_mask=9, frequency_mask=9)
    for (features, labels), (seen, labels_seen) in zip(whole, masked, strict=True):
        assert np.array_equal(labels, labels_seen)
        assert ((seen == features) | (seen == 0)).all()
        assert (seen != features).any()
