/* Eight-bit arithmetic that every layer shares, exactly as TensorFlow Lite's reference kernels do it. */
#ifndef QUANTISED_H
#define QUANTISED_H

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* How one output channel's 32-bit sum becomes its scale: (sum + bias) * multiplier / 2^31 * 2^shift.
   The multiplier is in [2^30, 2^31), or 0; a negative shift is to the right. */
struct channel {
    int32_t bias, multiplier, shift;
};

/* What follows the scaling: move to the zero point, then the fused activation as a range of codes. */
struct range {
    int32_t zero_point, min, max;
};

INLINE int8_t clamp(int32_t value, const struct range *range) {
    value = value < range->min ? range->min : value;
    return (int8_t)(value > range->max ? range->max : value);
}

/* Rounds twice, like the reference: to nearest in the product, to nearest away from zero in the shift. */
INLINE int32_t scale(int32_t value, int32_t multiplier, int32_t shift) {
    if (shift > 0) return (int32_t)(((int64_t)(int32_t)((uint32_t)value << shift) * multiplier + (1 << 30)) >> 31);
    int32_t high = (int32_t)(((int64_t)value * multiplier + (1 << 30)) >> 31);
    int32_t mask = (int32_t)((1u << -shift) - 1);
    int32_t threshold = (mask >> 1) + (high < 0);
    return (high >> -shift) + ((high & mask) > threshold);
}

/* Rounds once, half away from zero: what TensorFlow Lite's fully connected layer does. */
INLINE int32_t scale_once(int32_t value, int32_t multiplier, int32_t shift) {
    int64_t product = (int64_t)(value < 0 ? -(int64_t)value : value) * multiplier;
    int32_t high = (int32_t)((product + ((int64_t)1 << (30 - shift))) >> (31 - shift));
    return value < 0 ? -high : high;
}

INLINE int8_t requantise(int32_t sum, const struct channel *channel, const struct range *range) {
    return clamp(scale(sum + channel->bias, channel->multiplier, channel->shift) + range->zero_point, range);
}

/* sums[j] += sum over i of (in[i] - zero_point) * weights[i][j]. One input byte is loaded for `width`
   filters at once; `width` must be a constant of 1 to 4 for the sums to live in registers. */
INLINE void dot(int32_t *sums, const int8_t *in, const int8_t *weights, int count, int32_t zero_point, int width) {
#pragma GCC unroll 4
    for (int i = 0; i < count; i++) {
        int32_t value = in[i] - zero_point;
        for (int j = 0; j < width; j++) sums[j] += value * weights[i * width + j];
    }
}

#endif
