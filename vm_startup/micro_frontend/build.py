"""Builds the front end for this computer, once for each setting, with any C compiler found."""

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from vm_startup.micro_frontend import tables

SOURCES = ("micro_frontend.c", "micro_frontend_batch.c")
HEADERS = tuple(f"micro_frontend{part}.h" for part in ("", "_scalar", "_stages", "_vector"))
TABLES = "micro_frontend_tables.h"
BATCH_FILES = ("micro_frontend_batch.c", "micro_frontend_vector.h")  # for training only
# Without a C library: it is not needed, and ziglang would first build one from its sources.
FLAGS = ("-std=c11", "-O3", "-ffreestanding", "-nostdlib", "-shared", "-fPIC", "-Wno-psabi", "-w")
ZIG = (sys.executable, "-m", "ziglang", "cc")
ZIG_FLAGS = ("-mcpu=baseline", "-fno-sanitize=all", "-g0")
DIGEST = 32  # bytes of a SHA-256
COMPILER_SECONDS = 120


def load(front_end: tables.FrontEnd, cache: Path | None = None) -> ctypes.CDLL | None:
    """The front end's library, built if it is missing; None if no compiler can build it.

    Bazel puts a library for the default settings beside this file. Others are in `cache`, by
    default micro-speech in the user's cache folder. If that is not writable, the library is built
    for this process alone.
    """
    sources = source_files(front_end)
    if library := _built_by_bazel(sources[TABLES]):
        return library
    flags = (*FLAGS, *processor_flags())
    key = hashlib.sha256(repr((sorted(sources.items()), flags, platform.machine())).encode())
    path = (cache or cache_folder()) / f"micro_frontend-{key.hexdigest()[:32]}.so"
    if _is_complete(path) and (library := _open(path)):
        return library
    with tempfile.TemporaryDirectory(prefix="micro-frontend-") as scratch:
        for name, text in sources.items():
            (Path(scratch) / name).write_text(text, "utf-8")
        for compiler in compilers():
            built = _build(compiler, flags, Path(scratch))
            if library := _open(built):
                _keep(built, path)
                return library
    return None


def source_files(front_end: tables.FrontEnd) -> dict[str, str]:
    """All the files that a compiler needs: file name → text."""
    here = Path(__file__).parent
    texts = {name: (here / name).read_text("utf-8") for name in (*SOURCES, *HEADERS)}
    return texts | {TABLES: tables.header(front_end)}


def cache_folder() -> Path:
    """The folder of built libraries; below /dev/null, which is never writable, without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "micro-speech"
    except RuntimeError:
        return Path(os.devnull) / "micro-speech"


def processor_flags() -> tuple[str, ...]:
    """The compiler's flags for this processor."""
    try:
        return ("-mavx2",) if " avx2 " in Path("/proc/cpuinfo").read_text("utf-8") else ()
    except OSError:
        return ()


def compilers() -> list[tuple[str, ...]]:
    """The compilers of this computer, in the order of trial."""
    named = shlex.split(os.environ.get("CC", ""))
    found = [tuple(named)] if named else []
    found += [(path,) for name in ("cc", "gcc", "clang") if (path := shutil.which(name))]
    if importlib.util.find_spec("ziglang"):
        found.append(ZIG)
    return found


def _built_by_bazel(header: str) -> ctypes.CDLL | None:
    here = Path(__file__).parent
    try:
        if (here / TABLES).read_text("utf-8") != header:
            return None
    except OSError:
        return None
    return _open(here / "libmicro_frontend.so")


def _build(compiler: tuple[str, ...], flags: tuple[str, ...], scratch: Path) -> Path:
    """The path of the library, which does not exist if the compiler failed."""
    library = scratch / f"micro_frontend-{len(list(scratch.glob('*.so')))}.so"
    more = ZIG_FLAGS if compiler == ZIG else ()
    command = [*compiler, *flags, *more, "-o", str(library), *SOURCES]
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(scratch), "ZIG_LOCAL_CACHE_DIR": str(scratch)}
    try:
        subprocess.run(
            command,
            cwd=scratch,
            env={**os.environ, **caches},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMPILER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        library.unlink(missing_ok=True)
    return library


def _open(path: Path) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(path))
        library.msl_frontend_extract_batch  # noqa: B018  CC may name any program
    except (OSError, AttributeError):
        return None
    return library


def _is_complete(kept: Path) -> bool:
    """Whether a kept library is complete: opening a truncated one kills the process."""
    try:
        content = kept.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-DIGEST]).digest() == content[-DIGEST:]


def _keep(built: Path, path: Path) -> None:
    """Store a library for other processes, with its digest after the part that the loader reads.

    Does nothing if the folder is not writable.
    """
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    content = built.read_bytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content + hashlib.sha256(content).digest())
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
