/* From samples to scores: the front end, its last features as the model takes them, the model. */
#include "listener.h"

#include "grid.h"
#include "micro_frontend.h"

static struct {
    struct micro_frontend front_end;
    model_input features[MODEL_INPUT_SIZE];
} heard;

/* A feature on the model's grid, rounded half up and kept within it. */
static model_input on_grid(uint16_t feature) {
    uint64_t steps = ((uint64_t)feature * GRID_MULTIPLIER + GRID_HALF) >> GRID_SHIFT;
    return (model_input)(MODEL_INPUT_ZERO_POINT + (int)(steps < GRID_STEPS ? steps : GRID_STEPS));
}

void listener_reset(void) {
    micro_frontend_reset(&heard.front_end);
    for (int i = 0; i < MODEL_INPUT_SIZE; i++) heard.features[i] = on_grid(0);
}

/* Let the oldest frame go and put a new one behind the others. */
static void remember(const uint16_t *frame) {
    model_input *features = heard.features;
    for (int i = MF_CHANNELS; i < MODEL_INPUT_SIZE; i++) features[i - MF_CHANNELS] = features[i];
    for (int c = 0; c < MF_CHANNELS; c++) features[MODEL_INPUT_SIZE - MF_CHANNELS + c] = on_grid(frame[c]);
}

int listener_hear(const int16_t *samples) {
    uint16_t frame[MF_CHANNELS];
    size_t taken = micro_frontend_hear(&heard.front_end, samples, LISTENER_STRIDE);
    int complete = micro_frontend_frame(&heard.front_end, frame);
    if (complete) remember(frame);
    micro_frontend_hear(&heard.front_end, samples + taken, LISTENER_STRIDE - taken);
    return complete;
}

void listener_scores(model_output *scores) { model_invoke(heard.features, scores); }

const model_input *listener_features(void) { return heard.features; }
