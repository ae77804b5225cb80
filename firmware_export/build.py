"""Builds a firmware folder's images, each an .elf and a .bin; the same bytes on every computer."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from firmware_export import elf, files
from firmware_export.boards.board import Board
from firmware_export.errors import DoesNotFit, ExportError, ToolMissing

LAYERS = "layers.json"  # beside the sources: what each layer needs
COMPILERS = ("clang", "arm-none-eabi-gcc")
LISTENER = "listener"  # the image that tests the listener
STREAM = "stream"  # the image that tests a model of a stream; the other has the board's name
FEATURE_EXTRACTOR = "micro_frontend.c"
TIMEOUT = 600  # seconds of one compilation
_COMMON = ("-std=c11", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-Wall")
# zig adds these by default: checks that trap, debug information with paths.
_CLANG_ONLY = ("-fno-sanitize=all", "-g0", "-fno-unwind-tables", "-fno-stack-protector", "-s")


def image_sources(board: Board) -> dict[str, tuple[str, ...]]:
    """The C files of each image: one tests the model, one the listener, one a stream's model."""
    return {
        STREAM: ("startup.c", "stream_main.c", "model.c"),
        board.name: ("startup.c", "main.c", "model.c"),
        LISTENER: ("startup.c", "listener_main.c", "listener.c", FEATURE_EXTRACTOR, "model.c"),
    }


def linker_script(board: Board) -> str:
    """The file name of the board's linker script in a firmware folder."""
    return f"{board.name}.ld"


def compile_flags(board: Board, compiler: str) -> tuple[str, ...]:
    """Flags for each compiler's best code: clang's -Os is smaller than its -O2 and runs fewer
    instructions."""
    if compiler == "clang":
        cpu = board.cpu.replace("-", "_")
        return ("-target", "thumb-freestanding-eabi", f"-mcpu={cpu}", "-Os", *_COMMON)
    return (f"-mcpu={board.cpu}", "-mthumb", "-O2", *_COMMON)


def link_flags(board: Board) -> tuple[str, ...]:
    """Flags to link a firmware; both compilers take them."""
    options = ("-nostdlib", "-static", "-Wl,--gc-sections", "-Wl,--build-id=none")
    return (*options, "-T", linker_script(board))


def build(folder: Path, board: Board, compiler: str = "clang", image: str = "") -> int:
    """Compiles and links one image of the sources in `folder`; returns the bytes of its .bin.

    compiler: "clang", which comes with the ziglang package, or "arm-none-eabi-gcc". image: without
    one, that which tests the model. Raises DoesNotFit, ToolMissing.
    """
    folder, image = Path(folder), image or board.name
    with tempfile.TemporaryDirectory(prefix="firmware-") as scratch:
        linked = Path(scratch) / f"{image}.elf"
        command = [*find_compiler(compiler), *compile_flags(board, compiler), *link_flags(board)]
        command += _CLANG_ONLY if compiler == "clang" else ()
        done = _run([*command, "-o", str(linked), *image_sources(board)[image]], folder, scratch)
        if done.returncode != 0:
            raise _failure(folder, board, done.stderr, image)
        content = linked.read_bytes()
    flash = elf.flash_image(content, board)
    files.write(folder / f"{image}.elf", content)
    files.write(folder / f"{image}.bin", flash)
    return len(flash)


def build_host(folder: Path, library: Path) -> None:
    """Compiles model.c of `folder` for this computer, as a shared library."""
    with tempfile.TemporaryDirectory(prefix="firmware-") as scratch:
        # Without a C library, which ziglang would first build from its sources for ten seconds.
        command = [*find_compiler("clang"), "-std=c11", "-O2", "-fno-sanitize=all", "-shared"]
        command += ["-fPIC", "-ffreestanding", "-nostdlib"]
        done = _run([*command, "-o", str(Path(library).resolve()), "model.c"], folder, scratch)
    if done.returncode != 0:
        raise _compiler_failed(folder, done.stderr)


def find_compiler(name: str) -> list[str]:
    """The command that starts a compiler. Raises ToolMissing."""
    if name == "clang":
        if util.find_spec("ziglang") is None:
            raise ToolMissing("the compiler clang is not installed", "pip install ziglang")
        return [sys.executable, "-m", "ziglang", "cc"]
    if name not in COMPILERS:
        raise ToolMissing(f"compiler {name!r} is unknown: expected one of {', '.join(COMPILERS)}")
    if shutil.which(name) is None:
        raise ToolMissing(f"{name} is not installed", "apt install gcc-arm-none-eabi, or use clang")
    return [name]


def _run(command: Sequence[str], folder: Path, scratch: str) -> subprocess.CompletedProcess[str]:
    caches = {"ZIG_GLOBAL_CACHE_DIR": scratch, "ZIG_LOCAL_CACHE_DIR": scratch}
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **caches, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT,
    )


def _failure(folder: Path, board: Board, complaint: str, image: str) -> ExportError:
    """The linker's message as an error; GNU's and LLVM's have the same words about regions."""
    who = "model with its feature extractor" if image == LISTENER else "model"
    layers = json.loads((folder / LAYERS).read_text("utf-8"))
    sizes = {"RAM": ("ram", board.ram_size), "FLASH": ("flash", board.flash_size)}
    for region, (kind, total) in sizes.items():
        found = re.findall(rf"region [`']{region}'[^\n]*overflowed by (\d+) bytes", complaint)
        if found:
            largest = max(layers, key=lambda layer: layer[kind])
            memory = "RAM" if region == "RAM" else "flash"
            return DoesNotFit(
                f"the firmware of the {who} needs {max(map(int, found)):,} bytes more {memory} "
                f"than the chip's {total >> 10} KiB",
                f"make the largest layer smaller: {largest['layer']} has {largest[kind]:,} bytes",
            )
    return _compiler_failed(folder, complaint)


def _compiler_failed(folder: Path, complaint: str) -> ExportError:
    lines = [line for line in complaint.splitlines() if "error" in line] or ["no reason given"]
    return ExportError(f"the compiler failed in {folder}: {lines[0][:300]}")
