"""Test clips from training, from a user's WAVs and from the generator; and labels."""

import struct
import wave
import zipfile

import numpy as np
import pytest
import soundfile

from firmware_export import clip_sources, clips, labels
from firmware_export.errors import BadModel
from firmware_export.front_end import front_end

YES_NO = ["_silence_", "_unknown_", "yes", "no"]


def write_wav(path, rate=16000, seconds=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        tone = 9000 * np.sin(np.arange(int(rate * seconds)) * 0.2)
        file.writeframes(tone.astype("<i2").tobytes())
    return path


def test_clips_survive_save_and_load(tmp_path):
    """Saved clips load unchanged, and equal clips give equal bytes."""
    made = clip_sources.generate(30, 1960, 0.0, 26.0)
    for name in ("a.npz", "b.npz"):
        clips.save(made, tmp_path / name)
    loaded = clips.load(tmp_path / "a.npz")
    assert all(np.array_equal(getattr(made, name), getattr(loaded, name)) for name in clips.KINDS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_npz_needs_features_only(tmp_path):
    """Without labels, sources or names, clips have no label and count as given."""
    np.savez(tmp_path / "x.npz", features=np.ones((3, 49, 40, 1)))
    loaded = clips.load(tmp_path / "x.npz")
    assert loaded.features.shape == (3, 1960) and loaded.features.dtype == np.float32
    assert loaded.labels.tolist() == [-1] * 3 and loaded.given.all()


@pytest.mark.parametrize(
    "arrays, reason",
    [
        ({"labels": np.zeros(3, int)}, "no array named features"),
        ({"features": np.zeros((0, 1960))}, "has 0 clips"),
        ({"features": np.float32(1)}, "has 0 clips"),
        ({"features": np.full((2, 8), np.nan)}, "NaN, infinite"),
        ({"features": np.full((2, 8), 1e300)}, "too large"),
        ({"features": np.zeros((2, 8), int)}, "int64 of shape .* expected floats"),
        ({"features": np.full((2, 8), "loud")}, "array features is <U4"),
        ({"features": np.zeros((2, 8)), "labels": np.zeros(3, int)}, r"labels is int64 of shape"),
        ({"features": np.array([{}], object)}, "plain arrays"),
    ],
)
def test_npz_with_unusable_arrays_is_refused(tmp_path, arrays, reason):
    """Arrays that are missing, empty, misshapen, not finite or pickled are refused by name."""
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(BadModel, match=reason):
        clips.load(tmp_path / "x.npz")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_file_that_is_not_npz_is_refused(tmp_path, content):
    """A file that is not an .npz is refused without a traceback."""
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(BadModel, match="x.npz is damaged, or is not an .npz"):
        clips.load(tmp_path / "x.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_npz_entry_that_is_not_an_array_is_refused(tmp_path, method):
    """An entry that is not an array, or whose compressed bytes are damaged, is refused."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("features.npy", b"no array" * 99)
    content = bytearray(path.read_bytes())
    for _ in range(2):  # whole at first, then damaged within the entry
        with pytest.raises(
            BadModel, match="x.npz is damaged, or is not an .npz file of plain arrays"
        ):
            clips.load(path)
        content[44:54] = b"\xff" * 10
        path.write_bytes(content)


def test_zip_bomb_is_refused(tmp_path):
    """A small file that unpacks to gigabytes is refused before unpacking."""
    header = b"\x93NUMPY\x01\x00"
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 1960), }"
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("features.npy", "w") as file,
    ):
        file.write(header + struct.pack("<H", len(text)) + text)
        for _ in range(300):
            file.write(bytes(2**20))
    with pytest.raises(BadModel, match="unpacks to more than"):
        clips.load(tmp_path / "x.npz")


def test_wavs_are_labelled_by_their_folder(tmp_path):
    """A recording in a folder named like a label has that label; others have none."""
    paths = [write_wav(tmp_path / name / "a.wav") for name in ("no", "elsewhere")]
    own = clip_sources.from_wavs(paths, YES_NO, 1960)
    assert own.features.shape == (2, 1960) and own.features.max() > 1
    assert own.labels.tolist() == [3, -1] and own.names.tolist() == ["a.wav", "a.wav"]


def test_clip_may_be_flac(tmp_path):
    """A FLAC file has the features of the WAV file with the same samples."""
    samples = np.random.default_rng(1).integers(-9000, 9000, 16_000).astype(np.int16)
    paths = [tmp_path / "yes" / name for name in ("a.wav", "a.flac")]
    paths[0].parent.mkdir()
    for path in paths:
        soundfile.write(path, samples, 16_000)
    own = clip_sources.from_wavs(paths, YES_NO, 1960)
    assert (own.features[0] == own.features[1]).all() and (own.audio[1] == samples).all()


def test_damaged_wav_is_refused(tmp_path):
    """A damaged recording is refused by name."""
    path = tmp_path / "bad.wav"
    path.write_bytes(b"RIFF")
    with pytest.raises(BadModel, match="bad.wav"):
        clip_sources.from_wavs([path], YES_NO, 1960)


@pytest.mark.parametrize(
    "inputs, expected",
    [
        (1960, ("micro", 20)),
        (2107, ("average", 20)),
        (3920, ("micro", 10)),
        (4214, ("average", 10)),
    ],
)
def test_front_end_from_number_of_inputs(inputs, expected):
    """The number of features decides how a WAV becomes features."""
    settings = front_end(inputs)
    assert (settings.preprocess, settings.window_stride_ms) == expected


def test_unknown_front_end_is_refused():
    """For a model of unknown features the hint asks for --features instead of WAVs."""
    with pytest.raises(BadModel, match="1001 features") as caught:
        front_end(1001)
    assert "--features" in caught.value.hint


def test_generated_clips_cover_the_range():
    """Generated clips are repeatable and hold both ends of the range and values outside it."""
    made = clip_sources.generate(200, 1960, 0.0, 26.0)
    assert np.array_equal(made.features, clip_sources.generate(200, 1960, 0.0, 26.0).features)
    assert {0.0, 26.0} <= set(made.features.max(axis=1)) and made.features.max() > 26
    assert len(np.unique(made.features, axis=0)) == 200 and not made.given.any()


def test_join_refuses_clips_of_different_models():
    """Clips with different numbers of features cannot be joined."""
    with pytest.raises(BadModel, match="for different models"):
        clips.join(clip_sources.generate(2, 10, 0, 1), clip_sources.generate(2, 11, 0, 1))


def test_words_alone_get_silence_and_unknown():
    """Words given without silence and unknown get both before them."""
    assert labels.check(["yes", "no"], 4) == labels.check(YES_NO, 4) == YES_NO


@pytest.mark.parametrize(
    "given, reason",
    [
        (["yes"], "4 scores, but there are 1 labels"),
        (["a", "b", "c", "a"], "occurs twice"),
        (["a", "b", "c", ""], "empty"),
        (["a", "b", "c", "x" * 65], "longer than 64"),
        (["a", "b", "c", "\x1b[2J"], "not printable"),
    ],
)
def test_unusable_labels_are_refused(given, reason):
    """Labels that are too few, repeated, empty, too long or unprintable are refused."""
    with pytest.raises(BadModel, match=reason):
        labels.check(given, 4)


def test_labels_survive_render_and_parse():
    """labels.txt has one label a line and reads back unchanged."""
    assert labels.parse(labels.render(YES_NO)) == YES_NO
