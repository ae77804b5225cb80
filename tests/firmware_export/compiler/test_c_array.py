"""The model as a C array, in the three forms of micro_speech."""

import shutil
import subprocess
import sys

import pytest

from firmware_export.compiler import c_array
from firmware_export.errors import BadModel

MODEL = bytes(range(256)) * 3 + b"\x1c\x00\x00\x00TFL3 tail"
NAME = "tiny_conv_micro_features_model_data"
INCLUDED = {
    "2019": f"tensorflow/lite/experimental/micro/examples/micro_speech/micro_features/{NAME}.h",
    "2020": "tensorflow/lite/micro/examples/micro_speech/micro_features/model.h",
    "current": f"{NAME}.h",
}

# The README of 2019: add the include, make the array const and rename it, likewise its length.
HAND_EDITS = f"""
1s|.*|#include "{INCLUDED["2019"]}"\\n\\nconst unsigned char g_{NAME}[] = {{|
s|^unsigned int .*_len = |const int g_{NAME}_len = |
"""


@pytest.mark.skipif(not shutil.which("xxd"), reason="xxd is not installed")
@pytest.mark.parametrize("size", [1, 11, 12, 13, len(MODEL)])
def test_2019_equals_xxd_with_hand_edits(tmp_path, size):
    """The source of 2019 equals the output of xxd -i after the README's edits, byte for byte."""
    (tmp_path / "tiny_conv.tflite").write_bytes(MODEL[:size])
    dumped = subprocess.run(
        ["xxd", "-i", "tiny_conv.tflite"], cwd=tmp_path, capture_output=True, check=True
    )
    edited = subprocess.run(
        ["sed", HAND_EDITS], input=dumped.stdout, capture_output=True, check=True
    )
    assert c_array.render(MODEL[:size])[1].encode() == edited.stdout


def test_2019_header_has_upstreams_guard():
    """The header of 2019 has upstream's guard and declares the array and its int length."""
    guard = (
        "TENSORFLOW_LITE_EXPERIMENTAL_MICRO_EXAMPLES_MICRO_SPEECH_MICRO_FEATURES_"
        "TINY_CONV_MICRO_FEATURES_MODEL_DATA_H_"
    )
    assert c_array.render(MODEL)[0] == (
        f"#ifndef {guard}\n#define {guard}\n\n"
        f"extern const unsigned char g_{NAME}[];\nextern const int g_{NAME}_len;\n\n"
        f"#endif  // {guard}\n"
    )


@pytest.mark.parametrize("convention", ["2019", "current"])
def test_names_follow_the_network(convention):
    """Array, guard and include have the network's name, in the form of the convention."""
    ours = "".join(c_array.render(MODEL, convention))
    theirs = "".join(c_array.render(MODEL, convention, "time_conv"))
    renamed = ours.replace("tiny_conv", "time_conv").replace("TINY_CONV", "TIME_CONV")
    assert theirs == renamed != ours


@pytest.mark.parametrize("convention", c_array.CONVENTIONS)
def test_array_compiles_to_the_models_bytes(tmp_path, convention):
    """Each convention compiles as C++ at upstream's path, and the array is the model."""
    header, source = c_array.render(MODEL, convention)
    path = tmp_path / INCLUDED[convention]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header)
    (tmp_path / "model.cc").write_text(source)
    array = "g_model" if convention == "2020" else f"g_{NAME}"
    count = f"{array}_size" if convention == "current" else f"{array}_len"
    (tmp_path / "main.cc").write_text(
        f'#include <stdio.h>\n#include "{INCLUDED[convention]}"\n'
        f"int main() {{ return fwrite({array}, 1, {count}, stdout) != {len(MODEL)}; }}\n"
    )
    zig = [sys.executable, "-m", "ziglang"]
    for unit in ("main", "model"):
        compile_ = [*zig, "c++", "-Werror", "-Wall", "-I.", "-c", f"{unit}.cc", "-o", f"{unit}.o"]
        subprocess.run(compile_, cwd=tmp_path, check=True)
    # Linked as C: nothing here needs libc++, which zig would first have to build for a minute.
    subprocess.run([*zig, "cc", "main.o", "model.o", "-o", "dump"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "dump"], capture_output=True, check=True).stdout == MODEL


def test_alignment_of_later_conventions():
    """The arrays of 2020 and current are aligned to 4 and 16 bytes; that of 2019 is not aligned."""
    assert "__attribute__((aligned(4)))" in c_array.render(MODEL, "2020")[1]
    assert "alignas(16)" in c_array.render(MODEL, "current")[1]
    assert "align" not in c_array.render(MODEL, "2019")[1]


def test_unknown_convention_is_refused():
    """An unknown convention is refused with the known ones."""
    with pytest.raises(BadModel, match="'2018' is unknown: expected one of 2019, 2020, current"):
        c_array.render(MODEL, "2018")
