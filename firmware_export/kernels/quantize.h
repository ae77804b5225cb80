/* QUANTIZE between two 8-bit scales, and the conversion between unsigned and signed codes. */
#ifndef MSL_QUANTIZE_H
#define MSL_QUANTIZE_H

#include "quantised.h"

struct msl_quantize {
    int count;
    int32_t zero_point;
    struct msl_range range;
    const struct msl_channel *channels; /* one, for every value */
};

static inline void msl_quantize(const struct msl_quantize *p, const int8_t *in, int8_t *out) {
    for (int i = 0; i < p->count; i++) out[i] = msl_requantise(in[i] - p->zero_point, p->channels, &p->range);
}

struct msl_flip {
    int count;
};

/* Code 0 of 0..255 is code -128 of -128..127: in both directions the top bit changes. */
static inline void msl_flip(const struct msl_flip *p, const void *in, void *out) {
    for (int i = 0; i < p->count; i++) ((uint8_t *)out)[i] = ((const uint8_t *)in)[i] ^ 0x80;
}

#endif
