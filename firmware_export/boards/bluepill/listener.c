/* From samples to scores: the front end, what is kept of its last frames, the model. */
#include "listener.h"

#include "grid.h"
#include "micro_frontend.h"

static struct {
    struct micro_frontend front_end;
    uint32_t signals[LISTENER_FRAMES][MICRO_FRONTEND_CHANNELS]; /* of the last frames, before noise is reduced; a ring */
    int oldest;                                     /* which of them is the oldest */
    model_input features[MODEL_INPUT_SIZE];
} heard;

/* A feature on the model's grid, rounded half up and kept within it. */
static model_input on_grid(uint16_t feature) {
    uint64_t steps = ((uint64_t)feature * GRID_MULTIPLIER + GRID_HALF) >> GRID_SHIFT;
    return (model_input)(MODEL_INPUT_ZERO_POINT + (int)(steps < GRID_STEPS ? steps : GRID_STEPS));
}

void listener_reset(void) {
    micro_frontend_reset(&heard.front_end);
    for (int frame = 0; frame < LISTENER_FRAMES; frame++)
        for (int c = 0; c < MICRO_FRONTEND_CHANNELS; c++) heard.signals[frame][c] = 0;
}

int listener_hear(const int16_t *samples) {
    size_t taken = micro_frontend_add_samples(&heard.front_end, samples, LISTENER_STRIDE);
    int complete = micro_frontend_signals(&heard.front_end, heard.signals[heard.oldest]);
    if (complete) heard.oldest = (heard.oldest + 1) % LISTENER_FRAMES;
    micro_frontend_add_samples(&heard.front_end, samples + taken, LISTENER_STRIDE - taken);
    return complete;
}

const model_input *listener_features(void) {
    uint16_t found[MICRO_FRONTEND_CHANNELS];
    model_input *code = heard.features;
    for (int c = 0; c < MICRO_FRONTEND_CHANNELS; c++) heard.front_end.noise[c] = 0;
    for (int i = 0; i < LISTENER_FRAMES; i++) {
        const uint32_t *signals = heard.signals[(heard.oldest + i) % LISTENER_FRAMES];
        micro_frontend_features(signals, heard.front_end.noise, found);
        for (int c = 0; c < MICRO_FRONTEND_CHANNELS; c++) *code++ = on_grid(found[c]);
    }
    return heard.features;
}

void listener_scores(model_output *scores) { model_invoke(listener_features(), scores); }
