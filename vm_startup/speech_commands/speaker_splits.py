"""Which split a speaker's recordings belong to, by TensorFlow's rule, so official splits stay."""

import hashlib
import os
import re

TRAINING, VALIDATION, TESTING = SPLITS = ("training", "validation", "testing")

_MAX_NUM_WAVS_PER_CLASS = 2**27 - 1  # upstream's constant: the resolution of the percentages


def speaker_of(name: str) -> str:
    """The part of a file name before `_nohash_`, or the whole name."""
    return re.sub(r"_nohash_.*$", "", name)


def which_set(name: str, validation_percentage: float, testing_percentage: float) -> str:
    """The split of the file with this base name, e.g. "00076d54_nohash_0.wav"."""
    return split_of(speaker_of(name), validation_percentage, testing_percentage)


def split_of(group: str, validation_percentage: float, testing_percentage: float) -> str:
    """The split of all clips of a group, such as a speaker's.

    Only the group's name decides, so a clip stays in its split when others are added.
    """
    digest = hashlib.sha1(os.fsencode(group), usedforsecurity=False).hexdigest()
    remainder = int(digest, 16) % (_MAX_NUM_WAVS_PER_CLASS + 1)
    percentage = remainder * (100.0 / _MAX_NUM_WAVS_PER_CLASS)
    if percentage < validation_percentage:
        return VALIDATION
    if percentage < validation_percentage + testing_percentage:
        return TESTING
    return TRAINING
