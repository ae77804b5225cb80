/* DEPTHWISE_CONV_2D: each output channel depends on one input channel. */
#ifndef MSL_DEPTHWISE_H
#define MSL_DEPTHWISE_H

#include "quantised.h"
#include "window.h"

struct msl_depthwise {
    struct msl_shape in, out;
    struct msl_window window;
    int multiplier; /* output channels per input channel */
    int32_t zero_point;
    struct msl_range range;
    const int8_t *weights; /* [y][x][output channel] */
    const struct msl_channel *channels;
};

/* `width` neighbouring output channels, whose input channels are neighbours too. */
MSL_INLINE void msl_depthwise_block(const struct msl_depthwise *p, const int8_t *in, int top, int left,
                                    struct msl_span rows, struct msl_span columns, int channel, int width,
                                    int8_t *out) {
    int32_t sums[4] = {0, 0, 0, 0};
    for (int y = rows.first; y < rows.last; y++)
        for (int x = columns.first; x < columns.last; x++) {
            int in_y = top + y * p->window.dilation_y, in_x = left + x * p->window.dilation_x;
            const int8_t *from = in + (in_y * p->in.width + in_x) * p->in.channels + channel / p->multiplier;
            const int8_t *weights = p->weights + (y * p->window.width + x) * p->out.channels + channel;
            for (int j = 0; j < width; j++) sums[j] += (from[j] - p->zero_point) * weights[j];
        }
    for (int j = 0; j < width; j++)
        out[channel + j] = msl_requantise(sums[j], &p->channels[channel + j], &p->range);
}

static void msl_depthwise_row(const struct msl_depthwise *p, const int8_t *in, int y, int8_t *out) {
    int top = y * p->window.stride_y - p->window.pad_top;
    struct msl_span rows = msl_inside(top, p->in.height, p->window.height, p->window.dilation_y);
    for (int x = 0; x < p->out.width; x++, out += p->out.channels) {
        int left = x * p->window.stride_x - p->window.pad_left;
        struct msl_span columns = msl_inside(left, p->in.width, p->window.width, p->window.dilation_x);
        int channel = 0;
        if (p->multiplier == 1)
            for (; channel + 4 <= p->out.channels; channel += 4)
                msl_depthwise_block(p, in, top, left, rows, columns, channel, 4, out);
        for (; channel < p->out.channels; channel++)
            msl_depthwise_block(p, in, top, left, rows, columns, channel, 1, out);
    }
}

#endif
