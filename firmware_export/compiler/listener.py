"""The listener's sources: the front end, its tables, and the grid of the model's input.

It is made for models that take the `micro` features of a second, and only for those.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from firmware_export import clips
from firmware_export.errors import BadModel
from firmware_export.importers import tflite
from firmware_export.verify import reference

if TYPE_CHECKING:
    from vm_startup.micro_frontend.tables import FrontEnd

IMAGE = "listener"
CHIP_FILES = ("listener.c", "listener.h", "listener_main.c")
FRONT_END_FILES = (
    "micro_frontend.c", "micro_frontend.h", "micro_frontend_scalar.h", "micro_frontend_stages.h",
    "micro_frontend_tables.h",
)  # fmt: skip
STEP = np.float32(10 / 256)  # of the front end's integers, as models are trained on them
VALUES = 1 << 16  # that such an integer may have
WINDOW = 480  # samples


def front_end(inputs: int) -> FrontEnd | None:
    """The front end whose frames fill so many inputs; None where no such one is known."""
    from vm_startup.micro_frontend.tables import FrontEnd

    try:
        preprocess, stride = clips.front_end(inputs)
    except BadModel:
        return None
    samples = int(16 * stride)
    return FrontEnd(WINDOW, samples) if preprocess == "micro" and samples <= WINDOW else None


def samples(front_end: FrontEnd, inputs: int) -> int:
    """How many samples of a clip the listener takes, in whole strides, to fill its frames."""
    frames = inputs // front_end.channels
    strides = (front_end.window + (frames - 1) * front_end.stride - 1) // front_end.stride + 1
    return strides * front_end.stride


def sources(model: tflite.Model) -> dict[str, str]:
    """{file name: C text}, without the compiled model's and the chip's own; empty for a model that
    takes other features."""
    found = front_end(model.input.size)
    if found is None:
        return {}
    from vm_startup.micro_frontend.build import source_files

    texts, chip = source_files(found), resources.files("firmware_export") / "boards" / "bluepill"
    own = {name: (chip / name).read_text("utf-8") for name in CHIP_FILES}
    return own | {name: texts[name] for name in FRONT_END_FILES} | {"grid.h": _grid(model.input)}


def grid(tensor: tflite.Tensor) -> tuple[int, int, int]:
    """(multiplier, shift, most): a value v of the front end is
    min((v * multiplier + 2^(shift - 1)) >> shift, most) steps above the zero point of `tensor`,
    exactly as reference.on_grid has it, for each of the 65,536 that there are."""
    features = np.arange(VALUES, dtype=np.float32) * STEP
    steps = reference.on_grid(features, tensor).astype(int) - reference.zero_point(tensor)
    most = int(steps[-1])
    firsts = [int(v) for v in np.searchsorted(steps, range(1, most + 1))]  # to reach each step
    return next(
        (multiplier, shift, most)
        for shift in range(1, 47)
        if (multiplier := _multiplier(firsts, shift)) is not None
    )


def _multiplier(firsts: list[int], shift: int) -> int | None:
    """The least that takes each first value, and none before it, to its step; None without one."""
    halves = [(2 * step - 1) << (shift - 1) for step in range(1, len(firsts) + 1)]
    low = max((-(-half // v) for half, v in zip(halves, firsts, strict=True)), default=0)
    below = ((half - 1) // (v - 1) for half, v in zip(halves, firsts, strict=True) if v > 1)
    return low if low <= min(below, default=low) else None


def _grid(tensor: tflite.Tensor) -> str:
    multiplier, shift, most = grid(tensor)
    return (
        "/* From the front end's integers, 0 to 65535, to steps above the input's zero point. */\n"
        "#ifndef GRID_H\n#define GRID_H\n\n"
        f"#define GRID_MULTIPLIER {multiplier}u\n"
        f"#define GRID_SHIFT {shift}\n"
        f"#define GRID_HALF {1 << (shift - 1)}ull\n"
        f"#define GRID_STEPS {most}u /* the most */\n\n#endif\n"
    )
