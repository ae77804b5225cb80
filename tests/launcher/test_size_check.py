"""What the config alone says about the firmware's size, against real exports."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firmware_export import steps
from firmware_export.errors import DoesNotFit
from launcher.config import loading, size_check
from launcher.errors import ConfigError
from launcher.jobs import control

FLASH = 64 << 10
WORDS = (
    *("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"),
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
)


def config(words, *settings):
    """The quickstart's config with the network tiny_conv and other words."""
    chosen = ("train.model_architecture=tiny_conv", *settings)
    found = loading.load(Path("quickstart"), chosen)
    return replace(found, words=replace(found.words, wanted=tuple(words)))


@pytest.mark.parametrize(
    ("words", "settings", "fits"),
    [
        (WORDS, [], ['train.model_architecture = "time_conv"', "at most 12 words"]),
        (WORDS[:10], ["train.window_stride_ms=10"], ["at most 5 words"]),
        (
            WORDS,
            ["machine.recipe=upstream", "data.synthetic_clips=0", "data.archive=v0.02"]
            + ["train.how_many_training_steps=", "train.learning_rate="],
            ['set train.model_architecture = "tiny_embedding_conv" or name at most 12 words'],
        ),
    ],
    ids=["20 words", "10 words twice as often", "20 words in TensorFlow's own trainer"],
)
def test_network_that_exceeds_the_flash_is_not_planned(words, settings, fits):
    """Too many words for the network are refused before training, with what fits instead."""
    with pytest.raises(ConfigError, match=f"bytes of flash for {len(words)} words") as refused:
        control.draft(config(words, *settings), "words-1")
    assert refused.value.exit_code == 2
    for change in fits:
        assert change in refused.value.hint


def test_what_the_hint_names_is_planned():
    """The network of the hint, and its number of words, pass the check."""
    control.draft(config(WORDS, "train.model_architecture=time_conv"), "words-1")
    control.draft(config(WORDS[:12]), "words-1")
    with pytest.raises(ConfigError):
        control.draft(config(WORDS[:13]), "words-1")


def test_size_check_needs_no_tensorflow():
    """A plan computes the size without TensorFlow, which takes seconds to import."""
    code = (
        "import sys; from pathlib import Path; from launcher.config import loading, size_check; "
        "size_check.check(loading.load(Path('quickstart'))); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture
def export(tmp_path):
    """Exports the network of a config with random weights: the bytes of its firmware."""
    from vm_startup.speech_commands import freeze
    from vm_startup.speech_commands.audio_settings import AudioSettings
    from vm_startup.speech_commands.model import networks

    def run(config, inference):
        train, words = config.train, config.words.wanted
        settings = AudioSettings(
            preprocess=train.preprocess, window_stride_ms=train.window_stride_ms
        )
        values = networks.initial(settings, 2 + len(words), 1, train.model_architecture)
        for name in networks.range_names(train.model_architecture):
            values[name] = np.float32(-5 if name == "logits_min" else 5)
        random = np.random.default_rng(1)  # training moves every bias from zero
        for name in (name for name in values if name.endswith("_bias")):
            values[name] = random.normal(0, 0.2, values[name].shape).astype(np.float32)
        graph = freeze.inference_graph(values, settings, True, train.model_architecture)
        (tmp_path / "untrained.pb").write_bytes(graph.SerializeToString())
        labels = ["_silence_", "_unknown_", *words]
        (tmp_path / "labels.txt").write_text("\n".join(labels), encoding="utf-8")
        steps.convert_step(tmp_path, inference)
        steps.firmware_step(tmp_path)
        return (tmp_path / "firmware" / "bluepill.bin").stat().st_size

    return run


# The bound is nearest to the size where the kernels need no code for a rest of labels: four labels.
@pytest.mark.parametrize("inference", ["int8", "uint8"])
@pytest.mark.parametrize("count", [2, 12])
def test_network_that_fits_is_never_refused(export, count, inference):
    """What the real export builds is at most 1 KiB larger than the bound, and never smaller."""
    least = size_check.least_flash(config(WORDS[:count]))
    assert least <= export(config(WORDS[:count]), inference) <= min(least + 1024, FLASH)


def test_first_refused_number_of_words_does_not_fit(export):
    """With one word more than the check allows, the real export does not fit either."""
    assert size_check.least_flash(config(WORDS[:12])) <= FLASH
    assert size_check.least_flash(config(WORDS[:13])) > FLASH
    with pytest.raises(DoesNotFit, match="bytes more flash"):
        export(config(WORDS[:13]), "int8")


def test_other_networks_are_larger_than_their_bound(export):
    """The bound holds for the networks with more kernels."""
    chosen = config(WORDS[:3], "train.model_architecture=tiny_embedding_conv")
    assert size_check.least_flash(chosen) <= export(chosen, "uint8")
