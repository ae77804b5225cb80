"""Which front end makes the features that a model takes, by its number of inputs."""

from firmware_export.errors import BadModel
from vm_startup.speech_commands.audio_settings import AudioSettings

STRIDES_MS = {"micro": (20, 10, 15, 25, 30), "average": (20, 10, 15, 25, 30, 40)}


def front_end(inputs: int) -> AudioSettings:
    """How a clip of a second becomes that many features; BadModel where no front end is known."""
    for preprocess, strides in STRIDES_MS.items():
        for stride in strides:
            settings = AudioSettings(preprocess=preprocess, window_stride_ms=float(stride))
            if settings.size == inputs:
                return settings
    raise BadModel(
        f"the model takes {inputs} features a clip, which no known front end makes of a WAV "
        "(micro makes 1960, average 2107)",
        "give --features instead of --clip",
    )
