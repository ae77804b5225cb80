"""The binding to espeak-ng's library."""

import subprocess
import sys

import numpy as np
import pytest

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.synthetic.espeak import SPEECH_RATE, Espeak


def test_word_is_spoken():
    """It is about half a second of sound at 22,050 Hz."""
    with Espeak() as espeak:
        speech = espeak.speak("yes", "en-us+f1")
    assert speech.dtype == np.int16
    assert 0.2 * SPEECH_RATE < len(speech) < 0.8 * SPEECH_RATE
    assert np.abs(speech.astype(int)).max() > 3000


def test_rate_and_phonemes_change_the_speech():
    """A higher rate is shorter, and phonemes in brackets speak the word that they spell."""
    with Espeak() as espeak:
        slow, fast = (espeak.speak("seven", "en", rate=rate) for rate in (100, 300))
        assert len(fast) < 0.6 * len(slow)
        assert espeak.phonemes("yes") == ["j", "'E", "s"]
        spelt = espeak.speak("[[j|'E|s]]", "en-us")
        assert len(spelt) == pytest.approx(len(espeak.speak("yes", "en-us")), rel=0.05)
        assert espeak.phonemes("lights on") == [*"l", "'aI", "t", "s", "'O2", "n"]


def test_earlier_speech_does_not_change_samples():
    """The library's global state is new each time, so the same calls give the same samples."""

    def spoken(*voices):
        with Espeak() as espeak:
            return [espeak.speak("no", voice).tobytes() for voice in voices]

    first = spoken("en-us+croak", "en-us+f3", "en+sandro")
    spoken("en+klatt2", "en-029+zac", "en-us+steph")
    assert spoken("en-us+croak", "en-us+f3", "en+sandro") == first


def test_processes_speak_the_same_samples():
    """Samples do not depend on addresses or on the process."""
    script = (
        "import hashlib\n"
        "from vm_startup.speech_commands.synthetic.espeak import Espeak\n"
        "with Espeak() as e: s = [e.speak('no', f'en-us+{v}') for v in ('m1', 'f3', 'croak')]\n"
        "print(hashlib.sha256(b''.join(x.tobytes() for x in s)).hexdigest())\n"
    )
    runs = {subprocess.check_output([sys.executable, "-c", script]) for _ in range(2)}
    assert len(runs) == 1


def test_unknown_voice_is_refused():
    """The error names a voice that the package does not have."""
    with Espeak() as espeak, pytest.raises(DataError, match="no voice 'xx-nowhere'"):
        espeak.speak("no", "xx-nowhere")
