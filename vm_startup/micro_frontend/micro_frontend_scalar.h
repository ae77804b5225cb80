/* The operations of micro_frontend_stages.h for one clip: plain integers, as on a microcontroller. */
#ifndef MICRO_FRONTEND_SCALAR_H
#define MICRO_FRONTEND_SCALAR_H

#include <stdint.h>

#include "micro_frontend_tables.h"

#define MICRO_FRONTEND_INLINE static inline __attribute__((always_inline))

/* A complex number of 16-bit parts, which wrap. */
typedef struct {
    int16_t r, i;
} pair;

typedef struct micro_frontend_twiddle twiddle; /* a pair to multiply with */
typedef uint32_t word;
typedef uint64_t wide;

/* A place of the transform: a point, later the energy of a bin. */
typedef union {
    pair point;
    word energy;
} place;

MICRO_FRONTEND_INLINE pair pair_add(pair a, pair b) { return (pair){(int16_t)(a.r + b.r), (int16_t)(a.i + b.i)}; }
MICRO_FRONTEND_INLINE pair pair_sub(pair a, pair b) { return (pair){(int16_t)(a.r - b.r), (int16_t)(a.i - b.i)}; }
MICRO_FRONTEND_INLINE pair pair_conjugate(pair a) { return (pair){a.r, (int16_t)-a.i}; }
MICRO_FRONTEND_INLINE pair pair_quarter_back(pair a) { return (pair){a.i, (int16_t)-a.r}; } /* a * -i */

/* value / 2^15, to nearest. */
MICRO_FRONTEND_INLINE int16_t rounded(int32_t value) { return (int16_t)((value + (1 << 14)) >> 15); }

MICRO_FRONTEND_INLINE pair pair_scale(pair a, int16_t factor) {
    return (pair){rounded(a.r * factor), rounded(a.i * factor)};
}

MICRO_FRONTEND_INLINE twiddle twiddle_of(const struct micro_frontend_twiddle *t) { return *t; }

MICRO_FRONTEND_INLINE pair pair_twiddle(pair a, twiddle t) {
    return (pair){rounded(a.r * t.r - a.i * t.i), rounded(a.r * t.i + a.i * t.r)};
}

MICRO_FRONTEND_INLINE pair pair_shift(pair a, word bits) {
    return (pair){(int16_t)((word)a.r << bits), (int16_t)((word)a.i << bits)};
}

MICRO_FRONTEND_INLINE pair pair_window(pair a, const int16_t *factors) {
    return (pair){(int16_t)(a.r * factors[0] >> 12), (int16_t)(a.i * factors[1] >> 12)};
}

MICRO_FRONTEND_INLINE int16_t louder(int16_t peak, int16_t value) {
    int16_t size = (int16_t)(value < 0 ? -value : value); /* -32768 stays negative, as upstream */
    return size > peak ? size : peak;
}

/* The larger of a peak and the sizes of a value's parts, part by part. */
MICRO_FRONTEND_INLINE pair pair_louder(pair peak, pair a) { return (pair){louder(peak.r, a.r), louder(peak.i, a.i)}; }
MICRO_FRONTEND_INLINE word pair_peak(pair peak) { return (word)(peak.r > peak.i ? peak.r : peak.i); }

MICRO_FRONTEND_INLINE word pair_energy(pair a) { return (word)(a.r * a.r) + (word)(a.i * a.i); }

/* (a + b) / 2 and (a.r - b.r) / 2, (b.i - a.i) / 2: rounded down, without wrapping. */
MICRO_FRONTEND_INLINE pair pair_half_sum(pair a, pair b) {
    return (pair){(int16_t)((a.r + b.r) >> 1), (int16_t)((a.i + b.i) >> 1)};
}
MICRO_FRONTEND_INLINE pair pair_half_difference(pair a, pair b) {
    return (pair){(int16_t)((a.r - b.r) >> 1), (int16_t)((b.i - a.i) >> 1)};
}

MICRO_FRONTEND_INLINE word word_min(word a, word b) { return a < b ? a : b; }
MICRO_FRONTEND_INLINE word word_max(word a, word b) { return a > b ? a : b; }
MICRO_FRONTEND_INLINE word word_if_above(word a, word b, word yes, word no) { return a > b ? yes : no; }
MICRO_FRONTEND_INLINE word word_down(word a, int bits) { return (word)((int32_t)a >> bits); } /* with its sign */
MICRO_FRONTEND_INLINE word word_bits(word a) { return a ? 32u - (word)__builtin_clz(a) : 0; }
MICRO_FRONTEND_INLINE int word_most_bits(word a) { return (int)word_bits(a); } /* of all clips */
MICRO_FRONTEND_INLINE word word_signed_at(const int16_t *table, word index) { return (word)(int32_t)table[index]; }
MICRO_FRONTEND_INLINE word word_pair_at(const uint16_t *table, word index) {
    return table[index] | (word)table[index + 1] << 16;
}

MICRO_FRONTEND_INLINE wide wide_of(uint32_t a) { return a; }
MICRO_FRONTEND_INLINE wide wide_mul(word a, word b) { return (wide)a * b; }
MICRO_FRONTEND_INLINE wide wide_mul_add(wide sum, word a, uint32_t b) { return sum + (wide)a * b; }
MICRO_FRONTEND_INLINE word wide_down(wide a, int bits) { return (word)(a >> bits); }

#endif
