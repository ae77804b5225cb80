"""The C in docs/use_the_model.md compiles as it is and gives the right scores on the chip."""

import re
from pathlib import Path

import numpy as np
import pytest

from firmware_export import build
from firmware_export.boards.registry import DEFAULT as BOARD
from firmware_export.compiler import sources
from firmware_export.importers.convert import convert
from firmware_export.verify import proof_audio, reference
from firmware_export.verify.emulator import Chip
from vm_startup.micro_frontend.tables import FrontEnd

TEXT = (Path(__file__).parents[3] / "docs" / "use_the_model.md").read_text("utf-8")
MODEL_ALONE, WITH_MICROPHONE = re.findall(r"```c\n(.*?)```", TEXT, re.DOTALL)
# What the page leaves to the user, as semihosting: samples come from the host, results go there.
DRIVER = """#include "host.h"
static int strides;
int wait_for_audio(int16_t *samples) {
    if (!msl_host_read_all(msl_host_open(0), samples, MSL_LISTENER_STRIDE * sizeof *samples))
        msl_host_exit(0);
    return ++strides;
}
void on_detection(int label, int score) {
    const int32_t result[3] = {strides - 1, label, score};
    msl_host_write(msl_host_open(4), result, sizeof result);
}
"""
PREDICT = """#include "host.h"
int main(void) {
    static msl_model_input features[MSL_MODEL_INPUT_SIZE];
    int32_t input = msl_host_open(0), output = msl_host_open(4);
    while (msl_host_read_all(input, features, sizeof features)) {
        int32_t label = predict(features);
        msl_host_write(output, &label, sizeof label);
    }
    msl_host_exit(0);
    return 0;
}
"""


@pytest.fixture(scope="module")
def model(keyword_graph):
    return convert(keyword_graph())


@pytest.fixture
def folder(model, tmp_path):
    """The sources of the model's firmware."""
    sources.write(tmp_path, model, [], ["_silence_", "_unknown_", "yes", "no"], BOARD)
    return tmp_path


def test_model_alone_predicts_as_the_interpreter(model, folder):
    """The first example gives the label with the interpreter's highest score for every clip."""
    (folder / "main.c").write_text(MODEL_ALONE + PREDICT)
    build.build(folder, BOARD)
    interpreter = reference.load(model)
    rng = np.random.default_rng(4)
    codes = interpreter.codes(rng.uniform(0, 26, (20, 1960)) * rng.random((20, 1)))
    chip = Chip((folder / f"{BOARD.name}.bin").read_bytes(), codes.tobytes()).run()
    expected = interpreter.scores(codes).argmax(axis=1)
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(np.frombuffer(bytes(chip.output), "<i4"), expected)


def test_example_with_microphone_detects_as_the_interpreter(model, folder):
    """Once a second is full, the second example reports each word with a score above 0.8."""
    (folder / "listener_main.c").write_text(WITH_MICROPHONE + DRIVER)
    build.build(folder, BOARD, image=build.LISTENER)
    audio = np.concatenate(proof_audio.generate(12)[4:])
    chip = Chip((folder / "listener.bin").read_bytes(), audio.tobytes()).run()
    got = np.frombuffer(bytes(chip.output), "<i4").reshape(-1, 3)
    full = range(50, len(audio) // 320, 5)  # strides; so many frames are complete
    seconds = np.array([audio[320 * (stride - 49) :][:15840] for stride in full])
    interpreter = reference.load(model)
    codes = interpreter.codes(proof_audio.features(seconds, FrontEnd()))
    expected = [
        (stride, label, scores[label])
        for stride, scores in zip(full, interpreter.scores(codes), strict=True)
        for label in (2, 3)
        if scores[label] > int(0.8 * 256) - 128
    ]
    assert 1 < len(expected) < len(full)
    np.testing.assert_array_equal(got[got[:, 0] >= full[0]], expected)
