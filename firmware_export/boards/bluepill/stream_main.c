/* Tests a model of a stream on the chip: first the built-in frames, then those that a host sends. */
#include "host.h"
#include "model.h"
#include "result.h"
#include "stream_test.h"

/* How many scores differ from the interpreter's. */
static int run_test(void) {
    msl_model_output scores[MSL_MODEL_OUTPUT_SIZE];
    int wrong = 0, row = 0;
    msl_model_reset();
    for (int frame = 0; frame < MSL_STREAM_TEST_FRAMES; frame++) {
        if (!msl_model_step(msl_stream_test_frames[frame], scores)) continue;
        for (int i = 0; i < MSL_MODEL_OUTPUT_SIZE; i++) wrong += scores[i] != msl_stream_test_scores[row][i];
        row++;
    }
    return wrong + (row != MSL_STREAM_TEST_ROWS);
}

/* Reads frames, and writes the scores that follow from them, until the host's input ends. */
static void serve(int32_t input, int32_t output) {
    static msl_model_input frame[MSL_MODEL_INPUT_SIZE];
    msl_model_output scores[MSL_MODEL_OUTPUT_SIZE];
    msl_model_reset();
    while (msl_host_read_all(input, frame, sizeof frame))
        if (msl_model_step(frame, scores)) msl_host_write(output, scores, sizeof scores);
}

int main(void) { return msl_finish(run_test() != 0, serve); }
