"""The names that the generated C adds to a user's program: one prefix, and usable from C++."""

import os
import re
import struct
import subprocess

import pytest

from firmware_export import build
from firmware_export.boards.registry import DEFAULT as BOARD
from firmware_export.compiler import sources
from firmware_export.importers.convert import convert

PUBLIC = ("model.h", "listener.h")
# Only micro_frontend.c includes these; their functions are static.
PRIVATE = ("micro_frontend_scalar.h", "micro_frontend_stages.h")
RUNTIME = {"memcpy", "memset", *(f"__aeabi_mem{what}" for what in ("cpy", "cpy4", "clr", "clr4"))}
PROGRAM = """#include "listener.h"
#include "model.h"
void use(const int16_t *samples, msl_model_output *scores) {
    msl_listener_reset();
    if (msl_listener_push_samples(samples)) msl_listener_scores(scores);
    msl_model_invoke(msl_listener_features(), scores);
}
"""
CALLED = {
    *("msl_listener_reset", "msl_listener_push_samples", "msl_listener_scores"),
    *("msl_listener_features", "msl_model_invoke"),
}


@pytest.fixture(scope="module")
def folder(keyword_graph, tmp_path_factory):
    """The sources of a firmware with a listener."""
    made = tmp_path_factory.mktemp("firmware")
    sources.write(made, convert(keyword_graph()), [], ["a", "b", "c", "d"], BOARD)
    return made


def compiled(folder, name, *options, language="c"):
    """The output of clang for the chip."""
    zig = [*build.find_compiler("clang")[:-1], "c++" if language == "c++" else "cc"]
    flags = [flag for flag in build.compile_flags(BOARD, "clang") if flag != "-std=c11"]
    command = [*zig, *flags, "-fno-sanitize=all", "-fno-unwind-tables", "-Werror"]
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(folder), "ZIG_LOCAL_CACHE_DIR": str(folder)}
    return subprocess.run(
        [*command, *options, "-x", language, name],
        cwd=folder,
        env={**os.environ, **caches},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def symbols(path):
    """(defined, undefined): the names of the external symbols of a 32-bit object file."""
    data, found = path.read_bytes(), (set(), set())
    start, size, count = struct.unpack_from("<I", data, 32)[0], *struct.unpack_from("<HH", data, 46)
    sections = [struct.unpack_from("<10I", data, start + i * size) for i in range(count)]
    for _, kind, _, _, offset, length, link, _, _, each in sections:
        for at in range(offset, offset + length, each) if kind == 2 else ():
            name, _, _, info, _, section = struct.unpack_from("<IIIBBH", data, at)
            text = data[sections[link][4] + name :].split(b"\0", 1)[0].decode()
            if info >> 4 and text:
                found[section == 0].add(text)
    return found


def test_headers_compile_as_cpp(folder):
    """A C++ program can include the public headers and calls their functions by their C names."""
    (folder / "program.cc").write_text(PROGRAM)
    compiled(folder, "program.cc", "-fno-exceptions", "-c", "-o", "program.o", language="c++")
    assert symbols(folder / "program.o")[1] - RUNTIME == CALLED


@pytest.mark.parametrize("header", PUBLIC)
def test_header_compiles_alone(folder, header):
    """Each public header includes everything that it needs."""
    (folder / "alone.c").write_text(f'#include "{header}"\n')
    compiled(folder, "alone.c", "-c", "-o", "alone.o")


def test_macros_of_public_headers_have_the_prefix(folder):
    """The public headers define only macros that begin with MSL_, besides those of stdint.h."""
    macros = []
    for text in ("#include <stdint.h>\n", "#include <stdint.h>\n" + PROGRAM):
        (folder / "macros.c").write_text(text)
        defined = compiled(folder, "macros.c", "-E", "-dM")
        macros.append(set(re.findall(r"^#define (\w+)", defined, re.MULTILINE)))
    added = macros[1] - macros[0]
    assert {"MSL_MODEL_INPUT_SIZE", "MSL_LISTENER_STRIDE"} <= added
    assert not [name for name in added if not name.startswith("MSL_")]


def test_listener_symbols_have_the_prefix(folder):
    """The listener defines symbols with the prefix only, and needs the model and the extractor."""
    compiled(folder, "listener.c", "-c", "-o", "listener.o")
    defined, undefined = symbols(folder / "listener.o")
    assert defined == CALLED - {"msl_model_invoke"}
    needed = {name for name in undefined - RUNTIME if not name.startswith("msl_frontend_")}
    assert needed == {"msl_model_invoke"}


def test_feature_extractor_symbols_have_the_prefix(folder):
    """The feature extractor defines symbols with the prefix only, and needs no other."""
    compiled(folder, "micro_frontend.c", "-c", "-o", "micro_frontend.o")
    defined, undefined = symbols(folder / "micro_frontend.o")
    assert defined and not [name for name in defined if not name.startswith("msl_")]
    assert undefined <= RUNTIME


@pytest.mark.parametrize("network", ["tiny_conv", "separable", "pools"])
def test_model_symbols_have_the_prefix(models, tmp_path, network):
    """A model with any kernels defines one symbol and needs none but the C runtime's."""
    model = models(network, "uint8")
    labels = [f"score {i}" for i in range(10)]
    count = sources.compile_model(model).model.output.size
    sources.write(tmp_path, model, [], labels[:count], BOARD)
    compiled(tmp_path, "model.c", "-c", "-o", "model.o")
    defined, undefined = symbols(tmp_path / "model.o")
    assert defined == {"msl_model_invoke"} and undefined <= RUNTIME


def test_every_name_in_the_headers_has_the_prefix(folder):
    """Kernel headers and generated headers define no macro, tag or function without the prefix."""
    macro = re.compile(r"^#(?:define|ifndef) (\w+)", re.MULTILINE)
    named = re.compile(
        r"^#(?:define|ifndef) (\w+)|^(?:struct|enum) (\w+) \{|^\w[\w ]+?[ *](\w+)\(", re.MULTILINE
    )
    for path in folder.glob("*.h"):
        pattern = macro if path.name in PRIVATE else named
        names = ["".join(groups) for groups in pattern.findall(path.read_text())]
        assert names and all(name.lower().startswith("msl_") for name in names), (path.name, names)
