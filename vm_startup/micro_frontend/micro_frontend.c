/* One clip at a time: what a microcontroller runs. */
#include "micro_frontend.h"

#include "micro_frontend_scalar.h"
#include "micro_frontend_stages.h"

_Static_assert(MSL_FRONTEND_POINTS > 256 || sizeof(struct msl_frontend) <= 4096, "the chip has little memory");

void msl_frontend_reset(struct msl_frontend *state) {
    state->count = 0;
    for (int c = 0; c < MSL_FRONTEND_CHANNELS; c++) state->noise[c] = 0;
}

size_t msl_frontend_add_samples(struct msl_frontend *state, const int16_t *samples, size_t count) {
    size_t room = MSL_FRONTEND_WINDOW - state->count;
    if (count > room) count = room;
    for (size_t i = 0; i < count; i++) state->samples[state->count + i] = samples[i];
    state->count += count;
    return count;
}

/* Put the window into its places; return its peak. */
static pair take_window(const int16_t *samples, place *work) {
    pair peak = {0, 0};
    for (int n = 0; n < MSL_FRONTEND_POINTS; n++) {
        pair point = {0, 0};
        if (n < MSL_FRONTEND_WINDOW / 2) {
            point = pair_window((pair){samples[2 * n], samples[2 * n + 1]}, msl_frontend_window + 2 * n);
            peak = pair_louder(peak, point);
        }
        work[place_of(n)].point = point;
    }
    return peak;
}

int msl_frontend_signals(struct msl_frontend *state, uint32_t signals[MSL_FRONTEND_CHANNELS]) {
    if (state->count < MSL_FRONTEND_WINDOW) return 0;
    place *work = (place *)state->work;
    pair peak = take_window(state->samples, work);
    find_signals(work, peak, signals);
    state->count -= MSL_FRONTEND_STRIDE;
    for (int i = MSL_FRONTEND_STRIDE; i < MSL_FRONTEND_WINDOW; i++)
        state->samples[i - MSL_FRONTEND_STRIDE] = state->samples[i];
    return 1;
}

void msl_frontend_features(const uint32_t signals[MSL_FRONTEND_CHANNELS], uint32_t noise[MSL_FRONTEND_CHANNELS],
                           uint16_t features[MSL_FRONTEND_CHANNELS]) {
    word found[MSL_FRONTEND_CHANNELS];
    for (int c = 0; c < MSL_FRONTEND_CHANNELS; c++) found[c] = signals[c];
    find_features(found, noise);
    for (int c = 0; c < MSL_FRONTEND_CHANNELS; c++) features[c] = (uint16_t)found[c];
}

int msl_frontend_frame(struct msl_frontend *state, uint16_t features[MSL_FRONTEND_CHANNELS]) {
    uint32_t signals[MSL_FRONTEND_CHANNELS];
    if (!msl_frontend_signals(state, signals)) return 0;
    msl_frontend_features(signals, state->noise, features);
    return 1;
}

void msl_frontend_extract(const int16_t *samples, size_t clips, size_t length, uint16_t *features) {
    struct msl_frontend state;
    for (; clips > 0; clips--, samples += length) {
        msl_frontend_reset(&state);
        for (size_t added = 0; added < length;) {
            added += msl_frontend_add_samples(&state, samples + added, length - added);
            if (msl_frontend_frame(&state, features)) features += MSL_FRONTEND_CHANNELS;
        }
    }
}
