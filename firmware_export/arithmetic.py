"""Scales as the integers that TensorFlow Lite's kernels use; the same floats, in the same order."""

import math

import numpy as np

INT8 = (-128, 127)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(multiplier, shift), real = multiplier / 2^31 * 2^shift; multiplier in [2^30, 2^31) or 0."""
    if real == 0:
        return 0, 0
    significand, shift = math.frexp(real)
    multiplier = math.floor(significand * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:  # the kernels shift no further; no trained model comes near
        return (1 << 31) - 1, 30
    return multiplier, shift


def exact_multiplier(real: float) -> tuple[int, int] | None:
    """(multiplier, shift) that round |sum| * real, once and half away from zero, as binary64 would.

    TensorFlow Lite's fully connected layer scales its sum in floating point. Its answers are steps,
    at most 256 of them before the clamp; an integer that puts each step at the same sum gives the
    same answers. None where no 31-bit integer does: a scale far below any trained model's.
    """
    start, shift = quantize_multiplier(real)
    bits = 31 - shift
    low, high = 0, (1 << 31) - 1
    for step in range(1, 257):
        first = _first_sum(real, step)
        if first >= 1 << 31:
            break
        half = (2 * step - 1) << (bits - 1)
        low = max(low, -(-half // first))
        if first > 1:
            high = min(high, (half - 1) // (first - 1))
    return (min(max(start, low), high), shift) if low <= high else None


def _first_sum(real: float, step: int) -> int:
    """The smallest positive sum that rounds to `step` or more."""

    def rounded(value: int) -> int:
        product = value * real
        whole = math.floor(product)
        return whole + (product - whole >= 0.5)

    guess = max(1, math.floor(min((step - 0.5) / real, 2.0**32)) - 2) if real > 0 else 1 << 32
    while guess < 1 << 31 and rounded(guess) < step:
        guess += 1
    return guess


def activation_range(activation: int, scale: np.float32, zero_point: int) -> tuple[int, int] | None:
    """The codes that a fused activation lets through; None where it is no clamp."""

    def code(real: float) -> int:
        ratio = float(np.float32(real) / np.float32(scale))
        return zero_point + int(math.copysign(math.floor(abs(ratio) + 0.5), ratio))

    low, high = INT8
    match activation:
        case 0:  # none
            return low, high
        case 1:  # RELU
            return max(low, code(0)), high
        case 2:  # RELU_N1_TO_1
            return max(low, code(-1)), min(high, code(1))
        case 3:  # RELU6
            return max(low, code(0)), min(high, code(6))
    return None


def padding(size: int, taps: int, stride: int, dilation: int, same: bool) -> tuple[int, int]:
    """(output size, zeros before the first input) of a window that slides along one axis."""
    reach = (taps - 1) * dilation + 1
    if not same:
        return (size - reach + stride) // stride, 0
    out = -(-size // stride)
    return out, max(0, (out - 1) * stride + reach - size) // 2


def exponentials(scale: np.float32, beta: float) -> np.ndarray:
    """e^(-difference * scale * beta) for differences 0 to 255, as the bits of binary32 numbers.

    Those below 2^-60 are zero: added to a sum that holds the largest, 1, they cannot change it.
    """
    step = np.float32(-np.float32(scale) * np.float32(beta))
    powers = [float(step * np.float32(i)) for i in range(256)]
    table = np.array([math.exp(max(p, -100.0)) for p in powers], np.float32)
    table[table < 2.0**-60] = 0
    return table.view(np.uint32)
