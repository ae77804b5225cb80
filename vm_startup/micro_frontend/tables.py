"""The front end's constant tables, and the C header that holds them.

Each number is computed as TensorFlow's microfrontend does at its start, with its mix of float and
double: one entry that is off by one changes features.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vm_startup.conventions import SAMPLE_RATE

WINDOW_BITS, WEIGHT_BITS, SMOOTHING_BITS, NOISE_BITS = 12, 12, 10, 14
SNR_BITS, GAIN_BITS, LOG_SEGMENTS = 12, 21, 128
# Upstream's constants.
LOWER_HZ, UPPER_HZ = np.float32(125.0), np.float32(7500.0)
SMOOTHING = {"EVEN": np.float32(0.025), "ODD": np.float32(0.06)}
LEAST_SIGNAL = np.float32(0.05)
GAIN_STRENGTH, GAIN_OFFSET = np.float32(0.95), np.float32(80.0)

single = np.float32


@dataclass(frozen=True)
class FrontEnd:
    """The settings of the tables; raises ValueError for values that upstream does not support."""

    window: int = 480  # samples, a multiple of 16
    stride: int = 320  # samples from one window to the next, at most `window`
    channels: int = 40  # features a frame
    sample_rate: int = SAMPLE_RATE  # Hz, 16000 or more: the highest channel ends at 7500 Hz

    def __post_init__(self) -> None:
        if self.window % 16 or not 16 <= self.window <= 16384:
            raise ValueError(
                f"a window of {self.window} samples is not a multiple of 16 up to 16384"
            )
        if not 1 <= self.stride <= self.window:
            raise ValueError(f"a stride of {self.stride} samples is not within 1 to {self.window}")
        if not 1 <= self.channels <= 128:
            raise ValueError(f"{self.channels} channels are not within 1 to 128")
        if not 16000 <= self.sample_rate <= 48000:
            raise ValueError(f"a rate of {self.sample_rate} Hz is not within 16000 to 48000")

    @property
    def fft(self) -> int:
        """Points of the real Fourier transform: the window's next power of two."""
        return 1 << (self.window - 1).bit_length()

    @property
    def points(self) -> int:
        """Points of the complex transform that computes it."""
        return self.fft // 2

    @property
    def first_radix(self) -> int:
        """2 if the number of points is not a power of 4, so that the other passes have radix 4."""
        return 4 if (self.points.bit_length() - 1) % 2 == 0 else 2

    @property
    def correction(self) -> int:
        """The bits by which the transform's scaling reduces a channel."""
        return self.fft.bit_length() - 1 - WEIGHT_BITS // 2

    @cached_property
    def bank(self) -> tuple[int, list[int], list[tuple[int, int]]]:
        """The filter bank: first bin, bins of each of channels + 1 slopes, two weights of each bin.

        A bin's first weight is for the channel whose slope falls there, its second for the channel
        whose slope rises.
        """
        hertz = single(0.5 * self.sample_rate / self.points)
        first = int(1.5 + float(LOWER_HZ) / float(hertz))
        low, centres = single(_mel(LOWER_HZ)), self._centres()
        widths, weights, bin_ = [], [], first
        for below, centre in zip([low, *centres], centres, strict=False):
            start = bin_
            while (mel := single(_mel(single(bin_) * hertz))) <= centre:
                weights.append(_weights(single(centre - mel) / single(centre - below)))
                bin_ += 1
            widths.append(bin_ - start)
        return first, widths, weights

    def _centres(self) -> list[np.float32]:
        low, high = single(_mel(LOWER_HZ)), single(_mel(UPPER_HZ))
        spacing = single(high - low) / single(self.channels + 1)
        return [single(low + spacing * single(i + 1)) for i in range(self.channels + 1)]


