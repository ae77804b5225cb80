"""The listener's C: the model with its feature extractor, for a stream of audio.

Only models of the `micro` features of one second have a listener.
"""

import numpy as np

from firmware_export.compiler.arithmetic import multiplier_range
from firmware_export.compiler.c_text import fill, template
from firmware_export.errors import BadModel
from firmware_export.front_end import front_end
from firmware_export.importers import tflite
from vm_startup.micro_frontend.build import BATCH_FILES, source_files
from vm_startup.micro_frontend.extract import SCALE
from vm_startup.micro_frontend.tables import FrontEnd

VALUES = 1 << 16  # of the extractor's integers


def feature_extractor(inputs: int) -> FrontEnd | None:
    """The extractor whose frames fill so many inputs; None where the features are not `micro`."""
    try:
        settings = front_end(inputs)
    except BadModel:
        return None
    sizes = settings.window_samples, settings.stride_samples
    return FrontEnd(*sizes) if settings.preprocess == "micro" else None


def clip_strides(extractor: FrontEnd, inputs: int) -> int:
    """How many strides of samples fill the model's frames."""
    frames = inputs // extractor.channels
    return (extractor.window + (frames - 1) * extractor.stride - 1) // extractor.stride + 1


def sources(model: tflite.Model) -> dict[str, str]:
    """{file name: C text} without the model's and the board's files; empty for a model of other
    features."""
    extractor = feature_extractor(model.input.size)
    if extractor is None:
        return {}
    frames = model.input.size // extractor.channels
    multiplier, shift, steps = feature_scale(model.input)
    texts = source_files(extractor)
    return {
        **{name: text for name, text in texts.items() if name not in BATCH_FILES},
        "listener.c": template("listener.c"),
        "listener.h": fill(
            template("listener.h.in"),
            stride=extractor.stride,
            stride_ms=f"{1000 * extractor.stride / extractor.sample_rate:g}",
            sample_rate=extractor.sample_rate,
            frames=frames,
        ),
        "listener_parameters.h": fill(
            template("listener_parameters.h.in"),
            channels=extractor.channels,
            clip_strides=clip_strides(extractor, model.input.size),
            multiplier=multiplier,
            shift=shift,
            half=1 << (shift - 1),
            steps=steps,
        ),
    }


def feature_scale(tensor: tflite.Tensor) -> tuple[int, int, int]:
    """(multiplier, shift, steps): the extractor's integer v is
    min((v * multiplier + 2^(shift - 1)) >> shift, steps) codes above the zero point of `tensor`,
    exactly as `tensor.quantise` has it, for each of the 65,536 values of v."""
    features = np.arange(VALUES, dtype=np.float32) * SCALE
    codes = tensor.quantise(features).astype(int) - tensor.stored_zero_point
    steps = int(codes[-1])
    firsts = [int(v) for v in np.searchsorted(codes, range(1, steps + 1))]  # to reach each step
    ranges = ((shift, *multiplier_range(firsts, shift, 1 << 47)) for shift in range(1, 47))
    return next((low, shift, steps) for shift, low, high in ranges if low <= high)
