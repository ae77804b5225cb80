/* SOFTMAX. TensorFlow Lite's interpreter does this one in binary32 over a table of exponentials, so the
   same roundings are made here in integers: a chip without a floating-point unit gets the same bits. */
#ifndef SOFTMAX_H
#define SOFTMAX_H

#include "quantised.h"

struct softmax {
    int rows, depth;
    struct range range;
    uint32_t scale; /* of the output; a binary32 number's bits, as are the exponentials */
    const uint32_t *exponentials; /* 256, e^(-difference * scale * beta) */
};

/* A positive binary32 number, mantissa * 2^exponent: the mantissa is in [2^23, 2^24), or 0. */
struct real {
    uint32_t mantissa;
    int32_t exponent;
};

INLINE struct real real_of_bits(uint32_t bits) {
    struct real real = {0, 0};
    if (bits == 0) return real;
    real.mantissa = (bits & 0x7fffff) | 0x800000;
    real.exponent = (int32_t)(bits >> 23) - 150;
    return real;
}

/* To the nearest 24-bit mantissa, a tie to the even one; `wide` must not be below 2^23. */
static struct real real_round(uint64_t wide, int32_t exponent) {
    uint32_t lost = 0;
    for (; wide >> 25; wide >>= 1, exponent++) lost |= (uint32_t)wide & 1;
    uint32_t mantissa = (uint32_t)wide;
    if (mantissa >> 24) {
        uint32_t half = mantissa & 1;
        mantissa = (mantissa >> 1) + (half & (lost | mantissa >> 1));
        exponent++;
    }
    if (mantissa >> 24) mantissa >>= 1, exponent++;
    return (struct real){mantissa, exponent};
}

static struct real real_add(struct real a, struct real b) {
    if (a.mantissa == 0) return b;
    if (b.mantissa == 0) return a;
    if (a.exponent < b.exponent) {
        struct real larger = b;
        b = a, a = larger;
    }
    int32_t apart = a.exponent - b.exponent;
    if (apart > 39) return a;
    return real_round(((uint64_t)a.mantissa << 39) + ((uint64_t)b.mantissa << (39 - apart)), a.exponent - 39);
}

static struct real real_multiply(struct real a, struct real b) {
    if (a.mantissa == 0) return a;
    return real_round((uint64_t)a.mantissa * b.mantissa, a.exponent + b.exponent);
}

/* Long division, 27 bits and whether anything remained: enough to round correctly. */
static struct real real_reciprocal(struct real a) {
    uint32_t quotient = 0, remainder = 1u << 22;
    for (int bit = 0; bit < 27; bit++) {
        remainder <<= 1;
        quotient <<= 1;
        if (remainder >= a.mantissa) remainder -= a.mantissa, quotient |= 1;
    }
    return real_round((uint64_t)quotient << 1 | (remainder != 0), -50 - a.exponent);
}

/* To the nearest integer, half away from zero; 65535 stands for anything larger. */
static int32_t real_to_integer(struct real a) {
    if (a.exponent < -25) return 0;
    if (a.exponent > -8) return 65535;
    return (int32_t)((a.mantissa + (1u << (-a.exponent - 1))) >> -a.exponent);
}

static void softmax(const struct softmax *p, const int8_t *in, int8_t *out) {
    for (int row = 0; row < p->rows; row++, in += p->depth, out += p->depth) {
        int max = -128;
        for (int i = 0; i < p->depth; i++) max = in[i] > max ? in[i] : max;
        struct real sum = {0, 0};
        for (int i = 0; i < p->depth; i++) sum = real_add(sum, real_of_bits(p->exponentials[max - in[i]]));
        struct real factor = real_reciprocal(real_multiply(sum, real_of_bits(p->scale)));
        for (int i = 0; i < p->depth; i++) {
            struct real share = real_multiply(real_of_bits(p->exponentials[max - in[i]]), factor);
            out[i] = clamp(real_to_integer(share) + p->range.zero_point, &p->range);
        }
    }
}

#endif
