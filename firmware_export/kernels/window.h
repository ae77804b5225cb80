/* The sliding window of convolutions and pools. These layers compute one output row at a time. */
#ifndef MSL_WINDOW_H
#define MSL_WINDOW_H

struct msl_shape {
    int height, width, channels;
};

struct msl_window {
    int height, width;
    int stride_y, stride_x;
    int dilation_y, dilation_x;
    int pad_top, pad_left;
};

/* The taps of a window that are inside the input: first <= tap < last. */
struct msl_span {
    int first, last;
};

static inline struct msl_span msl_inside(int start, int size, int taps, int dilation) {
    struct msl_span span = {0, taps};
    if (start < 0) span.first = (-start + dilation - 1) / dilation;
    if (start + (taps - 1) * dilation >= size) span.last = (size - start + dilation - 1) / dilation;
    return span;
}

#endif
