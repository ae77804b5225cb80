/* CONV_2D, and DEPTHWISE_CONV_2D over a single input channel, which is the same computation. */
#ifndef MSL_CONV_H
#define MSL_CONV_H

#include "quantised.h"
#include "window.h"

struct msl_conv {
    struct msl_shape in, out;
    struct msl_window window;
    int32_t zero_point;
    struct msl_range range;
    /* Four filters side by side, [filter / 4][y][x][channel][filter % 4]; the last block may be narrower. */
    const int8_t *weights;
    const struct msl_channel *channels;
};

/* Adjacent input bytes in each of several rows, and their weights: the part of a window inside the input. */
struct msl_patch {
    const int8_t *in, *weights;
    int rows, length;
    int in_step, weights_step; /* from one row to the next */
};

MSL_INLINE void msl_conv_sums(const struct msl_patch *patch, int32_t zero_point, int32_t *out, int width) {
    const int8_t *in = patch->in, *weights = patch->weights;
    int32_t sums[4] = {out[0], out[1], out[2], out[3]};
    for (int rows = patch->rows; rows > 0; rows--) {
        msl_dot(sums, in, weights, patch->length, zero_point, width);
        in += patch->in_step, weights += patch->weights_step;
    }
    for (int j = 0; j < width; j++) out[j] = sums[j];
}

/* Separate functions, so that the innermost loop can use all registers. */
static MSL_NOINLINE void msl_conv_sums_4(const struct msl_patch *patch, int32_t zero_point, int32_t *sums) {
    msl_conv_sums(patch, zero_point, sums, 4);
}

static MSL_NOINLINE void msl_conv_sums_3(const struct msl_patch *patch, int32_t zero_point, int32_t *sums) {
    msl_conv_sums(patch, zero_point, sums, 3);
}

static MSL_NOINLINE void msl_conv_sums_2(const struct msl_patch *patch, int32_t zero_point, int32_t *sums) {
    msl_conv_sums(patch, zero_point, sums, 2);
}

static MSL_NOINLINE void msl_conv_sums_1(const struct msl_patch *patch, int32_t zero_point, int32_t *sums) {
    msl_conv_sums(patch, zero_point, sums, 1);
}

/* The `width` filters from number `filter` on, at one place of the input. */
static inline void msl_conv_block(const struct msl_conv *p, const int8_t *in, int top, int left,
                                  struct msl_span rows, struct msl_span columns, int filter, int width,
                                  int32_t *sums) {
    int channels = p->in.channels, row_taps = p->window.width * channels;
    /* Neighbouring taps are adjacent in memory without dilation; with dilation each tap is read alone. */
    int together = p->window.dilation_x == 1 ? columns.last - columns.first : 1;
    int y = top + rows.first * p->window.dilation_y;
    for (int x = columns.first; x < columns.last; x += together) {
        struct msl_patch patch = {
            .in = in + (y * p->in.width + left + x * p->window.dilation_x) * channels,
            .weights = p->weights + filter * p->window.height * row_taps +
                       (rows.first * row_taps + x * channels) * width,
            .rows = rows.last - rows.first,
            .length = together * channels,
            .in_step = p->window.dilation_y * p->in.width * channels,
            .weights_step = row_taps * width,
        };
        if (width == 4) msl_conv_sums_4(&patch, p->zero_point, sums);
        if (width == 3) msl_conv_sums_3(&patch, p->zero_point, sums);
        if (width == 2) msl_conv_sums_2(&patch, p->zero_point, sums);
        if (width == 1) msl_conv_sums_1(&patch, p->zero_point, sums);
    }
}

static void msl_conv_row(const struct msl_conv *p, const int8_t *in, int y, int8_t *out) {
    int top = y * p->window.stride_y - p->window.pad_top;
    struct msl_span rows = msl_inside(top, p->in.height, p->window.height, p->window.dilation_y);
    for (int x = 0; x < p->out.width; x++) {
        int left = x * p->window.stride_x - p->window.pad_left;
        struct msl_span columns = msl_inside(left, p->in.width, p->window.width, p->window.dilation_x);
        for (int filter = 0; filter < p->out.channels; filter += 4) {
            int width = p->out.channels - filter < 4 ? p->out.channels - filter : 4;
            int32_t sums[4] = {0, 0, 0, 0};
            msl_conv_block(p, in, top, left, rows, columns, filter, width, sums);
            for (int j = 0; j < width; j++) *out++ = msl_requantise(sums[j], &p->channels[filter + j], &p->range);
        }
    }
}

#endif
