import numpy as np
import pytest

from vm_startup.speech_commands.augmentation.augment import Background, augment, mask, mixup, shift

SAMPLES = 200
NOTHING = Background([], SAMPLES)


@pytest.fixture
def clips() -> np.ndarray:
    return np.random.default_rng(0).integers(-9000, 9000, (50, SAMPLES)).astype(np.int16)


@pytest.fixture
def hiss() -> Background:
    noise = np.random.default_rng(1).uniform(-1, 1, 5000)
    return Background([noise.astype(np.float32)], SAMPLES)


def run(clips, background, seed=2, silent=None, **changes):
    silent = np.zeros(len(clips), bool) if silent is None else silent
    options = {"time_shift": 0, "volume": 0.1, "frequency": 0.8} | changes
    return augment(clips, silent, background, np.random.default_rng(seed), **options)


def test_shift_moves_a_clip_and_fills_with_zeros(clips):
    """Each result is its clip moved by an amount within the limit; zeros fill the gap."""
    moved = shift(clips, np.random.default_rng(3), 20)
    amounts = set()
    for clip, result in zip(clips, moved, strict=True):
        padded = np.pad(clip, 20)
        fits = [by for by in range(-20, 20) if np.array_equal(padded[20 - by :][:SAMPLES], result)]
        assert len(fits) == 1
        amounts |= set(fits)
    assert min(amounts) < -10
    assert max(amounts) > 10


def test_augment_without_noise_and_shift_changes_nothing(clips):
    """Augmentation that is switched off returns the same samples."""
    assert np.array_equal(run(clips, NOTHING), clips)


def test_background_has_the_given_frequency_and_volume(clips, hiss):
    """About the given share of clips differs, and by no more than the volume allows."""
    difference = np.abs(run(clips, hiss).astype(int) - clips).max(1)
    assert 0.6 < (difference > 0).mean() < 0.95
    assert difference.max() <= 0.1 * 32768 + 1
    assert np.array_equal(run(clips, hiss, frequency=0), clips)


def test_silent_clip_becomes_background_alone(clips, hiss):
    """A clip marked silent loses its speech and gets noise of any volume."""
    silent = np.arange(50) < 25
    quiet = run(clips, hiss, silent=silent, frequency=0)
    assert np.array_equal(quiet[25:], clips[25:])
    loudest = np.abs(quiet[:25].astype(int)).max(1)
    assert loudest.min() < 8000 < 20000 < loudest.max()
    assert not run(clips, NOTHING, silent=silent)[:25].any()


def test_augmented_samples_are_clamped():
    """Noise on a full-scale clip stays at full scale and does not wrap."""
    loud = np.full((4, SAMPLES), 32767, np.int16)
    noise = Background([np.full(1000, 1.0, np.float32)], SAMPLES)
    assert (run(loud, noise, frequency=1) == 32767).all()


def test_short_noise_is_repeated():
    """A noise shorter than a clip still fills it."""
    noise = Background([np.full(30, 0.5, np.float32), np.zeros(0, np.float32)], SAMPLES)
    assert (noise.cut(5, np.random.default_rng(0)) == 0.5).all()


def test_background_cuts_come_from_every_noise():
    """Cuts come from all noises, from their beginnings to their ends, and never across two."""
    noises = [np.full(SAMPLES + extra, extra, np.float32) for extra in (1, 50, 3)]
    cuts = Background(noises, SAMPLES).cut(200, np.random.default_rng(0))
    assert (cuts == cuts[:, :1]).all()
    assert set(cuts[:, 0]) == {1, 50, 3}


def test_same_random_stream_gives_same_clips(clips, hiss):
    """Augmentation depends on its random stream alone."""
    assert np.array_equal(run(clips, hiss, time_shift=20), run(clips, hiss, time_shift=20))
    assert not np.array_equal(run(clips, hiss, seed=3), run(clips, hiss, seed=4))


def test_mask_sets_one_stripe_of_frames_and_one_of_channels_to_zero():
    """The stripes are contiguous and no wider than the limits; other values do not change."""
    seen = np.ones((200, 20, 10), np.float32)
    mask(seen, np.random.default_rng(0), frames=6, channels=3)
    rows, columns = ~seen.any(2), ~seen.any(1)
    assert rows.sum(1).max() == 6
    assert columns.sum(1).max() == 3
    assert (np.abs(np.diff(rows, axis=1, prepend=0, append=0)).sum(1) <= 2).all()
    visible = ~rows[:, :, np.newaxis] & ~columns[:, np.newaxis, :]
    assert np.array_equal(seen, visible.astype(np.float32))
    assert rows[:, 1:].any(0).all()
    assert columns[:, 1:].any(0).all()


def test_mixup_labels_have_the_proportions_of_the_features():
    """About the given share of clips is mixed with another, and the labels have the same
    proportions."""
    features, labels = np.eye(40, dtype=np.float32), np.arange(40, dtype=np.int32) % 4
    mixed, parts = mixup(features, labels, 4, 0.5, np.random.default_rng(0))
    assert mixed.dtype == parts.dtype == np.float32
    own = mixed.diagonal()
    assert 10 < (own < 1).sum() < 30
    assert own.min() >= 0.5
    assert np.allclose(mixed[np.arange(40), np.arange(40) - 1], 1 - own)
    assert np.allclose(parts[np.arange(40), labels], own)
    assert np.allclose(parts.sum(1), 1)
