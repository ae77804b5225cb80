/* Features of speech as TensorFlow's microfrontend computes them, bit for bit, from 16-bit samples.

   Fixed-point arithmetic; no memory but the caller's. micro_frontend_tables.h, which tables.py writes,
   decides window, stride and channels. */
#ifndef MSL_FRONTEND_H
#define MSL_FRONTEND_H

#include <stddef.h>
#include <stdint.h>

#include "micro_frontend_tables.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One stream of audio; all zeros is a new one. */
struct msl_frontend {
    int16_t samples[MSL_FRONTEND_WINDOW]; /* the first `count` are the beginning of the next window */
    uint32_t count;
    uint32_t noise[MSL_FRONTEND_CHANNELS]; /* noise estimate of each channel, with 10 fractional bits */
    uint32_t work[MSL_FRONTEND_POINTS];    /* one frame's spectrum; not used between calls */
};

/* Start a new stream. */
void msl_frontend_reset(struct msl_frontend *state);

/* Add samples until the window is full; return how many were added. If that is less than `count`, call
   msl_frontend_frame before you add more. */
size_t msl_frontend_add_samples(struct msl_frontend *state, const int16_t *samples, size_t count);

/* If the window is full: write its features, drop a stride of samples, return 1. If not, return 0. */
int msl_frontend_frame(struct msl_frontend *state, uint16_t features[MSL_FRONTEND_CHANNELS]);

/* The same in two halves. First the signals of a window's channels, with the same return value. Then the
   features of consecutive frames; `noise` is zeros before the first of them. */
int msl_frontend_signals(struct msl_frontend *state, uint32_t signals[MSL_FRONTEND_CHANNELS]);
void msl_frontend_features(const uint32_t signals[MSL_FRONTEND_CHANNELS], uint32_t noise[MSL_FRONTEND_CHANNELS],
                           uint16_t features[MSL_FRONTEND_CHANNELS]);

/* The features of `clips` clips of `length` samples each. Every clip is a new stream of
   1 + (length - MSL_FRONTEND_WINDOW) / MSL_FRONTEND_STRIDE frames, or of none if it is shorter than a window.
   msl_frontend_extract computes as the chip does, msl_frontend_extract_batch eight clips at a time. */
void msl_frontend_extract(const int16_t *samples, size_t clips, size_t length, uint16_t *features);
void msl_frontend_extract_batch(const int16_t *samples, size_t clips, size_t length, uint16_t *features);

#ifdef __cplusplus
}
#endif

#endif
