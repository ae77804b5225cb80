/* Features of speech as TensorFlow's microfrontend computes them, bit for bit, from 16-bit samples.

   Fixed point throughout; no memory but the caller's. micro_frontend_tables.h, which tables.py makes,
   decides window, stride and channels. */
#ifndef MICRO_FRONTEND_H
#define MICRO_FRONTEND_H

#include <stddef.h>
#include <stdint.h>

#include "micro_frontend_tables.h"

/* One stream of audio; all zeros is a fresh one. */
struct micro_frontend {
    int16_t samples[MF_WINDOW]; /* heard and still needed; `heard` of them */
    uint32_t heard;
    uint32_t noise[MF_CHANNELS]; /* each channel's noise estimate, 10 bits of it fractional */
    uint32_t work[MF_POINTS];    /* one frame's spectrum; means nothing between calls */
};

_Static_assert(MF_POINTS > 256 || sizeof(struct micro_frontend) <= 4096, "the chip has little memory");

/* Forget all that was heard. */
void micro_frontend_reset(struct micro_frontend *state);

/* Take in samples until a window is full, and say how many were taken. Less than `count` means that
   micro_frontend_frame must be called before more. */
size_t micro_frontend_hear(struct micro_frontend *state, const int16_t *samples, size_t count);

/* Once a window is full: write its features, forget a stride of samples, answer 1. Before that: 0. */
int micro_frontend_frame(struct micro_frontend *state, uint16_t features[MF_CHANNELS]);

/* The same in two halves. The signals of a window's channels, as above; then features of frames one after
   the other, their noise followed from zeros on, as where a stream begins with the first of them. */
int micro_frontend_signals(struct micro_frontend *state, uint32_t signals[MF_CHANNELS]);
void micro_frontend_features(const uint32_t signals[MF_CHANNELS], uint32_t noise[MF_CHANNELS],
                             uint16_t features[MF_CHANNELS]);

/* Features of `clips` clips of `length` samples each, each from a fresh start, one after the other:
   1 + (length - MF_WINDOW) / MF_STRIDE frames of MF_CHANNELS each, none of a clip shorter than a window.
   _one_by_one does it as the chip does, _together eight clips at a time. */
void micro_frontend_one_by_one(const int16_t *samples, size_t clips, size_t length, uint16_t *features);
void micro_frontend_together(const int16_t *samples, size_t clips, size_t length, uint16_t *features);

#endif
