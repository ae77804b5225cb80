"""The same bits on every x86-64 processor with AVX2 and FMA. Imports nothing heavy.

Libraries choose code by what the processor has, and other code rounds sums in another order. `pin`
leaves each library one choice. The C library's mathematics has one for all of these processors.
"""

import os
import platform
from pathlib import Path

NEEDED = ("avx2", "fma")  # as /proc/cpuinfo names them

PINNED = {
    # TensorFlow computes with Eigen alone, which chooses nothing at run time. oneDNN is faster, but
    # the sizes of caches change its last bits, also where ONEDNN_MAX_CPU_ISA leaves it AVX2 alone.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "0",
    # NumPy keeps its code for AVX2: everything above that is disabled, where the processor has it.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}
UNPINNED = ("NPY_ENABLE_CPU_FEATURES",)  # contradicts NPY_DISABLE_CPU_FEATURES


def pin() -> None:
    """Pin the libraries of this process and of its children, before it imports NumPy.

    A processor that lacks something keeps what its libraries choose: OpenBLAS's code for Haswell
    would end the process there.
    """
    if describe()[1]:
        return
    for name in UNPINNED:
        os.environ.pop(name, None)
    os.environ.update(PINNED)


def describe(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, list[str]]:
    """The name of this processor, and what of NEEDED it lacks."""
    try:
        lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    parts = (line.partition(":") for line in lines)
    facts = {key.strip(): value.split() for key, _, value in parts}
    name = " ".join(facts.get("model name", [])) or platform.machine()
    return name, [feature for feature in NEEDED if feature not in facts.get("flags", [])]


def text(name: str, lacking: list[str]) -> str:
    """The processor, and what follows where it lacks something."""
    if not lacking:
        return name
    return f"{name}, without {' and '.join(lacking)}: the model may differ from other processors'"
