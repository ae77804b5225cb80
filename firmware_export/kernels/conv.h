/* CONV_2D, and DEPTHWISE_CONV_2D over a single input channel, which is the same thing. */
#ifndef CONV_H
#define CONV_H

#include "quantised.h"
#include "window.h"

struct conv {
    struct shape in, out;
    struct window window;
    int32_t zero_point;
    struct range range;
    /* Four filters side by side, [filter / 4][y][x][channel][filter % 4]; the last block may be narrower. */
    const int8_t *weights;
    const struct channel *channels;
};

INLINE void conv_block(const struct conv *p, const int8_t *in, int top, int left, struct span rows,
                       struct span columns, int filter, int width, int8_t *out) {
    int row_of_taps = p->window.width * p->in.channels;
    const int8_t *block = p->weights + filter * p->window.height * row_of_taps;
    int step = p->window.dilation_x == 1 ? columns.last - columns.first : 1;
    int32_t sums[4] = {0, 0, 0, 0};
    for (int y = rows.first; y < rows.last; y++) {
        const int8_t *in_row = in + (top + y * p->window.dilation_y) * p->in.width * p->in.channels;
        const int8_t *weights = block + y * row_of_taps * width;
        for (int x = columns.first; x < columns.last; x += step)
            dot(sums, in_row + (left + x * p->window.dilation_x) * p->in.channels,
                weights + x * p->in.channels * width, step * p->in.channels, p->zero_point, width);
    }
    for (int j = 0; j < width; j++) out[j] = requantise(sums[j], &p->channels[filter + j], &p->range);
}

static void conv_row(const struct conv *p, const int8_t *in, int y, int8_t *out) {
    int top = y * p->window.stride_y - p->window.pad_top;
    struct span rows = inside(top, p->in.height, p->window.height, p->window.dilation_y);
    for (int x = 0; x < p->out.width; x++) {
        int left = x * p->window.stride_x - p->window.pad_left;
        struct span columns = inside(left, p->in.width, p->window.width, p->window.dilation_x);
        for (int filter = 0; filter < p->out.channels; filter += 4, out += 4)
            switch (p->out.channels - filter) {
            default: conv_block(p, in, top, left, rows, columns, filter, 4, out); break;
            case 3: conv_block(p, in, top, left, rows, columns, filter, 3, out); out -= 1; break;
            case 2: conv_block(p, in, top, left, rows, columns, filter, 2, out); out -= 2; break;
            case 1: conv_block(p, in, top, left, rows, columns, filter, 1, out); out -= 3; break;
            }
    }
}

#endif
