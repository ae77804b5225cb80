"""How a second of audio becomes a picture: the numbers that trainer, freezer and firmware share."""

import math
from dataclasses import dataclass

from vm_startup.speech_commands.errors import DataError

# The span of feature values that the 8-bit grid covers, from upstream's observation of real speech.
RANGES = {"micro": (0.0, 26.0), "average": (0.0, 127.5), "mfcc": (-247.0, 30.0)}


@dataclass(frozen=True)
class AudioSettings:
    """Upstream's audio flags; raises DataError where they cannot be had."""

    sample_rate: int = 16000  # Hz
    clip_duration_ms: int = 1000
    window_size_ms: float = 30.0
    window_stride_ms: float = 10.0
    feature_bin_count: int = 40  # channels of `micro`, coefficients of `mfcc`, a hint to `average`
    preprocess: str = "mfcc"  # "micro", "average" or "mfcc"

    def __post_init__(self) -> None:
        if self.preprocess not in RANGES:
            raise DataError(
                f"--preprocess={self.preprocess} is unknown: it is one of {', '.join(RANGES)}."
            )
        if (self.sample_rate, self.clip_duration_ms) != (16000, 1000):
            raise DataError(
                f"clips of {self.clip_duration_ms} ms at {self.sample_rate} Hz cannot be had: "
                "every clip is one second at 16000 Hz."
            )
        if not 1 <= self.feature_bin_count <= 128:
            raise DataError(f"--feature_bin_count={self.feature_bin_count} is not within 1 to 128.")
        sizes = (self.window_size_ms, self.window_stride_ms)
        if not all(1 <= size <= self.clip_duration_ms for size in sizes):
            raise DataError("--window_size_ms and --window_stride_ms are between 1 and 1000 ms.")
        if self.preprocess == "micro" and not all(float(size).is_integer() for size in sizes):
            raise DataError("--preprocess=micro takes windows and strides of whole milliseconds.")
        if self.preprocess == "micro" and self.window_stride_ms > self.window_size_ms:
            raise DataError(
                f"--window_stride_ms={self.window_stride_ms:g} is longer than the window's "
                f"{self.window_size_ms:g} ms: --preprocess=micro hears every sample."
            )

    @property
    def samples(self) -> int:
        """Samples in a clip."""
        return self.sample_rate * self.clip_duration_ms // 1000

    @property
    def window_samples(self) -> int:
        return int(self.sample_rate * self.window_size_ms / 1000)

    @property
    def stride_samples(self) -> int:
        return int(self.sample_rate * self.window_stride_ms / 1000)

    @property
    def frames(self) -> int:
        """Rows of the picture: windows that fit the clip."""
        return 1 + (self.samples - self.window_samples) // self.stride_samples

    @property
    def pool_width(self) -> int:
        """Neighbouring frequencies that `average` merges into one."""
        return max(1, self._spectrum_bins // self.feature_bin_count)

    @property
    def width(self) -> int:
        """Columns of the picture: 40 for `micro`; 43 for `average`, whose last one is narrower."""
        if self.preprocess == "average":
            return math.ceil(self._spectrum_bins / self.pool_width)
        return self.feature_bin_count

    @property
    def size(self) -> int:
        """Numbers in the picture: 49 × 40 = 1960 for `micro` with a stride of 20 ms."""
        return self.frames * self.width

    @property
    def range(self) -> tuple[float, float]:
        """The values that the 8-bit grid's ends stand for."""
        return RANGES[self.preprocess]

    @property
    def _spectrum_bins(self) -> int:
        return 1 + 2 ** math.ceil(math.log2(self.window_samples)) // 2
