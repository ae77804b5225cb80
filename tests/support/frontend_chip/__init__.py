"""The front end as the chip's firmware runs it: compiled for a Cortex-M3, run in the emulator."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from firmware_export import build
from firmware_export.verify.emulator import Chip
from vm_startup.micro_frontend.build import source_files
from vm_startup.micro_frontend.tables import FrontEnd

BLUEPILL = resources.files("firmware_export") / "boards" / "bluepill"
CHIP_FILES = ("bluepill.ld", "host.h", "startup.c")


@dataclass(frozen=True)
class Image:
    """A firmware that turns samples into features."""

    front_end: FrontEnd
    folder: Path
    flash: int  # bytes that the front end takes of it: code and tables

    def listen(self, audio: np.ndarray) -> "Heard":
        """The features of int16 samples, at least a window of them."""
        image = (self.folder / "bluepill.bin").read_bytes()
        windows = (len(audio) - self.front_end.window) // self.front_end.stride
        used = audio[: self.front_end.window + windows * self.front_end.stride]
        chip = Chip(image, used.tobytes(), used.nbytes).run()
        state_size = int.from_bytes(chip.output[:4], "little")
        features = np.frombuffer(bytes(chip.output[4:]), np.uint16)
        variables = build.loaded((self.folder / "bluepill.elf").read_bytes())[1]
        return Heard(
            features.reshape(-1, self.front_end.channels),
            state_size,
            chip.instructions,
            chip.stack(variables),
        )


@dataclass(frozen=True)
class Heard:
    features: np.ndarray  # uint16 [frames, channels]
    state_size: int  # bytes that a stream keeps
    instructions: int  # from the last stride's arrival to its features
    stack: int  # bytes, the most ever used


def make(front_end: FrontEnd, folder: Path) -> Image:
    """Compile for the chip; `folder` gets everything."""
    sources = source_files(front_end)
    for name in CHIP_FILES:
        sources[name] = (BLUEPILL / name).read_text("utf-8")
    sources["main.c"] = (Path(__file__).parent / "main.c").read_text("utf-8")
    sources["model.c"] = sources["micro_frontend.c"]
    flash = _size(folder / "full", sources)
    # The rest of the firmware is what the same chip needs to do nothing but the same talking.
    silent = {**sources, "model.c": STUBS}
    return Image(front_end, folder / "full", flash - _size(folder / "silent", silent))


STUBS = """#include "micro_frontend.h"
size_t micro_frontend_add_samples(struct micro_frontend *s, const int16_t *a, size_t n) {
    return n;
}
int micro_frontend_frame(struct micro_frontend *s, uint16_t *f) { return 1; }
"""


def _size(folder: Path, sources: dict[str, str]) -> int:
    folder.mkdir(parents=True)
    for name, text in sources.items():
        (folder / name).write_text(text, "utf-8")
    return build.build(folder).flash
