import ctypes
import re
import subprocess
import sys

import numpy as np
import pytest

from vm_startup.speech_commands import wav_to_features
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.features import extract
from vm_startup.speech_commands.runtime import exit_code
from vm_startup.speech_commands.sound import sound_file

MICRO = AudioSettings(preprocess="micro", window_stride_ms=20)


@pytest.fixture
def recording(tmp_path):
    """A second of a rising tone."""
    time = np.arange(16000) / 16000
    audio = (9000 * np.sin(2 * np.pi * (300 + 900 * time) * time)).astype(np.int16)
    sound_file.write(tmp_path / "Yes 1.wav", audio)
    return tmp_path / "Yes 1.wav"


def convert(recording, output, *more):
    wav_to_features.main(
        [f"--input_wav={recording}", f"--output_c_file={output}", "--window_stride=20", *more]
    )
    return output.read_text()


@pytest.mark.parametrize(("preprocess", "width"), [("micro", 40), ("average", 43)])
def test_c_array_has_the_quantised_features(recording, tmp_path, preprocess, width):
    """The C array has the recording's features on upstream's grid of 255 steps."""
    text = convert(recording, tmp_path / "a.c", f"--preprocess={preprocess}", "--quantize=1")
    assert f"const int g_yes_1_width = {width};\nconst int g_yes_1_height = 49;\n" in text
    numbers = re.search(r"const unsigned char g_yes_1_data\[\] = \{(.*)\};", text, re.S)[1]
    settings = AudioSettings(preprocess=preprocess, window_stride_ms=20)
    codes = [int(number) for number in numbers.replace(",", " ").split()]
    features = wav_to_features.features_of_wav(recording, settings)
    most = {"micro": 26.0, "average": 127.5}[preprocess]
    assert codes == [min(255, round(255 * float(value) / most)) for value in features]
    assert max(codes) > 0


def test_c_array_text_equals_upstream(recording, tmp_path):
    """Ten codes a line, each with its comma, under a comment that repeats the flags."""
    text = convert(recording, tmp_path / "a.c", "--preprocess=micro", "--quantize=1")
    assert text.startswith(
        "/* File automatically created by\n"
        " * speech_commands/wav_to_features.py \\\n"
        " * --sample_rate=16000 \\\n"
        " * --clip_duration_ms=1000 \\\n"
        " * --window_size_ms=30 \\\n"
        " * --window_stride_ms=20 \\\n"
        " * --feature_bin_count=40 \\\n"
        " * --quantize=1 \\\n"
        ' * --preprocess="micro" \\\n'
    )
    lines = text[text.index("_data[]") :].splitlines()[1:-1]
    assert len(lines) == 196
    assert all(re.fullmatch(r"  (\d+, ){10}", line) for line in lines)
    assert text.endswith("};\n")


def test_c_array_of_floats(recording, tmp_path):
    """Without --quantize the array has floats that a C compiler reads."""
    text = convert(recording, tmp_path / "a.c", "--preprocess=micro")
    assert "const float g_yes_1_data[] = {\n  " in text
    assert text.count("f, ") == 1960


@pytest.mark.parametrize("quantize", ["--quantize=1", "--quantize=0"])
def test_c_array_compiles(recording, tmp_path, quantize):
    """clang compiles the file for any recording's name, and finds the same numbers."""
    odd = recording.rename(recording.with_name("1 *strange*? é.wav"))
    convert(odd, tmp_path / "a.c", "--preprocess=micro", quantize)
    clang = [sys.executable, "-m", "ziglang", "cc", "-Werror", "-shared"]
    subprocess.run([*clang, "a.c", "-o", "a.so"], cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "a.so"))
    assert ctypes.c_int.in_dll(library, "g_1__strange_____width").value == 40
    kind = (ctypes.c_ubyte if quantize == "--quantize=1" else ctypes.c_float) * 1960
    data = np.array(kind.in_dll(library, "g_1__strange_____data"))
    features = extract(sound_file.read(odd, 16000).samples[np.newaxis], MICRO)[0]
    expected = features
    if quantize == "--quantize=1":
        expected = wav_to_features.quantize(features, MICRO)
    assert np.allclose(data, expected, atol=1e-6)


def test_codes_of_every_op_output():
    """The grid equals (v · 2550 + 3328) / 6656 in integers for every value v of the op."""
    op = np.arange(700)
    codes = wav_to_features.quantize((op * (10 / 256)).astype(np.float32), MICRO)
    assert np.array_equal(codes, np.minimum(255, (op * 2550 + 3328) // 6656))


def test_missing_recording_is_named(tmp_path, capsys):
    """One sentence and exit code 2."""
    with pytest.raises(DataError, match="nothing.wav"):
        wav_to_features.features_of_wav(tmp_path / "nothing.wav", MICRO)
    code = exit_code(lambda: convert(tmp_path / "nothing.wav", tmp_path / "a.c"))
    assert code == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "a.c").exists()
