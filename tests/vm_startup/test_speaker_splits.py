"""The split of a recording, by TensorFlow's rule."""

import hashlib
import os

import pytest

from vm_startup.speech_commands.speaker_splits import speaker_of, which_set


def independently(name, validation, testing):
    """Upstream's definition, computed with other arithmetic: the hash's last 27 bits."""
    speaker = name.split("_nohash_")[0]
    low = int.from_bytes(hashlib.sha1(speaker.encode()).digest()[-4:], "big") & (2**27 - 1)
    if low * 100 < validation * (2**27 - 1):
        return "validation"
    if low * 100 < (validation + testing) * (2**27 - 1):
        return "testing"
    return "training"


# Speakers in testing_list.txt and validation_list.txt of Speech Commands v0.02.
OFFICIAL = {
    "testing": "2aa787cf ffa76c4a 24ad3ebe d7467392 5828dfa2 91223b83 f0ae7203 95ba4996 94de6a6a "
    "caf9fceb 82b99576 81dc4a94 e41a903b a1533da4 50033893 20d3f11f ef2a3cfb 37dca74f",
    "validation": "8b775397 2643992f 060cd039 f5e5e8b0 dbb40d24 d57febf0 16db1582 171b56dc "
    "66cff190 22aa3665 b1426003 67c7fecb d9ae8983 826268f8 61bcb275 f84762e5 27b9a84f aa753bb9",
}


@pytest.mark.parametrize("split", OFFICIAL)
def test_official_recordings_keep_their_split(split):
    """Speech Commands' own lists are reproduced at 10 % and 10 %."""
    for speaker in OFFICIAL[split].split():
        assert which_set(f"{speaker}_nohash_1.wav", 10, 10) == split


def test_split_equals_an_independent_computation():
    """Thousands of names are in the split of the published definition."""
    for i in range(3000):
        name = f"speaker{i}_nohash_{i % 3}.wav"
        for percentages in ((10, 10), (20, 5), (1, 80)):
            assert which_set(name, *percentages) == independently(name, *percentages)


def test_speaker_is_in_one_split():
    """The part after _nohash_ has no effect."""
    for i in range(200):
        names = [f"{i:08x}_nohash_{take}.wav" for take in range(5)]
        assert len({which_set(name, 10, 10) for name in names}) == 1


def test_speaker_is_the_part_before_nohash():
    """A name without _nohash_ is its own speaker."""
    assert speaker_of("ab12_nohash_3") == "ab12"
    assert speaker_of("kitchen take 2") == "kitchen take 2"


def test_split_of_a_name_that_is_not_utf8():
    """The bytes of a Latin-1 name decide its split, like those of a UTF-8 name."""
    for name in (b"caf\xe9", "café".encode()):
        low = int.from_bytes(hashlib.sha1(name).digest()[-4:], "big") & (2**27 - 1)
        percentage = low * 100 / (2**27 - 1)
        assert which_set(os.fsdecode(name) + "_nohash_0.wav", percentage + 1, 0) == "validation"
        assert which_set(os.fsdecode(name) + "_nohash_0.wav", percentage - 1, 2) == "testing"
