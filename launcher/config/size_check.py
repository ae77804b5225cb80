"""The check that a network can fit the chip, before anybody pays for its training."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from launcher.config import rules
from launcher.config.data_checks import as_config_error
from launcher.config.settings import RECIPES, Config
from launcher.errors import ConfigError
from vm_startup.conventions import SILENCE, UNKNOWN

# Bytes of flash for start-up, kernels and self-test: less than the firmware of any trained network
# of two words or more has. tests/launcher/test_size_check.py compares the bound with exports.
RUNTIME = 2540
CHANNEL = 12  # bytes of an output channel's bias, multiplier and shift
POINTER = 4


def check(config: Config) -> None:
    """Raise ConfigError if the config alone says that the firmware exceeds the chip's flash.

    What passes may still be a little too large: the build decides. RAM is not checked, as none of
    these networks exceeds it without its feature extractor.
    """
    from firmware_export.boards.registry import DEFAULT

    needed, flash = least_flash(config), DEFAULT.flash_size
    if needed > flash:
        raise ConfigError(
            f'train.model_architecture = "{config.train.model_architecture}" needs at least '
            f"{needed:,} bytes of flash for {len(config.words.wanted)} words and "
            f"train.window_stride_ms = {config.train.window_stride_ms:g}; the chip has {flash:,}",
            " or ".join(_what_fits(config, flash)),
        )


def least_flash(config: Config) -> int:
    """A lower bound of the bytes of flash that the firmware takes, from the network's shape: int8
    weights, channels, labels, one test clip, and RUNTIME."""
    from vm_startup.speech_commands.audio_settings import AudioSettings
    from vm_startup.speech_commands.model.architectures import weight_shapes

    train, labels = config.train, (SILENCE, UNKNOWN, *config.words.wanted)
    with as_config_error("train.window_stride_ms"):
        settings = AudioSettings(
            preprocess=train.preprocess, window_stride_ms=train.window_stride_ms
        )
    shapes = weight_shapes(settings, len(labels), train.model_architecture).values()
    weights = sum(math.prod(shape) for shape in shapes)
    channels = sum(shape[-1] for shape in shapes)
    texts = {label.encode() for label in labels}
    stored = [text for text in texts if not any(o != text and o.endswith(text) for o in texts)]
    names = sum(len(text) + 1 for text in stored) + len(labels) * (POINTER + 1)  # 1: a clip's score
    return weights + CHANNEL * channels + settings.size + names + RUNTIME


def _what_fits(config: Config, flash: int) -> Iterator[str]:
    """Changes of the config that this check accepts."""
    network: Any  # a string, as the setting's choices are
    for network in reversed(RECIPES):
        other = replace(config, train=replace(config.train, model_architecture=network))
        try:
            rules.check(other, Path())
        except ConfigError:  # the recipe does not have it
            continue
        if least_flash(other) <= flash:
            yield f'set train.model_architecture = "{network}"'
    for count in range(len(config.words.wanted) - 1, 0, -1):
        fewer = replace(config.words, wanted=config.words.wanted[:count])
        if least_flash(replace(config, words=fewer)) <= flash:
            yield f"name at most {count} words"
            return
