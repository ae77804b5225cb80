"""espeak-ng's library, through ctypes.

The library has one global state: the sound of a voice depends on everything spoken before, and
neither seeding nor espeak_Terminate clears that. So an Espeak loads the library when it is entered
and unloads it when it is left, and the same calls in between give the same samples. A process can
have one at a time.
"""

import _ctypes
import ctypes
from pathlib import Path

import numpy as np

from vm_startup.speech_commands.errors import DataError

SPEECH_RATE = 22_050  # Hz, of what speak() returns
MAX_RATE = 450  # words a minute

_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_UTF8, _PHONEMES = 1, 0x100
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """A freshly loaded espeak-ng; use it in a `with` statement."""

    def __enter__(self) -> "Espeak":
        import espeakng_loader  # only here: trainings on recordings alone do not need it

        self._chunks: list[bytes] = []
        self._callback = _Callback(self._take)  # kept: the library holds no reference to it
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(Path(espeakng_loader.get_data_path())).encode()
        if self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DO_NOT_EXIT) != SPEECH_RATE:
            raise DataError(f"espeak-ng does not start with {data!r}: reinstall espeakng-loader")
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        # Two random generators: its own, seeded with the time, and the C library's.
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        ctypes.CDLL(None).srand(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._library.espeak_Terminate()
        _ctypes.dlclose(self._library._handle)

    def speak(
        self, text: str, voice: str, *, rate: int = 175, pitch: int = 50, span: int = 50
    ) -> np.ndarray:
        """The text as int16 at 22,050 Hz; empty if espeak has no speech for it.

        `voice` is a language and a variant, e.g. "en-us+f3"; `rate` is in words a minute, `pitch`
        and `span` (how far the pitch moves) run from 0 to 99. [[...]] in the text is phonemes.
        """
        self._set_voice(voice)
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, span)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        data = text.encode()
        flags = _UTF8 | _PHONEMES
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, flags, None, None)
        return np.frombuffer(b"".join(self._chunks), np.int16)

    def phonemes(self, text: str, voice: str = "en-us") -> list[str]:
        """The text's pronunciation: espeak's phoneme mnemonics, stress marks before the vowels."""
        self._set_voice(voice)
        pointer = ctypes.c_char_p(text.encode())
        found = []
        while pointer.value is not None:  # one call a clause
            rest = ctypes.byref(pointer)
            clause = self._library.espeak_TextToPhonemes(rest, _UTF8, ord("|") << 8)
            found += [p for word in clause.decode().split() for p in word.split("|") if p]
        return found

    def _set_voice(self, voice: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise DataError(f"espeak-ng has no voice {voice!r}: reinstall espeakng-loader")

    def _take(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0
