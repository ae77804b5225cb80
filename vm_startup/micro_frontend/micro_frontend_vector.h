/* The operations of micro_frontend_stages.h for eight clips at a time, one per lane of 32-byte vectors.

   The vectors are GCC's and clang's portable ones. With AVX2, operations that a compiler would not find by
   itself are its instructions; the results are the same. */
#ifndef MSL_FRONTEND_VECTOR_H
#define MSL_FRONTEND_VECTOR_H

#include <stdint.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "micro_frontend_tables.h"

#define MSL_FRONTEND_INLINE static inline __attribute__((always_inline))

enum { LANES = 8 };

typedef int16_t pair __attribute__((vector_size(32))); /* r, i, r, i, … */
typedef uint32_t word __attribute__((vector_size(32)));
typedef int32_t signed_word __attribute__((vector_size(32)));
typedef uint64_t quad __attribute__((vector_size(32)));

/* 64 bits a lane: lanes 0, 2, 4, 6 and lanes 1, 3, 5, 7. */
typedef struct {
    quad even, odd;
} wide;

/* A pair to multiply with, as (r, -i) and (i, r). */
typedef struct {
    pair real, imaginary;
} twiddle;

typedef union {
    pair point;
    word energy;
} place;

static const uint64_t low_half = 0xffffffff;

MSL_FRONTEND_INLINE word word_of(uint32_t a) { return (word){0} + a; }
MSL_FRONTEND_INLINE pair pair_of(int16_t r, int16_t i) {
    return (pair)word_of((uint16_t)r | (uint32_t)(uint16_t)i << 16);
}

/* The real parts of one and the imaginary parts of the other. */
MSL_FRONTEND_INLINE pair parts(pair real, pair imaginary) {
    return (pair)(((word)real & 0xffff) | ((word)imaginary & 0xffff0000));
}
MSL_FRONTEND_INLINE pair swapped(pair a) { return (pair)((word)a << 16 | (word)a >> 16); }

MSL_FRONTEND_INLINE pair pair_add(pair a, pair b) { return a + b; }
MSL_FRONTEND_INLINE pair pair_sub(pair a, pair b) { return a - b; }
MSL_FRONTEND_INLINE pair pair_conjugate(pair a) { return parts(a, -a); }
MSL_FRONTEND_INLINE pair pair_quarter_back(pair a) { return pair_conjugate(swapped(a)); }

/* r * r + i * i of two pairs, 32 bits. */
MSL_FRONTEND_INLINE word pair_dot(pair a, pair b) {
#ifdef __AVX2__
    return (word)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
    signed_word x = (signed_word)a, y = (signed_word)b;
    return (word)((x >> 16) * (y >> 16)) + (word)((x << 16 >> 16) * (y << 16 >> 16));
#endif
}

MSL_FRONTEND_INLINE pair pair_scale(pair a, int16_t factor) {
#ifdef __AVX2__
    return (pair)_mm256_mulhrs_epi16((__m256i)a, _mm256_set1_epi16(factor));
#else
    signed_word x = (signed_word)a;
    signed_word real = ((x << 16 >> 16) * factor + (1 << 14)) >> 15;
    return parts((pair)real, (pair)(((x >> 16) * factor + (1 << 14)) << 1));
#endif
}

MSL_FRONTEND_INLINE twiddle twiddle_of(const struct msl_frontend_twiddle *t) {
    return (twiddle){pair_of(t->r, (int16_t)-t->i), pair_of(t->i, t->r)};
}

MSL_FRONTEND_INLINE pair pair_twiddle(pair a, twiddle t) {
    word real = pair_dot(a, t.real) + (1 << 14), imaginary = pair_dot(a, t.imaginary) + (1 << 14);
    return parts((pair)(real >> 15), (pair)(imaginary << 1));
}

MSL_FRONTEND_INLINE pair pair_shift(pair a, word bits) {
    word factor = (word_of(1) << bits & 0xffff) * 0x10001;
    return a * (pair)factor;
}

