"""The listener's C: the model with its feature extractor, for a stream of audio.

Only models of the `micro` features of one second have a listener.
"""

import re

import numpy as np

from firmware_export.build import FEATURE_EXTRACTOR
from firmware_export.compiler.c_text import fill, template
from firmware_export.errors import BadModel
from firmware_export.front_end import WINDOW, front_end
from firmware_export.importers import tflite
from vm_startup.conventions import SAMPLE_RATE
from vm_startup.micro_frontend.build import source_files
from vm_startup.micro_frontend.tables import FrontEnd

STEP = np.float32(10 / 256)  # one unit of the extractor's integers, as models are trained
VALUES = 1 << 16  # of such an integer


def feature_extractor(inputs: int) -> FrontEnd | None:
    """The extractor whose frames fill so many inputs; None where the features are not `micro`."""
    try:
        preprocess, stride_ms = front_end(inputs)
    except BadModel:
        return None
    stride = int(SAMPLE_RATE * stride_ms / 1000)
    return FrontEnd(WINDOW, stride) if preprocess == "micro" and stride <= WINDOW else None


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
    return {
        **_included(source_files(extractor)),
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


def _included(texts: dict[str, str]) -> dict[str, str]:
    """FEATURE_EXTRACTOR and those of `texts` that it includes, directly or not."""
    found, waiting = {}, [FEATURE_EXTRACTOR]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = texts[name]
            waiting += re.findall(r'^#include "(.+)"', texts[name], re.MULTILINE)
    return found


def feature_scale(tensor: tflite.Tensor) -> tuple[int, int, int]:
    """(multiplier, shift, steps): the extractor's integer v is
    min((v * multiplier + 2^(shift - 1)) >> shift, steps) codes above the zero point of `tensor`,
    exactly as `tensor.quantise` has it, for each of the 65,536 values of v."""
    features = np.arange(VALUES, dtype=np.float32) * STEP
    codes = tensor.quantise(features).astype(int) - tensor.stored_zero_point
    steps = int(codes[-1])
    firsts = [int(v) for v in np.searchsorted(codes, range(1, steps + 1))]  # to reach each step
    return next(
        (multiplier, shift, steps)
        for shift in range(1, 47)
        if (multiplier := _multiplier(firsts, shift)) is not None
    )


def _multiplier(firsts: list[int], shift: int) -> int | None:
    """The smallest that takes each first value to its step, and no smaller value; None if none."""
    halves = [(2 * step - 1) << (shift - 1) for step in range(1, len(firsts) + 1)]
    low = max((-(-half // v) for half, v in zip(halves, firsts, strict=True)), default=0)
    below = ((half - 1) // (v - 1) for half, v in zip(halves, firsts, strict=True) if v > 1)
    return low if low <= min(below, default=low) else None
