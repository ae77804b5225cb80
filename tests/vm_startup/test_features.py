import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

from vm_startup.speech_commands import features
from vm_startup.speech_commands.audio_settings import AudioSettings

MICRO = AudioSettings(preprocess="micro", window_stride_ms=20)
AVERAGE = AudioSettings(preprocess="average", window_stride_ms=20)
MFCC = AudioSettings(preprocess="mfcc", window_stride_ms=20)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    """The hardest clips: silent, constant, full-scale, clipped, most negative, noisy, quiet."""
    rng = np.random.default_rng(1)
    time = np.arange(16000) / 16000
    sine = np.sin(2 * np.pi * 440 * time)
    return np.stack(
        [
            np.zeros(16000),
            np.full(16000, -32768),
            np.full(16000, 32767),
            np.where(sine > 0, 32767, -32768),
            np.clip(sine * 80000, -32768, 32767),
            rng.integers(-32768, 32768, 16000),
            rng.integers(-3, 4, 16000),
            np.where(np.arange(16000) == 8000, -32768, 0),
            sine * 12000 * (time > 0.4),
        ]
    ).astype(np.int16)


def one_micro(clip):
    """Upstream's micro features of one clip."""
    energies = audio_microfrontend_op.audio_microfrontend(
        tf.constant(clip),
        sample_rate=16000,
        window_size=30,
        window_step=20,
        num_channels=40,
        out_scale=1,
        out_type=tf.float32,
    )
    return tf.multiply(energies, 10.0 / 256.0)


def one_spectrogram(clip):
    return tf.raw_ops.AudioSpectrogram(
        input=(clip / np.float32(32768))[:, np.newaxis],
        window_size=480,
        stride=320,
        magnitude_squared=True,
    )


def one_average(clip):
    """Upstream's average features of one clip."""
    return tf.nn.pool(
        one_spectrogram(clip)[..., np.newaxis],
        window_shape=[1, 6],
        strides=[1, 6],
        pooling_type="AVG",
        padding="SAME",
    )


def one_mfcc(clip):
    """Upstream's mfcc features of one clip."""
    return tf.raw_ops.Mfcc(
        spectrogram=one_spectrogram(clip), sample_rate=16000, dct_coefficient_count=40
    )


@pytest.mark.parametrize(
    ("settings", "one"),
    [(MICRO, one_micro), (AVERAGE, one_average), (MFCC, one_mfcc)],
    ids=["micro", "average", "mfcc"],
)
def test_batch_features_equal_upstream(clips, settings, one):
    """Features of a batch are those of TensorFlow's op on each clip, bit for bit."""
    expected = np.stack([np.ravel(one(clip)) for clip in clips])
    assert np.array_equal(features.extract(clips, settings), expected)


def test_features_without_compiler_are_the_same(clips, monkeypatch):
    """If the front end cannot be built, TensorFlow's op computes the features."""
    settings = AudioSettings(preprocess="micro", window_stride_ms=25)
    quick = features.extract(clips, settings)
    features._fastest.cache_clear()
    monkeypatch.setattr(features, "extractor", lambda settings: None)
    assert np.array_equal(features.extract(clips, settings), quick)
    features._fastest.cache_clear()


def test_features_do_not_depend_on_chunks(clips, monkeypatch):
    """Chunks change no feature, and progress ends at the total."""
    whole = features.extract(clips, MICRO)
    monkeypatch.setattr(features, "CHUNK", 4)
    seen = []
    assert np.array_equal(features.extract(clips, MICRO, lambda *at: seen.append(at)), whole)
    assert seen == [(4, 9), (8, 9), (9, 9)]


def test_no_clips_have_no_features():
    """An empty batch gives an empty array of the right width."""
    assert features.extract(np.zeros((0, 16000), np.int16), MICRO).shape == (0, 1960)


def test_float_clips_are_refused():
    """Features need int16: scaling floats is where 32767 and 32768 get confused."""
    with pytest.raises(TypeError, match="int16"):
        features.extract(np.zeros((1, 16000), np.float32), MICRO)


def test_decoded_audio_returns_to_the_same_integers():
    """Each int16 survives decode_wav's float form, and values above full scale are clamped."""
    integers = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(features.to_int16(integers / np.float32(32768)), integers)
    assert features.to_int16(np.float32([1.0, 1.5, -1.5])).numpy().tolist() == [
        *(32767, 32767, -32768)
    ]


def test_cached_features_are_computed_once(clips, tmp_path, monkeypatch):
    """The second call reads the features that the first has written."""
    first = features.extract_cached(clips, MICRO, tmp_path)
    monkeypatch.setattr(features, "extract", None)
    assert np.array_equal(features.extract_cached(clips, MICRO, tmp_path), first)


def test_feature_cache_distinguishes_clips_and_settings(clips, tmp_path):
    """Another clip or another setting never gets these features."""
    features.extract_cached(clips, MICRO, tmp_path)
    assert features.extract_cached(clips, AVERAGE, tmp_path).shape == (9, 49 * 43)
    other = features.extract_cached(clips[::-1], MICRO, tmp_path)
    assert np.array_equal(other, features.extract(clips[::-1], MICRO))


def test_damaged_feature_cache_is_computed_again(clips, tmp_path):
    """A file truncated by a full disk is not trusted."""
    whole = features.extract_cached(clips, MICRO, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    assert np.array_equal(features.extract_cached(clips, MICRO, tmp_path), whole)
