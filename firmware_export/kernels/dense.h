/* FULLY_CONNECTED. It takes its input in pieces, so the layer before it need not store its whole output. */
#ifndef MSL_DENSE_H
#define MSL_DENSE_H

#include "quantised.h"

struct msl_dense {
    int inputs, outputs;
    int32_t zero_point;
    struct msl_range range;
    /* Four outputs side by side, [output / 4][input][output % 4]; the last block may be narrower. */
    const int8_t *weights;
    const struct msl_channel *channels;
};

MSL_INLINE void msl_dense_block(const struct msl_dense *p, const int8_t *in, int from, int count, int output,
                                int width, int32_t *sums) {
    int32_t block[4];
    for (int j = 0; j < width; j++) block[j] = sums[output + j];
    msl_dot(block, in, p->weights + output * p->inputs + from * width, count, p->zero_point, width);
    for (int j = 0; j < width; j++) sums[output + j] = block[j];
}

static void msl_dense_begin(const struct msl_dense *p, int32_t *sums) {
    for (int i = 0; i < p->outputs; i++) sums[i] = 0;
}

/* Takes the `count` inputs that start at number `from`. */
static void msl_dense_add(const struct msl_dense *p, const int8_t *in, int from, int count, int32_t *sums) {
    for (int output = 0; output < p->outputs; output += 4) switch (p->outputs - output) {
        default: msl_dense_block(p, in, from, count, output, 4, sums); break;
        case 3: msl_dense_block(p, in, from, count, output, 3, sums); break;
        case 2: msl_dense_block(p, in, from, count, output, 2, sums); break;
        case 1: msl_dense_block(p, in, from, count, output, 1, sums); break;
        }
}

static void msl_dense_end(const struct msl_dense *p, const int32_t *sums, int8_t *out) {
    for (int i = 0; i < p->outputs; i++) {
        const struct msl_channel *channel = &p->channels[i];
        int32_t value = msl_scale_once(sums[i] + channel->bias, channel->multiplier, channel->shift);
        out[i] = msl_clamp(value + p->range.zero_point, &p->range);
    }
}

#endif
