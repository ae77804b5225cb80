"""Stands for TensorFlow's freeze.py: its flags, but another freezer inside."""

import os
import sys

sys.path[0] = os.environ["TRAINER"]

from vm_startup.speech_commands import freeze, runtime  # noqa: E402

KNOWN = {
    '--window_stride_ms', '--start_checkpoint', '--model_architecture', '--wanted_words',
    '--output_file', '--quantize', '--preprocess',
}  # fmt: skip

if __name__ == "__main__":
    unknown = {flag.split("=")[0] for flag in sys.argv[1:]} - KNOWN
    assert not unknown, f"unknown flags {unknown}"
    sys.exit(runtime.exit_code(freeze.main))