def header(front_end: FrontEnd) -> str:
    """The text of micro_frontend_tables.h: the same for the same settings, on every machine."""
    first, widths, weights = front_end.bank
    reverse = digit_reversal(front_end.points // front_end.first_radix)
    parts = [
        "/* Written by tables.py: the sizes and constants of one front end. */",
        "#ifndef MSL_FRONTEND_TABLES_H\n#define MSL_FRONTEND_TABLES_H\n\n#include <stdint.h>\n",
        *(f"#define MSL_FRONTEND_{name} {value}" for name, value in _numbers(front_end).items()),
        "",
        _array("int16_t", "window", window(front_end.window)),
        "struct msl_frontend_twiddle {\n    int16_t r, i;\n};\n",
        "struct msl_frontend_weights {\n    uint16_t falling, rising;\n};\n",
        _array("struct msl_frontend_twiddle", "twiddles", twiddles(front_end.points)),
        _array("struct msl_frontend_twiddle", "split_twiddles", split_twiddles(front_end.points)),
        _array(_unsigned(reverse), "reverse", reverse),
        _array(_unsigned(widths), "widths", widths),
        _array("struct msl_frontend_weights", "weights", weights),
        _array("int16_t", "gain", gains(SMOOTHING_BITS - front_end.correction), "[33][4]"),
        _array("uint16_t", "log", logarithms()),
        "#endif",
    ]
    return "\n".join(parts) + "\n"


def _numbers(front_end: FrontEnd) -> dict[str, int]:
    first, _, _ = front_end.bank
    one = 1 << NOISE_BITS
    return {
        "WINDOW": front_end.window,
        "STRIDE": front_end.stride,
        "CHANNELS": front_end.channels,
        "POINTS": front_end.points,
        "FIRST_RADIX": front_end.first_radix,
        "FIRST_BIN": first,
        "CORRECTION": front_end.correction,
        "SNR_SHIFT": GAIN_BITS - front_end.correction - SNR_BITS,
        **{f"SMOOTHING_{name}": int(share * one) for name, share in SMOOTHING.items()},
        "LEAST_SIGNAL": int(LEAST_SIGNAL * one),
    }


def window(size: int) -> list[int]:
    """A raised cosine in 4096ths."""
    step = float(single(2.0 * math.pi / size))
    curve = (single(0.5 - 0.5 * math.cos(step * (i + 0.5))) for i in range(size))
    return [math.floor(float(value) * (1 << WINDOW_BITS) + 0.5) for value in curve]


def twiddles(points: int) -> list[tuple[int, int]]:
    """Twiddle factors e^(-2πik/points) for the k that radix-4 passes use, in 32767ths."""
    return [_twiddle(-2 * math.pi * k / points) for k in range(points * 3 // 4)]


def split_twiddles(points: int) -> list[tuple[int, int]]:
    """The factors that separate the spectra of even and odd samples, for bins 1 to points / 2."""
    return [_twiddle(-math.pi * (k / points + 0.5)) for k in range(1, points // 2 + 1)]


def digit_reversal(size: int) -> list[int]:
    """The input order of radix-4 passes in place; it is its own inverse."""
    order = [0]
    while len(order) < size:
        order = [4 * index for index in order]
        order = [index + digit for digit in range(4) for index in order]
    return order


def gains(bits: int) -> list[tuple[int, int, int, int]]:
    """The gain for a noise estimate: for each bit length a parabola's three factors and a zero.

    An estimate has `bits` fractional bits.
    """
    rows = [(_gain(x, bits), 0, 0, 0) for x in (0, 1)]
    for length in range(2, 33):
        start = 1 << (length - 1)
        end = start + (start - 1 if length == 32 else start)
        y0, y1, y2 = (_gain(x, bits) for x in (start, start + start // 2, end))
        slope = 4 * (y1 - y0) - (y2 - y0)
        rows.append((y0, slope, y2 - y0 - slope, 0))
    return rows


def logarithms() -> list[int]:
    """log2(1 + x) - x in 65536ths, for x in 128ths; one more for interpolation."""
    shares = (i / LOG_SEGMENTS for i in range(LOG_SEGMENTS + 1))
    return [round((math.log2(1 + share) - share) * 65536) for share in shares]


def _twiddle(phase: float) -> tuple[int, int]:
    return math.floor(0.5 + 32767 * math.cos(phase)), math.floor(0.5 + 32767 * math.sin(phase))


def _mel(hertz: np.float32) -> float:
    return 1127.0 * math.log1p(float(hertz) / 700.0)


def _weights(share: np.float32) -> tuple[int, int]:
    """A share and the rest of 1 in 4096ths, both to nearest: in a tie their sum is 4097."""
    one = 1 << WEIGHT_BITS
    return math.floor(float(share) * one + 0.5), math.floor((1.0 - float(share)) * one + 0.5)


def _gain(estimate: int, bits: int) -> int:
    noise = single(single(estimate) / single(1 << bits)) + GAIN_OFFSET
    power = single(math.pow(float(noise), -float(GAIN_STRENGTH)))
    gain = single(1 << GAIN_BITS) * power
    return 32767 if gain > 32767 else int(gain + single(0.5))


def _unsigned(values: Sequence[int]) -> str:
    return "uint8_t" if max(values) < 256 else "uint16_t"


def _array(kind: str, name: str, values: Iterable, shape: str = "") -> str:
    texts = [f"{{{', '.join(map(str, v))}}}" if isinstance(v, tuple) else str(v) for v in values]
    per_line = 4 if texts[0].startswith("{") else 12
    lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    body = ",\n    ".join(lines)
    shape = shape or f"[{len(texts)}]"
    return f"static const {kind} msl_frontend_{name}{shape} = {{\n    {body}}};\n"


if __name__ == "__main__":
    print(header(FrontEnd()), end="")
