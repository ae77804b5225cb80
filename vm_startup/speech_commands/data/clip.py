"""One spoken word, as a source of clips gives it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clip:
    """One spoken word; its source's reader gives the samples."""

    word: str
    speaker: str  # "" where nothing names the speaker
    source: str  # "folder", "archive" or "synthetic"
    split: str  # "training", "validation" or "testing"
    name: str  # unique within its source, e.g. "yes/00076d54_nohash_0.wav"
    row: int  # its number among the clips that the source's reader gives
    group: str  # its digest decides the split; "" where the data themselves name the split
