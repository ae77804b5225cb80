"""Words that can be trained, and words that are refused."""

import pytest

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.words import check_words


@pytest.mark.parametrize(
    "wanted",
    [["yes", "no"], ["lights on"], ["turn_on", "turn_off"], ["r2-d2"], ["да", "हाँ"], ["Größe"]],
)
def test_words_of_any_script_and_short_phrases_are_accepted(wanted):
    """Letters, digits and single separators between them are accepted."""
    check_words(wanted)


METACHARACTERS = "!\"#$%&'()*+,./:;<=>?@[\\]^`{|}~\n\t\0\x1b*"


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([], "no words"),
        ([""], "is empty"),
        (["yes", "Yes"], "differ only by case"),
        (["GRÖSSE", "größe"], "differ only by case"),
        (["yes", "yes"], "wanted twice"),
        (["_silence_"], "reserved"),
        (["_background_noise_"], "reserved"),
        (["-rf"], "cannot be used"),
        (["a  b"], "cannot be used"),
        ([" yes"], "cannot be used"),
        (["_yes"], "cannot be used"),
        (["a\u200bb"], "cannot be used"),
        (["a\u202eb"], "cannot be used"),
        (["x" * 41], "longer than 40"),
        *[([f"ye{c}s"], "cannot be used") for c in METACHARACTERS],
        (["../yes"], "cannot be used"),
    ],
)
def test_unsafe_words_are_refused(wanted, reason):
    """A word that a shell, a path, a flag or a C string could misread is refused."""
    with pytest.raises(DataError, match=reason) as caught:
        check_words(wanted)
    assert "\n" not in str(caught.value)
