/* One clip at a time: what a microcontroller runs. */
#include "micro_frontend.h"

#include "one.h"
#include "stages.h"

void micro_frontend_reset(struct micro_frontend *state) {
    state->heard = 0;
    for (int c = 0; c < MF_CHANNELS; c++) state->noise[c] = 0;
}

size_t micro_frontend_hear(struct micro_frontend *state, const int16_t *samples, size_t count) {
    size_t room = MF_WINDOW - state->heard;
    if (count > room) count = room;
    for (size_t i = 0; i < count; i++) state->samples[state->heard + i] = samples[i];
    state->heard += count;
    return count;
}

/* The window into its places; answers its peak. */
static pair take_window(const int16_t *samples, place *work) {
    pair peak = {0, 0};
    for (int n = 0; n < MF_POINTS; n++) {
        pair point = {0, 0};
        if (n < MF_WINDOW / 2) {
            point = pair_window((pair){samples[2 * n], samples[2 * n + 1]}, mf_window + 2 * n);
            peak = pair_louder(peak, point);
        }
        work[place_of(n)].point = point;
    }
    return peak;
}

int micro_frontend_signals(struct micro_frontend *state, uint32_t signals[MF_CHANNELS]) {
    if (state->heard < MF_WINDOW) return 0;
    place *work = (place *)state->work;
    pair peak = take_window(state->samples, work);
    find_signals(work, peak, signals);
    state->heard -= MF_STRIDE;
    for (int i = MF_STRIDE; i < MF_WINDOW; i++) state->samples[i - MF_STRIDE] = state->samples[i];
    return 1;
}

void micro_frontend_features(const uint32_t signals[MF_CHANNELS], uint32_t noise[MF_CHANNELS],
                             uint16_t features[MF_CHANNELS]) {
    word found[MF_CHANNELS];
    for (int c = 0; c < MF_CHANNELS; c++) found[c] = signals[c];
    find_features(found, noise);
    for (int c = 0; c < MF_CHANNELS; c++) features[c] = (uint16_t)found[c];
}

int micro_frontend_frame(struct micro_frontend *state, uint16_t features[MF_CHANNELS]) {
    uint32_t signals[MF_CHANNELS];
    if (!micro_frontend_signals(state, signals)) return 0;
    micro_frontend_features(signals, state->noise, features);
    return 1;
}

void micro_frontend_one_by_one(const int16_t *samples, size_t clips, size_t length, uint16_t *features) {
    struct micro_frontend state;
    for (; clips > 0; clips--, samples += length) {
        micro_frontend_reset(&state);
        for (size_t heard = 0; heard < length;) {
            heard += micro_frontend_hear(&state, samples + heard, length - heard);
            if (micro_frontend_frame(&state, features)) features += MF_CHANNELS;
        }
    }
}
