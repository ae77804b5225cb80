/* SOFTMAX in fixed point, as TensorFlow Lite's reference kernel computes it with gemmlowp's functions.
   Q5.26 is a 32-bit number with 26 bits after the point. */
#ifndef MSL_SOFTMAX_H
#define MSL_SOFTMAX_H

#include "quantised.h"

struct msl_softmax {
    int rows, depth;
    int32_t multiplier, shift; /* difference * 2^shift * multiplier / 2^31 is the exponent in Q5.26 */
    int32_t lowest;            /* differences below it count as e^-infinity */
};

/* e^a in Q0.31 for a in Q5.26, at most 0: a polynomial around -1/8 for the part in [-1/4, 0), and
   one factor for each power of two in the rest. */
static int32_t msl_softmax_exponential(int32_t a) {
    static const int32_t factors[] = {/* e^-(1/4), e^-(1/2), e^-1, ... e^-16 in Q0.31 */
                                      1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    if (a == 0) return INT32_MAX;
    int32_t part = (a & ((1 << 24) - 1)) - (1 << 24), steps = part - a;
    int32_t x = part * 32 + (1 << 28); /* Q0.31 */
    int32_t x2 = msl_multiply_high(x, x), x3 = msl_multiply_high(x2, x), x4 = msl_multiply_high(x2, x2);
    int32_t third = msl_multiply_high(msl_divide_by_power(x4, 2) + x3, 715827883);        /* 1/3 */
    int32_t series = msl_multiply_high(x + msl_divide_by_power(third + x2, 1), 1895147668); /* e^-(1/8) */
    int32_t result = 1895147668 + series;
    for (int i = 0; i < 7; i++)
        if (steps >> (24 + i) & 1) result = msl_multiply_high(result, factors[i]);
    return result;
}

/* 1 / (1 + a) in Q0.31 for a in Q0.31: three steps of Newton's method in Q2.29. */
static int32_t msl_softmax_reciprocal(int32_t a) {
    int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2); /* of the denominator */
    int32_t x = 1515870810 + msl_multiply_high(half, -1010580540);  /* 48/17 - 32/17 * half */
    for (int i = 0; i < 3; i++) x += msl_multiply_high(x, (1 << 29) - msl_multiply_high(half, x)) * 4;
    return x >= 1 << 30 ? INT32_MAX : x * 2;
}

MSL_INLINE int32_t msl_softmax_share(const struct msl_softmax *p, int32_t difference) {
    if (difference < p->lowest) return 0;
    return msl_softmax_exponential(msl_multiply_high(difference * (int32_t)(1u << p->shift), p->multiplier));
}

static void msl_softmax(const struct msl_softmax *p, const int8_t *in, int8_t *out) {
    for (int row = 0; row < p->rows; row++, in += p->depth, out += p->depth) {
        int32_t max = -128, sum = 0; /* the sum is in Q12.19 */
        for (int i = 0; i < p->depth; i++) max = in[i] > max ? in[i] : max;
        for (int i = 0; i < p->depth; i++) sum += msl_divide_by_power(msl_softmax_share(p, in[i] - max), 12);
        int leading = __builtin_clz((uint32_t)sum);
        int32_t reciprocal = msl_softmax_reciprocal((int32_t)(((uint32_t)sum << leading) - (1u << 31)));
        for (int i = 0; i < p->depth; i++) {
            int32_t share = msl_multiply_high(reciprocal, msl_softmax_share(p, in[i] - max));
            int32_t code = msl_divide_by_power(share, 12 - leading + 31 - 8) - 128;
            out[i] = (int8_t)(code > 127 ? 127 : code);
        }
    }
}

#endif
