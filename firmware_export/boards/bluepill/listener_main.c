/* Tests the listener on the chip: reads clips of MSL_LISTENER_CLIP_STRIDES strides, each after a reset, and
   writes the scores and features of each, until the host's input ends. */
#include "host.h"
#include "listener.h"
#include "listener_parameters.h"

int main(void) {
    static int16_t samples[MSL_LISTENER_STRIDE];
    msl_model_output scores[MSL_MODEL_OUTPUT_SIZE];
    int32_t input = msl_host_open(0), output = msl_host_open(4);
    for (int stride = 0; msl_host_read_all(input, samples, sizeof samples); stride++) {
        if (stride % MSL_LISTENER_CLIP_STRIDES == 0) msl_listener_reset();
        msl_listener_push_samples(samples);
        if (stride % MSL_LISTENER_CLIP_STRIDES < MSL_LISTENER_CLIP_STRIDES - 1) continue;
        msl_host_write(output, scores, 0); /* marks the end of the frame for the emulator */
        msl_listener_scores(scores);
        msl_host_write(output, scores, sizeof scores);
        msl_host_write(output, msl_listener_features(), MSL_MODEL_INPUT_SIZE);
    }
    msl_host_exit(0);
    return 0;
}
