/* From samples to scores: the feature extractor, the signals of its last frames, the model. */
#include "listener.h"

#include "listener_parameters.h"
#include "micro_frontend.h"

#define CHANNELS MSL_LISTENER_CHANNELS

_Static_assert(MSL_LISTENER_STRIDE == MSL_FRONTEND_STRIDE && CHANNELS == MSL_FRONTEND_CHANNELS, "both headers are for one model");
_Static_assert(MSL_MODEL_INPUT_SIZE == MSL_LISTENER_FRAMES * CHANNELS, "the model takes whole frames");

static struct {
    struct msl_frontend front_end;
    uint32_t signals[MSL_LISTENER_FRAMES][CHANNELS]; /* a ring of the last frames, before noise reduction */
    int oldest;                                      /* index of the oldest frame in the ring */
    msl_model_input features[MSL_MODEL_INPUT_SIZE];
} listener;

/* A feature as the model's code: rounded to nearest, a tie up, and clamped. */
static msl_model_input quantise(uint16_t feature) {
    uint64_t steps = ((uint64_t)feature * MSL_LISTENER_MULTIPLIER + MSL_LISTENER_HALF) >> MSL_LISTENER_SHIFT;
    uint64_t most = MSL_LISTENER_STEPS;
    return (msl_model_input)(MSL_MODEL_INPUT_ZERO_POINT + (int)(steps < most ? steps : most));
}

void msl_listener_reset(void) {
    msl_frontend_reset(&listener.front_end);
    for (int frame = 0; frame < MSL_LISTENER_FRAMES; frame++)
        for (int c = 0; c < CHANNELS; c++) listener.signals[frame][c] = 0;
}

int msl_listener_push_samples(const int16_t *samples) {
    size_t taken = msl_frontend_add_samples(&listener.front_end, samples, MSL_LISTENER_STRIDE);
    int complete = msl_frontend_signals(&listener.front_end, listener.signals[listener.oldest]);
    if (complete) listener.oldest = (listener.oldest + 1) % MSL_LISTENER_FRAMES;
    msl_frontend_add_samples(&listener.front_end, samples + taken, MSL_LISTENER_STRIDE - taken);
    return complete;
}

const msl_model_input *msl_listener_features(void) {
    uint16_t found[CHANNELS];
    msl_model_input *code = listener.features;
    for (int c = 0; c < CHANNELS; c++) listener.front_end.noise[c] = 0;
    for (int i = 0; i < MSL_LISTENER_FRAMES; i++) {
        const uint32_t *signals = listener.signals[(listener.oldest + i) % MSL_LISTENER_FRAMES];
        msl_frontend_features(signals, listener.front_end.noise, found);
        for (int c = 0; c < CHANNELS; c++) *code++ = quantise(found[c]);
    }
    return listener.features;
}

void msl_listener_scores(msl_model_output *scores) { msl_model_invoke(msl_listener_features(), scores); }
