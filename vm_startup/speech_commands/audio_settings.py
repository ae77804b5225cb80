"""How one second of audio becomes features: sizes that trainer, freezer and firmware share."""

import math
from dataclasses import dataclass

from vm_startup.conventions import CLIP_SAMPLES, FEATURE_RANGES, SAMPLE_RATE
from vm_startup.speech_commands.errors import DataError

CLIP_MS = 1000 * CLIP_SAMPLES // SAMPLE_RATE


@dataclass(frozen=True)
class AudioSettings:
    """Upstream's audio flags; raises DataError for values that are not supported."""

    sample_rate: int = SAMPLE_RATE  # Hz
    clip_duration_ms: int = CLIP_MS
    window_size_ms: float = 30.0
    window_stride_ms: float = 10.0
    feature_bin_count: int = 40  # channels of `micro`, coefficients of `mfcc`, a hint to `average`
    preprocess: str = "mfcc"  # "micro", "average" or "mfcc"

    def __post_init__(self) -> None:
        if self.preprocess not in FEATURE_RANGES:
            raise DataError(
                f"--preprocess={self.preprocess} is not known: use {', '.join(FEATURE_RANGES)}"
            )
        if (self.sample_rate, self.clip_duration_ms) != (SAMPLE_RATE, CLIP_MS):
            raise DataError(
                f"clips of {self.clip_duration_ms} ms at {self.sample_rate} Hz are not supported: "
                f"every clip is {CLIP_MS} ms at {SAMPLE_RATE} Hz"
            )
        if not 1 <= self.feature_bin_count <= 128:
            raise DataError(f"--feature_bin_count={self.feature_bin_count} is not within 1 to 128")
        sizes = (self.window_size_ms, self.window_stride_ms)
        if not all(1 <= size <= self.clip_duration_ms for size in sizes):
            raise DataError(
                f"--window_size_ms={sizes[0]:g} or --window_stride_ms={sizes[1]:g} is not within "
                f"1 to {CLIP_MS}"
            )
        if self.preprocess == "micro" and not all(float(size).is_integer() for size in sizes):
            raise DataError(
                f"--window_size_ms={sizes[0]:g} or --window_stride_ms={sizes[1]:g} is not a whole "
                "number, which --preprocess=micro needs"
            )
        if self.preprocess == "micro" and self.window_stride_ms > self.window_size_ms:
            raise DataError(
                f"--window_stride_ms={self.window_stride_ms:g} is longer than "
                f"--window_size_ms={self.window_size_ms:g}: --preprocess=micro uses every sample"
            )

    @property
    def samples(self) -> int:
        """Samples in a clip."""
        return self.sample_rate * self.clip_duration_ms // 1000

    @property
    def window_samples(self) -> int:
        """Samples in a window."""
        return int(self.sample_rate * self.window_size_ms / 1000)

    @property
    def stride_samples(self) -> int:
        """Samples from one window to the next."""
        return int(self.sample_rate * self.window_stride_ms / 1000)

    @property
    def frames(self) -> int:
        """Windows that fit the clip."""
        return 1 + (self.samples - self.window_samples) // self.stride_samples

    @property
    def pool_width(self) -> int:
        """Neighbouring frequencies that `average` merges into one."""
        return max(1, self._spectrum_bins // self.feature_bin_count)

    @property
    def width(self) -> int:
        """Features in a frame: 40 for `micro`; 43 for `average`, whose last one is narrower."""
        if self.preprocess == "average":
            return math.ceil(self._spectrum_bins / self.pool_width)
        return self.feature_bin_count

    @property
    def size(self) -> int:
        """Features of a clip: 49 × 40 = 1960 for `micro` with a stride of 20 ms."""
        return self.frames * self.width

    @property
    def range(self) -> tuple[float, float]:
        """The feature values at the two ends of the 8-bit grid."""
        return FEATURE_RANGES[self.preprocess]

    @property
    def _spectrum_bins(self) -> int:
        return 1 + 2 ** math.ceil(math.log2(self.window_samples)) // 2
