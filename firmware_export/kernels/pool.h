/* AVERAGE_POOL_2D and MAX_POOL_2D; taps outside the input do not count. */
#ifndef POOL_H
#define POOL_H

#include "quantised.h"
#include "window.h"

struct pool {
    struct shape in, out;
    struct window window;
    /* Averages round half away from this code: the lowest one (-128) in models that were unsigned, else 0. */
    int32_t origin;
    struct range range;
};

INLINE int32_t pool_average(int32_t sum, int count, int32_t origin) {
    sum -= origin * count;
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count + origin;
}

INLINE void pool_row(const struct pool *p, const int8_t *in, int y, int8_t *out, int average) {
    int top = y * p->window.stride_y - p->window.pad_top;
    struct span rows = inside(top, p->in.height, p->window.height, 1);
    for (int x = 0; x < p->out.width; x++) {
        int left = x * p->window.stride_x - p->window.pad_left;
        struct span columns = inside(left, p->in.width, p->window.width, 1);
        int count = (rows.last - rows.first) * (columns.last - columns.first);
        for (int channel = 0; channel < p->out.channels; channel++) {
            int32_t value = average ? 0 : -128;
            for (int ky = rows.first; ky < rows.last; ky++)
                for (int kx = columns.first; kx < columns.last; kx++) {
                    int8_t tap = in[((top + ky) * p->in.width + left + kx) * p->in.channels + channel];
                    value = average ? value + tap : tap > value ? tap : value;
                }
            *out++ = clamp(average ? pool_average(value, count, p->origin) : value, &p->range);
        }
    }
}

static inline void average_pool_row(const struct pool *p, const int8_t *in, int y, int8_t *out) {
    pool_row(p, in, y, out, 1);
}

static inline void max_pool_row(const struct pool *p, const int8_t *in, int y, int8_t *out) {
    pool_row(p, in, y, out, 0);
}

#endif