MSL_FRONTEND_INLINE pair pair_window(pair a, const int16_t *factors) {
#ifdef __AVX2__
    __m256i by = (__m256i)pair_of(factors[0], factors[1]);
    __m256i high = _mm256_mulhi_epi16((__m256i)a, by), low = _mm256_mullo_epi16((__m256i)a, by);
    return (pair)(_mm256_slli_epi16(high, 4) | _mm256_srli_epi16(low, 12));
#else
    signed_word x = (signed_word)a;
    return parts((pair)((x << 16 >> 16) * factors[0] >> 12), (pair)((x >> 16) * factors[1] << 4));
#endif
}

MSL_FRONTEND_INLINE pair pair_max(pair a, pair b) {
    pair above = (pair)(a > b);
    return (a & above) | (b & ~above);
}
MSL_FRONTEND_INLINE pair pair_louder(pair peak, pair a) {
    pair sign = a >> 15;
    return pair_max(peak, (a ^ sign) - sign);
}
MSL_FRONTEND_INLINE word pair_peak(pair peak) { return (word)pair_max(peak, swapped(peak)) & 0xffff; }

MSL_FRONTEND_INLINE word pair_energy(pair a) { return pair_dot(a, a); }

MSL_FRONTEND_INLINE pair pair_half_sum(pair a, pair b) { return (a & b) + ((a ^ b) >> 1); }
MSL_FRONTEND_INLINE pair pair_half_difference(pair a, pair b) {
    pair from = parts(a, b), taken = ~parts(b, a);
    return (from | taken) - ((from ^ taken) >> 1);
}

MSL_FRONTEND_INLINE word word_if_above(word a, word b, word yes, word no) {
    word above = (word)(a > b);
    return (yes & above) | (no & ~above);
}
MSL_FRONTEND_INLINE word word_min(word a, word b) { return word_if_above(a, b, b, a); }
MSL_FRONTEND_INLINE word word_max(word a, word b) { return word_if_above(a, b, a, b); }
MSL_FRONTEND_INLINE word word_down(word a, int bits) { return (word)((signed_word)a >> bits); }

MSL_FRONTEND_INLINE word word_bits(word a) {
    word bits = a & 0;
    for (uint32_t step = 16; step > 0; step /= 2) {
        word some = (word)(a >> step != 0);
        bits += some & step;
        a = (a >> step & some) | (a & ~some);
    }
    return bits + a;
}

MSL_FRONTEND_INLINE int word_most_bits(word a) {
    uint32_t any = 0;
    for (int lane = 0; lane < LANES; lane++) any |= a[lane];
    return any ? 32 - __builtin_clz(any) : 0;
}

/* Neighbours in a table, the lower one in the lower half; the table need not be aligned. */
MSL_FRONTEND_INLINE word word_pair_at(const uint16_t *table, word index) {
#ifdef __AVX2__
    return (word)_mm256_i32gather_epi32((const int *)(const void *)table, (__m256i)index, 2);
#else
    word found = index;
    for (int lane = 0; lane < LANES; lane++) found[lane] = table[index[lane]] | (uint32_t)table[index[lane] + 1] << 16;
    return found;
#endif
}
MSL_FRONTEND_INLINE word word_signed_at(const int16_t *table, word index) {
    return word_down(word_pair_at((const uint16_t *)table, index) << 16, 16);
}

MSL_FRONTEND_INLINE wide wide_of(uint32_t a) { return (wide){(quad){0} + a, (quad){0} + a}; }
MSL_FRONTEND_INLINE quad quad_mul(quad a, quad b) {
#ifdef __AVX2__
    return (quad)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
    return (a & low_half) * (b & low_half);
#endif
}
MSL_FRONTEND_INLINE wide wide_mul(word a, word b) {
    return (wide){quad_mul((quad)a, (quad)b), quad_mul((quad)a >> 32, (quad)b >> 32)};
}
MSL_FRONTEND_INLINE wide wide_mul_add(wide sum, word a, uint32_t b) {
    quad by = (quad){0} + b;
    return (wide){sum.even + quad_mul((quad)a, by), sum.odd + quad_mul((quad)a >> 32, by)};
}
MSL_FRONTEND_INLINE word wide_down(wide a, int bits) {
    return (word)((a.even >> bits & low_half) | a.odd >> bits << 32);
}

#endif
