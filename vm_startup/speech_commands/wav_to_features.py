"""Turn a WAV file into a C array of a model's input features, for tests on a device.

    python -m vm_startup.speech_commands.wav_to_features --input_wav=yes.wav --window_stride=20 \\
        --preprocess=micro --quantize=1 --output_c_file=yes_features_data.c
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands import runtime
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.features import extract
from vm_startup.speech_commands.files import write_bytes
from vm_startup.speech_commands.progress import log
from vm_startup.speech_commands.sound import sound_file

PER_LINE = 10


def main(argv: Sequence[str] | None = None) -> None:
    flags = _parser().parse_args(argv)
    settings = command_line.audio_settings(flags)
    runtime.log_to_stdout()
    features = features_of_wav(flags.input_wav, settings)
    output = Path(flags.output_c_file)
    write_bytes(output, c_source(features, settings, flags).encode())
    log.info('Wrote to "%s"', output)


def features_of_wav(path: Path | str, settings: AudioSettings) -> np.ndarray:
    """The features of a WAV file's first second, before quantisation: float32 [size].

    Raises DataError if the file cannot be used.
    """
    audio = sound_file.read(path, settings.samples).samples
    return extract(audio[np.newaxis], settings)[0]


def quantize(features: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """Features as codes of the 8-bit grid over the settings' range: uint8, same shape.

    For `micro` and `average` these are the codes of a uint8 model of mean 0 and std 9.8077 or 2.0;
    an int8 model's are lower by 128.
    """
    least, most = settings.range
    codes = np.rint(255 * (features.astype(np.float64) - least) / (most - least))
    return np.clip(codes, 0, 255).astype(np.uint8)


def c_source(features: np.ndarray, settings: AudioSettings, flags: argparse.Namespace) -> str:
    """Features as a C file, with the command that made it."""
    name = re.sub(r"\W", "_", Path(flags.input_wav).stem.lower(), flags=re.ASCII)
    if flags.quantize:
        kind, values = "unsigned char", [str(code) for code in quantize(features, settings)]
    else:
        kind, values = "float", [f"{value:f}f" for value in features]
    lines = [
        "  " + "".join(f"{value}, " for value in values[start : start + PER_LINE])
        for start in range(0, len(values), PER_LINE)
    ]
    return "\n".join(
        [
            *_heading(flags),
            "",
            f"const int g_{name}_width = {settings.width};",
            f"const int g_{name}_height = {settings.frames};",
            f"const {kind} g_{name}_data[] = {{",
            *lines,
            "};",
            "",
        ]
    )


def _heading(flags: argparse.Namespace) -> list[str]:
    """A comment with the command line, in upstream's layout."""
    shown = [
        f"--sample_rate={flags.sample_rate}",
        f"--clip_duration_ms={flags.clip_duration_ms}",
        f"--window_size_ms={flags.window_size_ms:g}",
        f"--window_stride_ms={flags.window_stride_ms:g}",
        f"--feature_bin_count={flags.feature_bin_count}",
        *(["--quantize=1"] if flags.quantize else []),
        f'--preprocess="{flags.preprocess}"',
        f'--input_wav="{flags.input_wav}"',
        f'--output_c_file="{flags.output_c_file}"',
    ]
    # A file name may contain the end of a comment or of a line.
    safe = [re.sub(r"\s", " ", flag).replace("*/", "* /") for flag in shown]
    return [
        "/* File automatically created by",
        " * speech_commands/wav_to_features.py \\",
        *(f" * {flag} \\" for flag in safe),
        " */",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("wav_to_features", description="A WAV file's features as C.")
    command_line.add_audio(parser)
    parser.add_argument("--input_wav", required=True, help="recording to read")
    parser.add_argument("--output_c_file", required=True, help="C file to write")
    return parser


if __name__ == "__main__":
    sys.exit(runtime.exit_code(main))
