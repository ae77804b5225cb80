/* Features of speech as TensorFlow's microfrontend computes them, bit for bit, from 16-bit samples.

   Fixed-point arithmetic; no memory but the caller's. micro_frontend_tables.h, which tables.py writes,
   decides window, stride and channels. */
#ifndef MICRO_FRONTEND_H
#define MICRO_FRONTEND_H

#include <stddef.h>
#include <stdint.h>

#include "micro_frontend_tables.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One stream of audio; all zeros is a new one. */
struct micro_frontend {
    int16_t samples[MICRO_FRONTEND_WINDOW]; /* the first `count` are the beginning of the next window */
    uint32_t count;
    uint32_t noise[MICRO_FRONTEND_CHANNELS]; /* noise estimate of each channel, with 10 fractional bits */
    uint32_t work[MICRO_FRONTEND_POINTS];    /* one frame's spectrum; not used between calls */
};

/* Start a new stream. */
void micro_frontend_reset(struct micro_frontend *state);

/* Add samples until the window is full; return how many were added. If that is less than `count`, call
   micro_frontend_frame before you add more. */
size_t micro_frontend_add_samples(struct micro_frontend *state, const int16_t *samples, size_t count);

/* If the window is full: write its features, drop a stride of samples, return 1. Otherwise return 0. */
int micro_frontend_frame(struct micro_frontend *state, uint16_t features[MICRO_FRONTEND_CHANNELS]);

/* The same in two halves. First the signals of a window's channels, with the same return value. Then the
   features of consecutive frames; `noise` is zeros before the first of them. */
int micro_frontend_signals(struct micro_frontend *state, uint32_t signals[MICRO_FRONTEND_CHANNELS]);
void micro_frontend_features(const uint32_t signals[MICRO_FRONTEND_CHANNELS], uint32_t noise[MICRO_FRONTEND_CHANNELS],
                             uint16_t features[MICRO_FRONTEND_CHANNELS]);

/* The features of `clips` clips of `length` samples each. Every clip is a new stream of
   1 + (length - MICRO_FRONTEND_WINDOW) / MICRO_FRONTEND_STRIDE frames, or of none if it is shorter than a window.
   micro_frontend_extract computes as the chip does, micro_frontend_extract_batch eight clips at a time. */
void micro_frontend_extract(const int16_t *samples, size_t clips, size_t length, uint16_t *features);
void micro_frontend_extract_batch(const int16_t *samples, size_t clips, size_t length, uint16_t *features);

#ifdef __cplusplus
}
#endif

#endif
