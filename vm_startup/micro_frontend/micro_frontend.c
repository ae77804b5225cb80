/* One clip at a time: what a microcontroller runs. */
#include "micro_frontend.h"

#include "micro_frontend_scalar.h"
#include "micro_frontend_stages.h"

_Static_assert(MICRO_FRONTEND_POINTS > 256 || sizeof(struct micro_frontend) <= 4096, "the chip has little memory");

void micro_frontend_reset(struct micro_frontend *state) {
    state->count = 0;
    for (int c = 0; c < MICRO_FRONTEND_CHANNELS; c++) state->noise[c] = 0;
}

size_t micro_frontend_add_samples(struct micro_frontend *state, const int16_t *samples, size_t count) {
    size_t room = MICRO_FRONTEND_WINDOW - state->count;
    if (count > room) count = room;
    for (size_t i = 0; i < count; i++) state->samples[state->count + i] = samples[i];
    state->count += count;
    return count;
}

/* Put the window into its places; return its peak. */
static pair take_window(const int16_t *samples, place *work) {
    pair peak = {0, 0};
    for (int n = 0; n < MICRO_FRONTEND_POINTS; n++) {
        pair point = {0, 0};
        if (n < MICRO_FRONTEND_WINDOW / 2) {
            point = pair_window((pair){samples[2 * n], samples[2 * n + 1]}, micro_frontend_window + 2 * n);
            peak = pair_louder(peak, point);
        }
        work[place_of(n)].point = point;
    }
    return peak;
}

int micro_frontend_signals(struct micro_frontend *state, uint32_t signals[MICRO_FRONTEND_CHANNELS]) {
    if (state->count < MICRO_FRONTEND_WINDOW) return 0;
    place *work = (place *)state->work;
    pair peak = take_window(state->samples, work);
    find_signals(work, peak, signals);
    state->count -= MICRO_FRONTEND_STRIDE;
    for (int i = MICRO_FRONTEND_STRIDE; i < MICRO_FRONTEND_WINDOW; i++)
        state->samples[i - MICRO_FRONTEND_STRIDE] = state->samples[i];
    return 1;
}

void micro_frontend_features(const uint32_t signals[MICRO_FRONTEND_CHANNELS], uint32_t noise[MICRO_FRONTEND_CHANNELS],
                             uint16_t features[MICRO_FRONTEND_CHANNELS]) {
    word found[MICRO_FRONTEND_CHANNELS];
    for (int c = 0; c < MICRO_FRONTEND_CHANNELS; c++) found[c] = signals[c];
    find_features(found, noise);
    for (int c = 0; c < MICRO_FRONTEND_CHANNELS; c++) features[c] = (uint16_t)found[c];
}

int micro_frontend_frame(struct micro_frontend *state, uint16_t features[MICRO_FRONTEND_CHANNELS]) {
    uint32_t signals[MICRO_FRONTEND_CHANNELS];
    if (!micro_frontend_signals(state, signals)) return 0;
    micro_frontend_features(signals, state->noise, features);
    return 1;
}

void micro_frontend_extract(const int16_t *samples, size_t clips, size_t length, uint16_t *features) {
    struct micro_frontend state;
    for (; clips > 0; clips--, samples += length) {
        micro_frontend_reset(&state);
        for (size_t added = 0; added < length;) {
            added += micro_frontend_add_samples(&state, samples + added, length - added);
            if (micro_frontend_frame(&state, features)) features += MICRO_FRONTEND_CHANNELS;
        }
    }
}
