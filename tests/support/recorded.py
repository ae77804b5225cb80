"""Sound files of every kind that libsndfile writes, whole and damaged: for tests and benchmarks."""

import contextlib
import io
from collections.abc import Iterator

import numpy as np
import soundfile

RATE = 16_000
# RAW has no header; SD2 keeps its own in a second file, which libsndfile writes into this folder.
NOT_WRITTEN = {"RAW", "SD2"}
# The least signal-to-noise ratio in dB, measured with sound(), rounded down. Others are exact.
LEAST = {
    **dict.fromkeys(("PCM_S8", "PCM_U8"), 25),
    **dict.fromkeys(("ULAW", "ALAW"), 37),
    **{"IMA_ADPCM": 29, "MS_ADPCM": 28, "GSM610": 16, "G721_32": 36},
    **{"G723_24": 30, "G723_40": 42, "NMS_ADPCM_16": 25, "NMS_ADPCM_24": 31, "NMS_ADPCM_32": 35},
    **{"MPEG_LAYER_III": 26, "VORBIS": 28, "OPUS": 23, "SDS": 50},
}
NotWritten = soundfile.LibsndfileError


def sound(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """A voice-like sound: harmonics of 150 Hz that swell, and a little noise. int16 [n]."""
    time = np.arange(round(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * 150 * n * time) / n for n in range(1, 12))
    noise = np.random.default_rng(1).normal(0, 0.01, len(time))
    return np.rint((voice * np.sin(np.pi * time / seconds) ** 2 / 3 + noise) * 16_000).astype("i2")


def encoded(
    audio: np.ndarray, container: str, subtype: str, rate: int = RATE, **more: float
) -> bytes:
    """A file with such samples, int16 [n] or [n, channels]; `more` as soundfile.write has it."""
    file = io.BytesIO()
    if subtype in ("FLOAT", "DOUBLE", "MPEG_LAYER_III"):  # int16 stereo becomes noise in its MP3
        audio = audio / 32768
    soundfile.write(file, audio, rate, subtype, format=container, **more)
    return file.getvalue()


def kinds() -> Iterator[tuple[str, str]]:
    """Every container and sample format that libsndfile can write."""
    for container in soundfile.available_formats():
        for subtype in soundfile.available_subtypes(container):
            if container not in NOT_WRITTEN and soundfile.check_format(container, subtype):
                yield container, subtype


def all_encoded(audio: np.ndarray) -> dict[tuple[str, str], bytes]:
    """A file of every kind that this libsndfile writes."""
    files = {}
    for kind in kinds():
        with contextlib.suppress(NotWritten):
            files[kind] = encoded(audio, *kind)
    return files


def bound(container: str, subtype: str) -> float | None:
    """The least signal-to-noise ratio of sound() in dB; None: it cannot have a rate of 16 kHz."""
    if container in ("WVE", "XI") or (container, subtype) == ("VOC", "PCM_U8"):
        return None
    if container == "SDS" and subtype != "PCM_16":
        return LEAST["SDS"]
    return LEAST.get(subtype, np.inf)


def signal_to_noise(audio: np.ndarray, found: np.ndarray) -> float:
    """In dB; infinite if the samples are the same, but for some that a last block has too many."""
    size = len(audio)
    if not size <= len(found) < size + 512:
        return -np.inf
    noise = np.mean((found[:size] - audio.astype(float)) ** 2)
    return 10 * np.log10(np.mean(audio.astype(float) ** 2) / noise) if noise else np.inf


def damaged(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """A file with some bytes changed, near its start or anywhere; cut; or with another's end."""
    wrong = bytearray(data)
    match random.integers(4):
        case 0:
            for place in random.integers(0, min(len(wrong), 200), random.integers(1, 6)):
                wrong[place] = random.integers(256)
        case 1:
            for place in random.integers(0, len(wrong), random.integers(1, 50)):
                wrong[place] = random.integers(256)
        case 2:
            del wrong[random.integers(len(wrong)) :]
        case _:
            wrong[random.integers(len(wrong)) :] = other[random.integers(len(other)) :]
    return bytes(wrong)
