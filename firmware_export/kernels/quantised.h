/* 8-bit arithmetic that all layers use, exactly as in TensorFlow Lite's reference kernels. */
#ifndef MSL_QUANTISED_H
#define MSL_QUANTISED_H

#include <stdint.h>

#define MSL_INLINE static inline __attribute__((always_inline))
#define MSL_NOINLINE __attribute__((noinline))
#define MSL_UNROLL 4 /* taps between two tests for the end; more taps cost flash and save little time */

/* How one output channel's 32-bit sum becomes its scale: (sum + bias) * multiplier / 2^31 * 2^shift.
   The multiplier is in [2^30, 2^31), or 0; a negative shift is to the right. */
struct msl_channel {
    int32_t bias, multiplier, shift;
};

/* What follows the scaling: add the zero point, then apply the fused activation as a range of codes. */
struct msl_range {
    int32_t zero_point, min, max;
};

MSL_INLINE int8_t msl_clamp(int32_t value, const struct msl_range *range) {
    value = value < range->min ? range->min : value;
    return (int8_t)(value > range->max ? range->max : value);
}

/* a * b / 2^31, rounded to nearest. */
MSL_INLINE int32_t msl_multiply_high(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* value / 2^shift, rounded to nearest, a tie away from zero. */
MSL_INLINE int32_t msl_divide_by_power(int32_t value, int32_t shift) {
    int32_t mask = (int32_t)((1u << shift) - 1);
    return (value >> shift) + ((value & mask) > (mask >> 1) + (value < 0));
}

/* Rounds twice, as the reference kernels do. */
MSL_INLINE int32_t msl_scale(int32_t value, int32_t multiplier, int32_t shift) {
    int32_t left = shift > 0 ? shift : 0;
    int32_t shifted = (int32_t)((uint32_t)value << left);
    return msl_divide_by_power(msl_multiply_high(shifted, multiplier), left - shift);
}

/* Rounds once, a tie away from zero, as TensorFlow Lite's fully connected layer does. */
MSL_INLINE int32_t msl_scale_once(int32_t value, int32_t multiplier, int32_t shift) {
    int64_t product = (int64_t)(value < 0 ? -(int64_t)value : value) * multiplier;
    int32_t high = (int32_t)((product + ((int64_t)1 << (30 - shift))) >> (31 - shift));
    return value < 0 ? -high : high;
}

MSL_INLINE int8_t msl_requantise(int32_t sum, const struct msl_channel *channel, const struct msl_range *range) {
    return msl_clamp(msl_scale(sum + channel->bias, channel->multiplier, channel->shift) + range->zero_point, range);
}

/* sums[j] += (in - zero_point) * weights[j]. `width` is a constant, so the sums stay in registers. */
MSL_INLINE void msl_tap(int32_t *sums, int32_t in, const int8_t *weights, int32_t zero_point, int width) {
#pragma GCC unroll 4
    for (int j = 0; j < width; j++) sums[j] += (in - zero_point) * weights[j];
}

/* Adds `count` taps. The weights for the 1 to 4 filters of a block are adjacent: each input is loaded once
   for all of them. */
MSL_INLINE void msl_dot(int32_t *sums, const int8_t *in, const int8_t *weights, int count, int32_t zero_point,
                        int width) {
    const int8_t *end = in + count;
#pragma GCC unroll 1
    while (end - in >= MSL_UNROLL) {
#pragma GCC unroll 8
        for (int i = 0; i < MSL_UNROLL; i++) msl_tap(sums, in[i], weights + i * width, zero_point, width);
        in += MSL_UNROLL, weights += MSL_UNROLL * width;
    }
#pragma GCC unroll 1
    for (; in < end; in++, weights += width) msl_tap(sums, *in, weights, zero_point, width);
}

#endif
