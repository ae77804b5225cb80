/* Proves the listener on the chip: clips of CLIP_STRIDES strides in, each from a fresh start; scores and what
   the model was shown out, until the host's input ends. */
#include "host.h"
#include "listener.h"

/* The last of these completes frame LISTENER_FRAMES. */
#define CLIP_STRIDES (LISTENER_FRAMES - 1 + (MICRO_FRONTEND_WINDOW + LISTENER_STRIDE - 1) / LISTENER_STRIDE)

int main(void) {
    static int16_t samples[LISTENER_STRIDE];
    model_output scores[MODEL_OUTPUT_SIZE];
    int32_t input = host_open(0), output = host_open(4);
    for (int stride = 0; host_read_all(input, samples, sizeof samples); stride++) {
        if (stride % CLIP_STRIDES == 0) listener_reset();
        listener_hear(samples);
        if (stride % CLIP_STRIDES < CLIP_STRIDES - 1) continue;
        host_write(output, scores, 0); /* the frame ends here, for those who count */
        listener_scores(scores);
        host_write(output, scores, sizeof scores);
        host_write(output, listener_features(), MODEL_INPUT_SIZE);
    }
    host_exit(0);
    return 0;
}
