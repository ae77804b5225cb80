"""A firmware's sources: the compiled model, built-in test clips, the board's files, a Makefile."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware_export import build, files
from firmware_export.boards.board import Board
from firmware_export.compiler import listener
from firmware_export.compiler.c_text import fill, numbers, quoted, template
from firmware_export.compiler.compile import Compiled, compile_model
from firmware_export.errors import BadModel

LONGEST_NAME = 80  # characters of a clip's name in the flash


@dataclass(frozen=True)
class Clip:
    """A test clip in the firmware, which runs it at every start."""

    name: str
    codes: np.ndarray  # [inputs], the model's codes
    expected: np.ndarray  # [scores], the interpreter's codes


def write(
    folder: Path, model: bytes, clips: Sequence[Clip], labels: Sequence[str], board: Board
) -> list[str]:
    """Writes everything that `build.build` or `make` needs into `folder`. Raises BadModel.

    Returns the images that can be built: the listener only for a model of `micro` features.
    `layers.json` goes along: each layer's name and bytes of flash and RAM, for messages.
    """
    compiled = compile_model(model)
    scores = compiled.model.output.size
    if len(labels) != scores:
        raise BadModel(f"there are {len(labels)} labels for the model's {scores} scores")
    listening = listener.sources(compiled.model)
    images = [board.name, *([build.LISTENER] if listening else [])]
    _write(folder, {**listening, "clips.h": _clips(clips, labels)}, compiled, images, board)
    return images


def write_stream(
    folder: Path, compiled: Compiled, frames: np.ndarray, scores: np.ndarray, board: Board
) -> None:
    """The same for a model of a stream, as compile_stream gives it.

    frames, the model's codes [n, values], are tested at every start; scores are what the
    interpreter gives for them.
    """
    test = fill(
        template("stream_test.h.in"),
        frames=len(frames),
        rows=len(scores),
        features=_nested(frames),
        scores=_nested(scores),
    )
    _write(folder, {"stream_test.h": test}, compiled, [build.STREAM], board)


def _write(
    folder: Path, texts: dict[str, str], compiled: Compiled, images: Sequence[str], board: Board
) -> None:
    """Writes the texts, the model's, and the board's files that the images need."""
    own = {name for image in images for name in build.image_sources(board)[image]}
    chosen = [name for name in board.c_files() if name.endswith(".h") or name in own]
    texts = {
        **compiled.files,
        **texts,
        **{name: board.read(name) for name in chosen},
        "Makefile": _makefile(board, images),
        build.linker_script(board): fill(board.read("linker.ld.in"), **memory_map(board)),
        build.LAYERS: json.dumps([vars(layer) for layer in compiled.layers], indent=1) + "\n",
    }
    for name, text in texts.items():
        files.write(Path(folder) / name, text)


def _nested(rows: np.ndarray) -> str:
    """The rows of an array's initialiser."""
    return "\n".join("    {\n" + "\n".join(numbers(row)) + "\n    }," for row in rows)


def _clips(clips: Sequence[Clip], labels: Sequence[str]) -> str:
    features, entries = [], []
    for number, clip in enumerate(clips, 1):
        codes = "\n".join(numbers(clip.codes))
        symbol = f"msl_clip_{number}"
        features.append(
            f"static const msl_model_input {symbol}[MSL_MODEL_INPUT_SIZE] = {{\n{codes}\n}};\n"
        )
        expected = ", ".join(map(str, clip.expected))
        entries.append(f"    {{{quoted(clip.name[:LONGEST_NAME])}, {symbol}, {{{expected}}}}},")
    return fill(
        template("clips.h.in"),
        labels=", ".join(map(quoted, labels)),
        count=len(clips),
        features="\n".join(features),
        entries="\n".join(entries or ["    {0},"]),
    )


def _makefile(board: Board, images: Sequence[str]) -> str:
    sources = build.image_sources(board)
    return fill(
        board.read("Makefile.in"),
        board=board.name,
        cflags=" ".join(build.compile_flags(board, "arm-none-eabi-gcc")),
        ldflags=" ".join(build.link_flags(board)),
        images=" ".join(f"{image}.bin" for image in images),
        rules="\n".join(f"{image}.elf: {' '.join(sources[image])}" for image in images),
    )


def memory_map(board: Board) -> dict[str, object]:
    """The memory map as a linker script has it."""
    return {
        "flash_start": f"0x{board.flash_start:08x}",
        "flash_size": board.flash_size,
        "ram_start": f"0x{board.ram_start:08x}",
        "ram_size": board.ram_size,
        "stack_size": board.stack_size,
    }
