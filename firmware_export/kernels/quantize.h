/* QUANTIZE between two eight-bit scales, and the step between unsigned and signed codes. */
#ifndef QUANTIZE_H
#define QUANTIZE_H

#include "quantised.h"

struct quantize {
    int count;
    int32_t zero_point;
    struct range range;
    const struct channel *channels; /* one, for every value */
};

static inline void quantize(const struct quantize *p, const int8_t *in, int8_t *out) {
    for (int i = 0; i < p->count; i++) out[i] = requantise(in[i] - p->zero_point, p->channels, &p->range);
}

struct flip {
    int count;
};

/* Code 0 of 0..255 is code -128 of -128..127: the top bit changes, in either direction. */
static inline void flip(const struct flip *p, const void *in, void *out) {
    for (int i = 0; i < p->count; i++) ((uint8_t *)out)[i] = ((const uint8_t *)in)[i] ^ 0x80;
}

#endif
