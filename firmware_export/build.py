"""Builds a firmware folder's images, each an .elf and a .bin, the same bytes wherever it stands."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from firmware_export import files
from firmware_export.errors import DoesNotFit, ExportError, ToolMissing

FLASH_START, FLASH_SIZE = 0x08000000, 64 << 10  # as in chip/bluepill.ld
RAM_START, RAM_SIZE = 0x20000000, 20 << 10
STACK_AT_LEAST = 1 << 10

IMAGES = {
    "bluepill": ("startup.c", "main.c", "model.c"),
    "listener": ("startup.c", "listener_main.c", "listener.c", "micro_frontend.c", "model.c"),
}
_COMMON = ("-std=c11", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-Wall")
# Each compiler's own best: clang's -Os is smaller than its -O2 and runs fewer instructions.
COMPILE_FLAGS = {
    "clang": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m3", "-Os", *_COMMON),
    "arm-none-eabi-gcc": ("-mcpu=cortex-m3", "-mthumb", "-O2", *_COMMON),
}
LINK_FLAGS = (
    "-nostdlib",
    "-static",
    "-Wl,--gc-sections",
    "-Wl,--build-id=none",
    "-T",
    "bluepill.ld",
)
# zig adds these by itself unless told otherwise: checks that trap, debug information with paths.
_CLANG_ONLY = ("-fno-sanitize=all", "-g0", "-fno-unwind-tables", "-fno-stack-protector", "-s")


@dataclass(frozen=True)
class Size:
    flash: int  # bytes of the .bin
    ram_static: int  # bytes of variables, before the stack


def build(folder: Path, compiler: str = "clang", image: str = "bluepill") -> Size:
    """Compile and link one image of the sources in `folder`; raises DoesNotFit, ToolMissing.

    `compiler` is "clang", the one that the ziglang package brings along, or "arm-none-eabi-gcc".
    """
    folder = Path(folder)
    with tempfile.TemporaryDirectory(prefix="bluepill-") as scratch:
        elf = Path(scratch) / f"{image}.elf"
        command = [*_compiler(compiler), *COMPILE_FLAGS[compiler], *LINK_FLAGS]
        command += _CLANG_ONLY if compiler == "clang" else ()
        done = _run([*command, "-o", str(elf), *IMAGES[image]], folder, scratch)
        if done.returncode != 0:
            raise _failure(folder, done.stderr, image)
        content, ram = loaded(elf.read_bytes())
        files.write(folder / f"{image}.elf", elf.read_bytes())
        files.write(folder / f"{image}.bin", content)
    return Size(len(content), ram)


def build_host(folder: Path, library: Path) -> None:
    """Compile model.c of `folder` for this computer, as a shared library."""
    with tempfile.TemporaryDirectory(prefix="bluepill-") as scratch:
        # Without a C library, which ziglang would first build from its sources, for ten seconds.
        command = [*_compiler("clang"), "-std=c11", "-O2", "-fno-sanitize=all", "-shared", "-fPIC"]
        command += ["-ffreestanding", "-nostdlib"]
        done = _run([*command, "-o", str(Path(library).resolve()), "model.c"], folder, scratch)
    if done.returncode != 0:
        raise _failure(folder, done.stderr, "model")


def _compiler(name: str) -> list[str]:
    if name == "clang":
        if util.find_spec("ziglang") is None:
            raise ToolMissing("The compiler is not installed: pip install ziglang.")
        return [sys.executable, "-m", "ziglang", "cc"]
    if name not in COMPILE_FLAGS:
        raise ToolMissing(f"There is no compiler {name!r}; use clang or arm-none-eabi-gcc.")
    if shutil.which(name) is None:
        raise ToolMissing(f"{name} is not installed: apt install gcc-arm-none-eabi, or use clang.")
    return [name]


def _run(command: list[str], folder: Path, scratch: str) -> subprocess.CompletedProcess:
    caches = {"ZIG_GLOBAL_CACHE_DIR": scratch, "ZIG_LOCAL_CACHE_DIR": scratch}
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **caches, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
    )


def _failure(folder: Path, complaint: str, image: str) -> ExportError:
    """The linker's complaint as one sentence; GNU's and LLVM's say the same of regions."""
    who = "firmware with its front end" if image == "listener" else "firmware"
    layers = json.loads((folder / "layers.json").read_text("utf-8"))
    for region, kind, total in (("RAM", "ram", RAM_SIZE), ("FLASH", "flash", FLASH_SIZE)):
        found = re.findall(rf"region [`']{region}'[^\n]*overflowed by (\d+) bytes", complaint)
        if found:
            largest = max(layers, key=lambda layer: layer[kind])
            memory = "RAM" if region == "RAM" else "flash"
            return DoesNotFit(
                f"The {who} needs {max(map(int, found))} bytes more {memory} than the chip's "
                f"{total // 1024} KiB; the largest layer is {largest['layer']} with "
                f"{largest[kind]} bytes."
            )
    last = [line for line in complaint.splitlines() if "error" in line] or ["no reason given"]
    return ExportError(f"The compiler failed in {folder}: {last[0][:300]}")


def loaded(elf: bytes) -> tuple[bytes, int]:
    """(the bytes that go into flash, the bytes of RAM that variables take) of a 32-bit ELF."""
    offset, size, count = struct.unpack_from("<I", elf, 28)[0], *struct.unpack_from("<HH", elf, 42)
    image, ram_end = bytearray(), RAM_START
    for i in range(count):
        kind, at, virtual, physical, stored, memory, _, _ = struct.unpack_from(
            "<8I", elf, offset + i * size
        )
        if kind != 1:
            continue
        if stored:
            start = physical - FLASH_START
            image.extend(b"\xff" * (start - len(image)))
            image[start : start + stored] = elf[at : at + stored]
        if virtual >= RAM_START:
            ram_end = max(ram_end, virtual + memory)
    return bytes(image), ram_end - STACK_AT_LEAST - RAM_START
