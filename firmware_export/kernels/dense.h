/* FULLY_CONNECTED. Takes its input in pieces, so that the layer before need not keep its whole output. */
#ifndef DENSE_H
#define DENSE_H

#include "quantised.h"

struct dense {
    int inputs, outputs;
    int32_t zero_point;
    struct range range;
    /* Four outputs side by side, [output / 4][input][output % 4]; the last block may be narrower. */
    const int8_t *weights;
    const struct channel *channels;
};

INLINE void dense_block(const struct dense *p, const int8_t *in, int from, int count, int output, int width,
                        int32_t *sums) {
    int32_t block[4];
    for (int j = 0; j < width; j++) block[j] = sums[output + j];
    dot(block, in, p->weights + output * p->inputs + from * width, count, p->zero_point, width);
    for (int j = 0; j < width; j++) sums[output + j] = block[j];
}

static void dense_begin(const struct dense *p, int32_t *sums) {
    for (int i = 0; i < p->outputs; i++) sums[i] = 0;
}

/* Takes the `count` inputs that start at number `from`. */
static void dense_add(const struct dense *p, const int8_t *in, int from, int count, int32_t *sums) {
    for (int output = 0; output < p->outputs; output += 4) switch (p->outputs - output) {
        default: dense_block(p, in, from, count, output, 4, sums); break;
        case 3: dense_block(p, in, from, count, output, 3, sums); break;
        case 2: dense_block(p, in, from, count, output, 2, sums); break;
        case 1: dense_block(p, in, from, count, output, 1, sums); break;
        }
}

static void dense_end(const struct dense *p, const int32_t *sums, int8_t *out) {
    for (int i = 0; i < p->outputs; i++) {
        const struct channel *channel = &p->channels[i];
        int32_t value = scale_once(sums[i] + channel->bias, channel->multiplier, channel->shift);
        out[i] = clamp(value + p->range.zero_point, &p->range);
    }
}

#endif
