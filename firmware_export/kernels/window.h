/* The sliding window that convolutions and pools share. Layers of rows are made one output row at a time. */
#ifndef WINDOW_H
#define WINDOW_H

struct shape {
    int height, width, channels;
};

struct window {
    int height, width;
    int stride_y, stride_x;
    int dilation_y, dilation_x;
    int pad_top, pad_left;
};

/* Those taps of a window that lie inside the input: first <= tap < last. */
struct span {
    int first, last;
};

static inline struct span inside(int start, int size, int taps, int dilation) {
    struct span span = {0, taps};
    if (start < 0) span.first = (-start + dilation - 1) / dilation;
    if (start + (taps - 1) * dilation >= size) span.last = (size - start + dilation - 1) / dilation;
    return span;
}

#endif
