/* AVERAGE_POOL_2D and MAX_POOL_2D. Taps outside the input are ignored. */
#ifndef MSL_POOL_H
#define MSL_POOL_H

#include "quantised.h"
#include "window.h"

struct msl_pool {
    struct msl_shape in, out;
    struct msl_window window;
    /* Averages round ties away from this code: -128 in models that were unsigned, else 0. */
    int32_t origin;
    struct msl_range range;
};

MSL_INLINE int32_t msl_pool_average(int32_t sum, int count, int32_t origin) {
    sum -= origin * count;
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count + origin;
}

MSL_INLINE void msl_pool_row(const struct msl_pool *p, const int8_t *in, int y, int8_t *out, int average) {
    int top = y * p->window.stride_y - p->window.pad_top;
    struct msl_span rows = msl_inside(top, p->in.height, p->window.height, 1);
    for (int x = 0; x < p->out.width; x++) {
        int left = x * p->window.stride_x - p->window.pad_left;
        struct msl_span columns = msl_inside(left, p->in.width, p->window.width, 1);
        int count = (rows.last - rows.first) * (columns.last - columns.first);
        for (int channel = 0; channel < p->out.channels; channel++) {
            int32_t value = average ? 0 : -128;
            for (int ky = rows.first; ky < rows.last; ky++)
                for (int kx = columns.first; kx < columns.last; kx++) {
                    int8_t tap = in[((top + ky) * p->in.width + left + kx) * p->in.channels + channel];
                    value = average ? value + tap : tap > value ? tap : value;
                }
            *out++ = msl_clamp(average ? msl_pool_average(value, count, p->origin) : value, &p->range);
        }
    }
}

static inline void msl_average_pool_row(const struct msl_pool *p, const int8_t *in, int y, int8_t *out) {
    msl_pool_row(p, in, y, out, 1);
}

static inline void msl_max_pool_row(const struct msl_pool *p, const int8_t *in, int y, int8_t *out) {
    msl_pool_row(p, in, y, out, 0);
}

#endif
