"""Which front end makes the features that a model takes, by its number of inputs."""

from firmware_export.errors import BadModel
from vm_startup.conventions import CLIP_SAMPLES, SAMPLE_RATE

COLUMNS = {"micro": 40, "average": 43}  # features of a frame
WINDOW = 480  # samples of a frame
STRIDES_MS = (20, 10, 15, 25, 30, 40)


def front_end(inputs: int) -> tuple[str, float]:
    """(preprocess, stride in ms) of the features of a clip; BadModel where no front end is known.

    inputs: the features of one clip of a second.
    """
    for preprocess, columns in COLUMNS.items():
        for stride in STRIDES_MS:
            frames = 1 + (CLIP_SAMPLES - WINDOW) // (SAMPLE_RATE * stride // 1000)
            if inputs == columns * frames:
                return preprocess, float(stride)
    raise BadModel(
        f"the model takes {inputs} features a clip, which no known front end makes of a WAV "
        "(micro makes 1960, average 2107)",
        "give --features instead of --clip",
    )
