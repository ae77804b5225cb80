"""The networks other than tiny_conv, from recordings to the chip's scores."""

import json
import shutil

import pytest
from tiny_training import STEPS, run

from firmware_export import folder, steps
from vm_startup.speech_commands import freeze
from vm_startup.speech_commands.model import architectures

WORDS = ("--wanted_words=yes,no", "--preprocess=micro", "--window_stride=20", "--quantize=1")


# tiny_conv is exported by the tests of the launcher's pipeline.
@pytest.mark.parametrize("network", sorted(architectures.ARCHITECTURES.keys() - {"tiny_conv"}))
def test_firmware_scores_equal_tensorflow_lite(recordings, tmp_path, network):
    """After a short training and export, the emulated chip and TensorFlow Lite give the same bytes
    for every test clip."""
    chosen = f"--model_architecture={network}"
    code, _, err = run(recordings, tmp_path / "train", chosen)
    assert code == 0, err
    checkpoint = f"--start_checkpoint={tmp_path}/train/{network}.ckpt-{STEPS}"
    freeze.main([chosen, *WORDS, checkpoint, f"--output_file={tmp_path}/{network}.pb"])
    for name in (folder.LABELS, folder.FEATURES):
        shutil.copy(tmp_path / "train" / name, tmp_path)
    for step in (steps.convert_step, steps.c_model_step, steps.firmware_step, steps.emulate_step):
        step(tmp_path)
    proof = json.loads((tmp_path / folder.PROOF).read_text())
    assert proof["clips"] > 0
    assert proof["mismatches"] == 0
    assert proof["flash"] < 24_000
    assert proof["listener"]["recorded"] > 0  # audio of the training's test clips
    assert proof["listener"]["mismatches"] == 0
