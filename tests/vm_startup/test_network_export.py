"""The networks other than tiny_conv, from recordings to the chip's scores."""

import json
import shutil

import golden
import pytest
from tiny_training import run

from firmware_export import folder, steps
from vm_startup.speech_commands.model import architectures


# tiny_conv is exported by the tests of the launcher's pipeline.
@pytest.fixture(scope="module", params=sorted(architectures.ARCHITECTURES.keys() - {"tiny_conv"}))
def exported(request, recordings, tmp_path_factory):
    """A network's name, and the folder of its short training, graph and .tflite."""
    network, place = request.param, tmp_path_factory.mktemp(request.param)
    code, _, err = run(recordings, place / "train", f"--model_architecture={network}")
    assert code == 0, err
    golden.export(place, network)
    return network, place


def test_network_has_the_same_bytes_on_every_processor(exported):
    """Graph, .tflite, test features and metrics have the digests that they have elsewhere."""
    network, place = exported
    golden.check(place, network)


def test_firmware_scores_equal_tensorflow_lite(exported):
    """After a short training and export, the emulated chip and TensorFlow Lite give the same bytes
    for every test clip."""
    _, place = exported
    for name in (folder.LABELS, folder.FEATURES):
        shutil.copy(place / "train" / name, place)
    for step in (steps.c_model_step, steps.firmware_step, steps.emulate_step):
        step(place)
    proof = json.loads((place / folder.PROOF).read_text())
    assert proof["clips"] > 0
    assert proof["mismatches"] == 0
    assert proof["flash"] < 24_000
    assert proof["listener"]["recorded"] > 0  # audio of the training's test clips
    assert proof["listener"]["mismatches"] == 0
