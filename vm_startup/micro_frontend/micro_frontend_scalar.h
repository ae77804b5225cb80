/* The operations of micro_frontend_stages.h for one clip: plain integers, as on a microcontroller. */
#ifndef MSL_FRONTEND_SCALAR_H
#define MSL_FRONTEND_SCALAR_H

#include <stdint.h>

#include "micro_frontend_tables.h"

#define MSL_FRONTEND_INLINE static inline __attribute__((always_inline))

/* A complex number of 16-bit parts, which wrap. */
typedef struct {
    int16_t r, i;
} pair;

typedef struct msl_frontend_twiddle twiddle; /* a pair to multiply with */
typedef uint32_t word;
typedef uint64_t wide;

/* A place of the transform: a point, later the energy of a bin. */
typedef union {
    pair point;
    word energy;
} place;

MSL_FRONTEND_INLINE pair pair_add(pair a, pair b) { return (pair){(int16_t)(a.r + b.r), (int16_t)(a.i + b.i)}; }
MSL_FRONTEND_INLINE pair pair_sub(pair a, pair b) { return (pair){(int16_t)(a.r - b.r), (int16_t)(a.i - b.i)}; }
MSL_FRONTEND_INLINE pair pair_conjugate(pair a) { return (pair){a.r, (int16_t)-a.i}; }
MSL_FRONTEND_INLINE pair pair_quarter_back(pair a) { return (pair){a.i, (int16_t)-a.r}; } /* a * -i */

/* value / 2^15, to nearest. */
MSL_FRONTEND_INLINE int16_t rounded(int32_t value) { return (int16_t)((value + (1 << 14)) >> 15); }

MSL_FRONTEND_INLINE pair pair_scale(pair a, int16_t factor) {
    return (pair){rounded(a.r * factor), rounded(a.i * factor)};
}

MSL_FRONTEND_INLINE twiddle twiddle_of(const struct msl_frontend_twiddle *t) { return *t; }

MSL_FRONTEND_INLINE pair pair_twiddle(pair a, twiddle t) {
    return (pair){rounded(a.r * t.r - a.i * t.i), rounded(a.r * t.i + a.i * t.r)};
}

MSL_FRONTEND_INLINE pair pair_shift(pair a, word bits) {
    return (pair){(int16_t)((word)a.r << bits), (int16_t)((word)a.i << bits)};
}

MSL_FRONTEND_INLINE pair pair_window(pair a, const int16_t *factors) {
    return (pair){(int16_t)(a.r * factors[0] >> 12), (int16_t)(a.i * factors[1] >> 12)};
}

MSL_FRONTEND_INLINE int16_t louder(int16_t peak, int16_t value) {
    int16_t size = (int16_t)(value < 0 ? -value : value); /* -32768 stays negative, as upstream */
    return size > peak ? size : peak;
}

/* The larger of a peak and the sizes of a value's parts, part by part. */
MSL_FRONTEND_INLINE pair pair_louder(pair peak, pair a) { return (pair){louder(peak.r, a.r), louder(peak.i, a.i)}; }
MSL_FRONTEND_INLINE word pair_peak(pair peak) { return (word)(peak.r > peak.i ? peak.r : peak.i); }

MSL_FRONTEND_INLINE word pair_energy(pair a) { return (word)(a.r * a.r) + (word)(a.i * a.i); }

/* (a + b) / 2 and (a.r - b.r) / 2, (b.i - a.i) / 2: rounded down, without wrapping. */
MSL_FRONTEND_INLINE pair pair_half_sum(pair a, pair b) {
    return (pair){(int16_t)((a.r + b.r) >> 1), (int16_t)((a.i + b.i) >> 1)};
}
MSL_FRONTEND_INLINE pair pair_half_difference(pair a, pair b) {
    return (pair){(int16_t)((a.r - b.r) >> 1), (int16_t)((b.i - a.i) >> 1)};
}

MSL_FRONTEND_INLINE word word_min(word a, word b) { return a < b ? a : b; }
MSL_FRONTEND_INLINE word word_max(word a, word b) { return a > b ? a : b; }
MSL_FRONTEND_INLINE word word_if_above(word a, word b, word yes, word no) { return a > b ? yes : no; }
MSL_FRONTEND_INLINE word word_down(word a, int bits) { return (word)((int32_t)a >> bits); } /* with its sign */
MSL_FRONTEND_INLINE word word_bits(word a) { return a ? 32u - (word)__builtin_clz(a) : 0; }
MSL_FRONTEND_INLINE int word_most_bits(word a) { return (int)word_bits(a); } /* of all clips */
MSL_FRONTEND_INLINE word word_signed_at(const int16_t *table, word index) { return (word)(int32_t)table[index]; }
MSL_FRONTEND_INLINE word word_pair_at(const uint16_t *table, word index) {
    return table[index] | (word)table[index + 1] << 16;
}

MSL_FRONTEND_INLINE wide wide_of(uint32_t a) { return a; }
MSL_FRONTEND_INLINE wide wide_mul(word a, word b) { return (wide)a * b; }
MSL_FRONTEND_INLINE wide wide_mul_add(wide sum, word a, uint32_t b) { return sum + (wide)a * b; }
MSL_FRONTEND_INLINE word wide_down(wide a, int bits) { return (word)(a >> bits); }

#endif
