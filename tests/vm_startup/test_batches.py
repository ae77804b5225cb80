import dataclasses
from itertools import islice

import numpy as np
import pytest

from vm_startup.speech_commands import batches
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.data.dataset import Dataset, Split

SETTINGS = AudioSettings(preprocess="average", window_stride_ms=20)
RECIPE = batches.Recipe(
    seed=7,
    batch_size=8,
    echo=3,
    silence_percentage=25,
    unknown_percentage=50,
    time_shift_ms=6.25,
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
    training = Split(audio, label, nowhere, nowhere, nowhere)
    return Dataset(["_silence_", "_unknown_", "yes", "no"], noise, {"training": training})


def take(data, first, count, **changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    stream = batches.Batches(data, SETTINGS, recipe).from_step(first)
    return list(islice(stream, count))


@pytest.mark.parametrize("changes", [{}, {"augmentation": "room", "time_mask": 9, "mixup": 0.5}])
def test_batches_from_a_later_step_are_the_same(data, changes):
    """A stream that starts at a later step gives the batches of a stream from the first step."""
    whole = take(data, 1, 17, **changes)
    for first in (2, 5, 6, 16):
        for (features, labels), (again, labels_again) in zip(
            whole[first - 1 :], take(data, first, 18 - first, **changes), strict=True
        ):
            assert np.array_equal(features, again)
            assert np.array_equal(labels, labels_again)


def test_batches_have_the_given_proportions(data):
    """Wanted, unknown and silent clips are drawn as 100 : 50 : 25."""
    labels = np.concatenate([labels for _, labels in take(data, 1, 120)])
    shares = np.bincount(labels, minlength=4) / len(labels)
    assert shares == pytest.approx([25 / 175, 50 / 175, 50 / 175, 50 / 175], abs=0.06)


def test_seed_decides_batches(data):
    """Another seed draws other batches."""
    assert not np.array_equal(take(data, 1, 1)[0][0], take(data, 1, 1, seed=8)[0][0])


def test_echo_reuses_clips(data):
    """With an echo of 3 a round has a third as many new clips; with 1, all differ."""

    def speech(echo):
        found = np.concatenate([features for features, _ in take(data, 1, 25, echo=echo)])
        return found[found.any(1)]

    assert len(np.unique(speech(1), axis=0)) == len(speech(1))
    # Five rounds of 5 steps, each with 2 new batches of 8.
    assert 0.7 * 80 < len(np.unique(speech(3), axis=0)) <= 80


def test_echo_uses_of_a_clip_are_a_round_apart(data):
    """After the first rounds, no round has a clip twice."""
    rounds = np.split(np.concatenate([f for f, _ in take(data, 16, 15, echo=3)]), 3)
    for clips in rounds:
        speech = clips[clips.any(1)]
        assert len(np.unique(speech, axis=0)) == len(speech)
    first, second = (set(map(bytes, clips)) for clips in rounds[:2])
    assert len(first & second) > 10


@pytest.mark.parametrize("share", [0.3, 0.0, 1.0])
def test_synthetic_clips_are_drawn_with_their_share(data, share):
    """The share does not depend on the numbers of clips of either kind."""
    split = data.splits["training"]
    mixed = Split(
        split.audio,
        split.label,
        np.repeat(["folder", "synthetic"], [4, 8]),
        split.name,
        split.group,
    )
    mixed.label = np.array([2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 1, 1], np.int32)
    both = Dataset(data.labels, [], {"training": mixed})
    labels = np.concatenate([part for _, part in take(both, 1, 100, synthetic_share=share)])
    assert (labels == 3).sum() / (labels >= 2).sum() == pytest.approx(share, abs=0.05)
    assert (labels == 1).any()


def test_batches_without_unknown_words(data):
    """A data set of wanted words alone trains without unknown words."""
    split = data.splits["training"]
    wanted = Split(*(column[4:] for column in vars(split).values()))
    only = Dataset(data.labels, [], {"training": wanted})
    labels = np.concatenate([labels for _, labels in take(only, 1, 20)])
    assert set(labels) == {0, 2, 3}


def test_batches_are_masked(data):
    """The same clips are drawn, and masked values are zero."""
    whole, masked = take(data, 1, 4), take(data, 1, 4, time_mask=9, frequency_mask=9)
    for (features, labels), (seen, labels_seen) in zip(whole, masked, strict=True):
        assert np.array_equal(labels, labels_seen)
        assert ((seen == features) | (seen == 0)).all()
        assert (seen != features).any()


@pytest.mark.parametrize("augmentation", ["room", "hard"])
def test_room_augmentation_keeps_labels(data, augmentation):
    """The same clips are drawn, and every one has other features."""
    plain, elsewhere = take(data, 1, 4), take(data, 1, 4, augmentation=augmentation)
    for (features, labels), (changed, labels_changed) in zip(plain, elsewhere, strict=True):
        assert np.array_equal(labels, labels_changed)
        assert (features != changed).any(1).all()


def test_batches_with_mixup_have_label_shares(data):
    """Half of the clips have two labels, and each clip's shares sum to one."""
    labels = np.concatenate([labels for _, labels in take(data, 1, 30, mixup=0.5)])
    assert labels.shape == (240, 4)
    assert np.allclose(labels.sum(1), 1)
    assert 0.25 < (labels.max(1) < 1).mean() < 0.5
