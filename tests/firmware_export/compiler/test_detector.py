"""The detector in C gives the detections of the one in Python, step for step."""

import ctypes
import subprocess

import numpy as np
import pytest

from firmware_export import build
from vm_startup.speech_commands.listening.detector import Detector, margin_sums

PROGRAM = """
#include "detector.h"

void detect(const int8_t *scores, int rows, int words, int steps, int refractory,
            const int32_t *thresholds, int8_t *found) {
    static int16_t margins[64 * 8];
    static int32_t sums[8];
    static struct msl_detector_place place;
    const struct msl_detector p = {words, steps, refractory, thresholds, margins, sums, &place};
    msl_detector_reset(&p);
    for (int i = 0; i < rows; i++) found[i] = (int8_t)msl_detect(&p, scores + i * (words + 1));
}
"""


@pytest.fixture(scope="module")
def in_c(tmp_path_factory):
    """`in_c(codes, detector)`: (step, label) of each detection of the C code."""
    folder = tmp_path_factory.mktemp("detector")
    (folder / "detector.c").write_text(PROGRAM)
    kernels = build.__file__.replace("build.py", "kernels")
    command = [*build.find_compiler("clang"), "-shared", "-fPIC", "-O2", "-nostdlib", "-Werror"]
    command += ["-Wall", "-Wextra", "-ffreestanding", "-fno-sanitize=all", f"-I{kernels}"]
    subprocess.run([*command, "-o", "detector.so", "detector.c"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "detector.so"))

    def run(codes, detector):
        thresholds, found = np.array(detector.thresholds, np.int32), np.zeros(len(codes), np.int8)
        sizes = len(codes), len(thresholds), detector.steps, detector.refractory
        arrays = [ctypes.c_void_p(array.ctypes.data) for array in (codes, thresholds, found)]
        library.detect(arrays[0], *map(ctypes.c_int, sizes), *arrays[1:])
        return [(int(step), int(found[step])) for step in np.flatnonzero(found)]

    return run


@pytest.mark.parametrize("steps, refractory", [(1, 1), (1, 0), (3, 25), (4, 7), (64, 2)])
@pytest.mark.parametrize("words", [1, 2, 7])
def test_detections_in_c_equal_those_in_python(in_c, words, steps, refractory):
    """Random scores, wide and narrow, with many equal ones, give the same detections."""
    random = np.random.default_rng(words * 100 + steps)
    codes = random.integers(-128, 128, (20_000, words + 1))
    codes[5000:] = codes[5000:] // 32 * 16
    codes = np.ascontiguousarray(codes, np.int8)
    sums = margin_sums(codes, steps)
    thresholds = tuple(int(t) for t in np.quantile(sums, 0.98, axis=0))
    detector = Detector(thresholds, steps, refractory)
    found = in_c(codes, detector)
    assert found == detector.detections(sums)
    assert len(found) > 20 and {label for _, label in found} == set(range(1, words + 1))


def test_detection_is_the_word_that_exceeds_its_threshold_the_most(in_c):
    """Of two words above their thresholds the one that exceeds it more is detected, then nothing
    until the refractory time is over."""
    codes = np.array([[0, -100, -100]] * 3 + [[-50, 40, 30]] * 6, np.int8)
    detector = Detector(thresholds=(9, -12), steps=1, refractory=4)
    assert margin_sums(codes, 1)[3].tolist() == [10, -10]
    assert detector.detections(margin_sums(codes, 1)) == [(3, 2), (7, 2)] == in_c(codes, detector)


def test_stream_begins_without_a_detection(in_c):
    """Until `steps` rows have come, what is missing counts as the lowest margin."""
    codes = np.array([[-128, 127]] * 8, np.int8)
    detector = Detector(thresholds=(4 * 255,), steps=4, refractory=100)
    assert detector.detections(margin_sums(codes, 4)) == [(3, 1)] == in_c(codes, detector)
