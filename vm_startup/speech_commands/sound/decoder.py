"""Decodes sound files with libsndfile, in blocks of bounded size."""

import io
import os
from collections.abc import Iterator, Sequence

import numpy as np
import soundfile

from vm_startup.speech_commands.sound.containers import PCM, Layout, ReadAt

Error = soundfile.LibsndfileError
_FULL_SCALE = 32768.0  # int16's, where libsndfile has 1.0
_BLOCK = 1 << 16  # samples of all channels that are decoded at a time
_SINGLE = ("MPEG_LAYER_III", "VORBIS", "OPUS", "ULAW", "ALAW")  # exact in float32
_LOUDEST = 1e6  # times full scale; later arithmetic cannot overflow
_UNSCALED = 16  # times full scale; a tenth of the samples beyond it, and one is louder than that


class Patched:
    """A file with some of its bytes replaced. Nothing here raises: C would print it."""

    def __init__(self, size: int, read_at: ReadAt, patches: Sequence[tuple[int, bytes]]) -> None:
        self._size, self._read_at, self._patches, self._at = size, read_at, patches, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_CUR: self._at, os.SEEK_END: self._size}.get(whence, 0)
        self._at = min(max(origin + offset, 0), self._size)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, count: int) -> bytes:
        try:
            data = bytearray(self._read_at(self._at, min(count, self._size - self._at)))
        except OSError:
            return b""
        for offset, patch in self._patches:
            for place, byte in enumerate(patch, offset - self._at):
                if 0 <= place < len(data):
                    data[place] = byte
        self._at += len(data)
        return bytes(data)


class Stream(soundfile.SoundFile):
    """An open sound file that is read from its start to its end. Its methods raise Error."""

    def __init__(self, source: int | Patched | io.BytesIO, layout: Layout | None) -> None:
        """source: a file's descriptor, or something to read from."""
        self.remarks: list[str] = []  # what blocks() guessed and repaired
        self._layout = layout
        self.unscaled = 0.0  # the loudest sample, where float samples are not scaled to 1
        self._energy = np.zeros(2)  # of the channels, of their average
        super().__init__(source, "r", closefd=False)

    def seekable(self) -> bool:
        """False, so that no seek follows each block: at the end of some files it fails."""
        return False

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        """The first frames, channels averaged, in int16's units: [n], int16 or a float type.

        What is no number is NaN.
        """
        lift = self._alignment(frames)
        subtype, single = self.subtype, self.channels == 1
        if subtype == "PCM_16" and single and not lift:
            return (block[:, 0] for block in self._raw_blocks(frames, "int16"))
        if subtype.startswith("PCM_"):
            whole = self._raw_blocks(frames, "int32")
            return (self._mono((block << lift) / 65536.0) for block in whole)
        if subtype in ("FLOAT", "DOUBLE"):
            return self._float_blocks(frames)
        dtype = "float32" if single and subtype in _SINGLE else "float64"
        return (self._mono(block * _FULL_SCALE) for block in self._raw_blocks(frames, dtype))

    def _float_blocks(self, frames: int) -> Iterator[np.ndarray]:
        count, beyond, loudest = 0, 0, 0.0
        for block in self._raw_blocks(frames, "float64"):
            loud = np.abs(block)
            count += block.size
            beyond += int(np.count_nonzero(loud > 1))
            loudest = max(loudest, loud.max(initial=0))
            block = np.where(np.isfinite(block), block.clip(-_LOUDEST, _LOUDEST), np.nan)
            yield self._mono(block * _FULL_SCALE)
        if loudest > _UNSCALED and 10 * beyond > count:
            self.unscaled = float(loudest)
        if beyond:
            self.remarks.append(
                f"{beyond:,} samples beyond full scale are clipped; the loudest is {loudest:,.3g} "
                "instead of 1"
            )

    def _mono(self, block: np.ndarray) -> np.ndarray:
        if self.channels == 1:
            return block[:, 0]
        mono = block.mean(axis=1)
        with np.errstate(invalid="ignore"):
            self._energy += np.square(block).mean(axis=1).sum(), np.square(mono).sum()
        return mono

    def cancels(self) -> bool:
        """Whether less than a hundredth of the channels' energy is left in their average."""
        return 100 * self._energy[1] < self._energy[0]

    def _raw_blocks(self, frames: int, dtype: str) -> Iterator[np.ndarray]:
        while frames > 0:
            part = min(frames, max(1, _BLOCK // self.channels))
            block = self.read(part, dtype, always_2d=True)
            yield block
            if len(block) < part:
                return
            frames -= part

    def _alignment(self, frames: int) -> int:
        """By how many bits the samples lie too low in their containers. Reads them all to decide.

        The WAV specification has 24 valid bits in the high bytes of 32; ALSA's S24_LE, which is no
        WAVE_FORMAT_EXTENSIBLE, has them in the low ones.
        """
        found = self._layout and self._layout.format
        if not found or found.codec != PCM or not 0 < found.valid < found.container <= 32:
            return 0
        lift, low, high = found.container - found.valid, not found.extensible, False
        for block in self._raw_blocks(frames, "int32"):
            low = low or bool((block & (1 << lift) - 1 << 32 - found.container).any())
            signed = (block << lift) >> lift == block
            unsigned = block.view(np.uint32) >> 32 - lift == 0
            high = high or not (signed.all() or unsigned.all())
        self.seek(0)
        bits = f"{found.valid} of {found.container} bits"
        if low and not high:
            self.remarks.append(f"its samples are in the low {bits}")
            return lift
        return 0
