"""time_conv from recordings to the chip's answers."""

import json
import shutil

import pytest
from tiny_training import STEPS, run

from firmware_export import steps
from vm_startup.speech_commands import freeze

NETWORK = "--model_architecture=time_conv"
WORDS = ("--wanted_words=yes,no", "--preprocess=micro", "--window_stride=20", "--quantize=1")


@pytest.fixture(scope="module")
def job(recordings, tmp_path_factory):
    """A job's folder after a short training and every step of the export."""
    folder = tmp_path_factory.mktemp("job")
    code, _, err = run(recordings, folder / "train", NETWORK)
    assert code == 0, err
    checkpoint = f"--start_checkpoint={folder}/train/time_conv.ckpt-{STEPS}"
    freeze.main([NETWORK, *WORDS, checkpoint, f"--output_file={folder / steps.GRAPH}"])
    for name in (steps.LABELS, steps.FEATURES):
        shutil.copy(folder / "train" / name, folder)
    for step in (steps.convert_step, steps.c_model_step, steps.firmware_step, steps.emulate_step):
        step(folder)
    return folder


def test_the_chip_answers_as_tensorflow_lite(job):
    """Every test clip gets the same bytes from the emulated chip, in a small firmware."""
    proof = json.loads((job / steps.PROOF).read_text())
    assert proof["clips"] > 0
    assert proof["differing"] == 0
    assert proof["flash"] < 24_000
