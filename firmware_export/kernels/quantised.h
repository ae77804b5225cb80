/* Eight-bit arithmetic that every layer shares, exactly as TensorFlow Lite's reference kernels do it. */
#ifndef QUANTISED_H
#define QUANTISED_H

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define UNROLL 4 /* taps between two looks at the end; more is larger and hardly faster */

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

/* a * b / 2^31, to nearest. */
INLINE int32_t multiply_high(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* value / 2^shift, to nearest, a tie away from zero. */
INLINE int32_t divide_by_power(int32_t value, int32_t shift) {
    int32_t mask = (int32_t)((1u << shift) - 1);
    return (value >> shift) + ((value & mask) > (mask >> 1) + (value < 0));
}

/* Rounds twice, like the reference. */
INLINE int32_t scale(int32_t value, int32_t multiplier, int32_t shift) {
    int32_t left = shift > 0 ? shift : 0;
    int32_t shifted = (int32_t)((uint32_t)value << left);
    return divide_by_power(multiply_high(shifted, multiplier), left - shift);
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

/* sums[j] += (in - zero_point) * weights[j]; `width` is a constant, so that the sums stay in registers. */
INLINE void tap(int32_t *sums, int32_t in, const int8_t *weights, int32_t zero_point, int width) {
#pragma GCC unroll 4
    for (int j = 0; j < width; j++) sums[j] += (in - zero_point) * weights[j];
}

/* `count` taps, whose weights for the 1 to 4 filters of the block lie side by side: each input is
   loaded once for all of them. */
INLINE void dot(int32_t *sums, const int8_t *in, const int8_t *weights, int count, int32_t zero_point, int width) {
    const int8_t *end = in + count;
#pragma GCC unroll 1
    while (end - in >= UNROLL) {
#pragma GCC unroll 8
        for (int i = 0; i < UNROLL; i++) tap(sums, in[i], weights + i * width, zero_point, width);
        in += UNROLL, weights += UNROLL * width;
    }
#pragma GCC unroll 1
    for (; in < end; in++, weights += width) tap(sums, *in, weights, zero_point, width);
}

#endif
