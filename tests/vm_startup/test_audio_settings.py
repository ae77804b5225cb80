import pytest

from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.errors import DataError


@pytest.mark.parametrize(
    ("preprocess", "stride", "frames", "width"),
    [("micro", 20, 49, 40), ("average", 20, 49, 43), ("mfcc", 10, 98, 40), ("average", 10, 98, 43)],
)
def test_feature_shapes_equal_upstream(preprocess, stride, frames, width):
    """Frames and width are those of upstream's prepare_model_settings."""
    settings = AudioSettings(preprocess=preprocess, window_stride_ms=stride)
    assert (settings.frames, settings.width, settings.size) == (frames, width, frames * width)


@pytest.mark.parametrize(
    "wrong",
    [
        {"preprocess": "fft"},
        {"sample_rate": 8000},
        {"clip_duration_ms": 500},
        {"feature_bin_count": 0},
        {"window_stride_ms": 0},
        {"window_size_ms": 1001},
        {"preprocess": "micro", "window_stride_ms": 12.5},
        {"preprocess": "micro", "window_stride_ms": 31},
    ],
)
def test_unsupported_audio_settings_are_refused(wrong):
    """Each unsupported audio flag is refused before anything is computed."""
    with pytest.raises(DataError, match=".+"):
        AudioSettings(**wrong)
