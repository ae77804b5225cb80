"""The feature extractor on the chip: compiled for a Cortex-M3 and run in the emulator."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware_export import build, elf
from firmware_export.boards.registry import DEFAULT as BOARD
from firmware_export.compiler.c_text import fill
from firmware_export.compiler.sources import memory_map
from firmware_export.verify.emulator import Chip
from vm_startup.micro_frontend.build import source_files
from vm_startup.micro_frontend.tables import FrontEnd


@dataclass(frozen=True)
class Image:
    """A firmware that computes features of samples."""

    front_end: FrontEnd
    folder: Path
    flash: int  # bytes of the feature extractor: code and tables

    def extract(self, audio: np.ndarray) -> "Extracted":
        """The features of int16 samples, at least a window of them."""
        image = (self.folder / "bluepill.bin").read_bytes()
        windows = (len(audio) - self.front_end.window) // self.front_end.stride
        used = audio[: self.front_end.window + windows * self.front_end.stride]
        chip = Chip(image, used.tobytes(), used.nbytes).run()
        state_size = int.from_bytes(chip.output[:4], "little")
        features = np.frombuffer(bytes(chip.output[4:]), np.uint16)
        variables = elf.variables((self.folder / "bluepill.elf").read_bytes(), BOARD)
        return Extracted(
            features.reshape(-1, self.front_end.channels),
            state_size,
            chip.counts[0],
            chip.stack(variables),
        )


@dataclass(frozen=True)
class Extracted:
    features: np.ndarray  # uint16 [frames, channels]
    state_size: int  # bytes that a stream keeps
    instructions: int  # from the last stride's arrival to its features
    stack: int  # bytes, the most ever used


def make(front_end: FrontEnd, folder: Path) -> Image:
    """Compiles for the chip, in `folder`."""
    sources = source_files(front_end)
    sources |= {name: BOARD.read(name) for name in ("host.h", "startup.c")}
    sources[build.linker_script(BOARD)] = fill(BOARD.read("linker.ld.in"), **memory_map(BOARD))
    sources["main.c"] = (Path(__file__).parent / "main.c").read_text("utf-8")
    sources["model.c"] = sources["micro_frontend.c"]
    flash = _size(folder / "full", sources)
    # The same firmware without the feature extractor: the difference is what it takes.
    silent = {**sources, "model.c": STUBS}
    return Image(front_end, folder / "full", flash - _size(folder / "silent", silent))


STUBS = """#include "micro_frontend.h"
size_t msl_frontend_add_samples(struct msl_frontend *s, const int16_t *a, size_t n) {
    return n;
}
int msl_frontend_frame(struct msl_frontend *s, uint16_t *f) { return 1; }
"""


def _size(folder: Path, sources: dict[str, str]) -> int:
    folder.mkdir(parents=True)
    for name, text in sources.items():
        (folder / name).write_text(text, "utf-8")
    return build.build(folder, BOARD)
