"""One recording examined: the clips cut from it, and a note of what was found."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.sound import sound_file
from vm_startup.speech_commands.takes import copies, faults, word_finder

Note = dict[str, Any]  # JSON: what `examine` found, for survey.py
NONE = np.empty((0, CLIP_SAMPLES), np.int16)


def version() -> bytes:
    """A digest of the code and libraries that decide a recording's clips and note."""
    digest = hashlib.sha256(sound_file.version())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


def examine(path: Path) -> tuple[np.ndarray, Note]:
    """The clips of a recording that can be used, int16 [n, 16000], and a note of all of them."""
    try:
        sound = _read(path)
    except DataError as error:
        return NONE, {"error": _reason(error, path)}
    clips, takes = [], []
    cuts, unused = word_finder.search(sound.samples)
    for cut in cuts:
        end = cut.start + CLIP_SAMPLES
        clip = sound_file.fit(sound.samples[cut.start : end], CLIP_SAMPLES)
        found = faults.of(clip)
        doubts = [fault.what for fault in found] + [cut.doubt] * bool(cut.doubt)
        if usable := all(fault.usable for fault in found):
            clips.append(clip)
        elif sound_file.CANCELLED in sound.remarks:
            doubts = [sound_file.CANCELLED]
        takes.append([cut.start, usable, doubts, copies.print_of(clip) if usable else ""])
    note = {
        "kind": sound.kind,
        "rate": sound.rate,
        "channels": sound.channels,
        "remarks": list(sound.remarks),
        "samples": len(sound.samples),
        "takes": takes,
        "unused": [[other.start, other.samples, other.why] for other in unused],
    }
    return np.stack(clips) if clips else NONE, note


def examine_noise(path: Path) -> tuple[np.ndarray, Note]:
    """No clip, and a note of whether a background noise can be used."""
    try:
        return NONE, {"samples": len(read_noise(path))}
    except DataError as error:
        return NONE, {"error": _reason(error, path)}


def read_noise(path: Path) -> np.ndarray:
    """A background noise, int16 [n]. Raises DataError if it cannot be read or is no sound."""
    samples = _read(path).samples
    if samples.min() == samples.max():
        raise DataError(f"{path}: {faults.CONSTANT.what}")
    return samples


def _read(path: Path) -> sound_file.Sound:
    """The recording; raises DataError if its samples are not what was recorded."""
    sound = sound_file.read(path)
    if sound.unscaled:
        raise DataError(
            f"{path}: its float samples are not scaled to 1: the loudest is {sound.unscaled:,.4g}; "
            "divide them by 32,768 if they were 16-bit numbers"
        )
    return sound


def _reason(error: DataError, path: Path) -> str:
    """What is wrong with a file, without its name."""
    return str(error).removeprefix(str(path)).strip(" :")
