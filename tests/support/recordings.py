"""Recordings of any form."""

import struct
import wave


def write_wav(path, seconds=1.0, channels=1, rate=16000):
    """A quiet WAV of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack("<h", 100) * int(seconds * rate) * channels)
