"""Scales as integers, computed with the same floats in the same order as in TensorFlow Lite."""

import math
from collections.abc import Iterable
from itertools import takewhile

import numpy as np

INT8 = (-128, 127)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(multiplier, shift), real = multiplier / 2^31 * 2^shift; multiplier in [2^30, 2^31) or 0."""
    multiplier, shift = _normalised(real)
    if real == 0 or shift < -31:
        return 0, 0
    if shift > 30:  # the kernels' limit; no trained model comes near it
        return (1 << 31) - 1, 30
    return multiplier, shift


def _normalised(real: float) -> tuple[int, int]:
    significand, shift = math.frexp(real)
    multiplier = math.floor(significand * (1 << 31) + 0.5)
    return (1 << 30, shift + 1) if multiplier == 1 << 31 else (multiplier, shift)


def exact_multiplier(real: float) -> tuple[int, int] | None:
    """(multiplier, shift) that round |sum| * real, once and half away from zero, as binary64 would.

    TensorFlow Lite's fully connected layer scales its sum in floating point. Its results are at
    most 256 steps before the clamp. An integer that has each step at the same sum gives the same
    results. None where no 31-bit integer has: a scale far below any trained model's.
    """
    start, shift = quantize_multiplier(real)
    firsts = takewhile(lambda sum: sum < 1 << 31, (_first_sum(real, n) for n in range(1, 257)))
    low, high = multiplier_range(firsts, 31 - shift, (1 << 31) - 1)
    return (min(max(start, low), high), shift) if low <= high else None


def multiplier_range(firsts: Iterable[int], bits: int, most: int) -> tuple[int, int]:
    """(lowest, highest) multiplier m up to `most` for which firsts[n - 1] is the smallest whole
    number v with v * m / 2^bits at n - 1/2 or above. None fits where lowest is above highest."""
    low, high = 0, most
    for step, first in enumerate(firsts, 1):
        half = (2 * step - 1) << (bits - 1)
        low = max(low, -(-half // first))
        if first > 1:
            high = min(high, (half - 1) // (first - 1))
    return low, high


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
    """The range of codes after a fused activation; None where it is not a clamp."""

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
    """(output size, zeros before the first input) of a sliding window on one axis."""
    reach = (taps - 1) * dilation + 1
    if not same:
        return (size - reach + stride) // stride, 0
    out = -(-size // stride)
    return out, max(0, (out - 1) * stride + reach - size) // 2


def softmax_scaling(scale: float, beta: float) -> tuple[int, int, int] | None:
    """(multiplier, shift, lowest difference) that bring a difference of codes to Q5.26.

    None where `scale` is so small that the reference kernel refuses it.
    """
    real = min(float(beta) * float(scale) * (1 << 26), (1 << 31) - 1.0)
    if real <= 1:
        return None
    multiplier, shift = _normalised(real)
    return multiplier, shift, -math.floor(31 * (1 << 26) / (1 << shift))
