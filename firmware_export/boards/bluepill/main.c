/* Tests the model on the chip: first the built-in clips, then the clips that a host sends. */
#include "clips.h"
#include "host.h"
#include "model.h"
#include "result.h"

static const char *const labels[MSL_MODEL_OUTPUT_SIZE] = MSL_CLIP_LABELS;

static void print_number(int value) {
    char text[12], *digit = text + sizeof text - 1;
    unsigned left = value < 0 ? 0u - (unsigned)value : (unsigned)value;
    *digit = 0;
    do *--digit = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0) *--digit = '-';
    msl_host_print(digit);
}

static void print_score(const char *before, int score, int value) {
    msl_host_print(before);
    msl_host_print(labels[score]);
    msl_host_print(" ");
    print_number(value);
}

/* How many of a clip's scores differ from the interpreter's. */
static int run_clip(const struct msl_clip *clip) {
    msl_model_output scores[MSL_MODEL_OUTPUT_SIZE];
    int wrong = 0;
    msl_model_invoke(clip->features, scores);
    msl_host_print(clip->name);
    for (int i = 0; i < MSL_MODEL_OUTPUT_SIZE; i++) {
        print_score(i ? ", " : ": ", i, scores[i]);
        if (scores[i] != clip->expected[i]) {
            msl_host_print(" (expected ");
            print_number(clip->expected[i]);
            msl_host_print(")");
            wrong++;
        }
    }
    msl_host_print("\n");
    return wrong;
}

/* Reads clips of MSL_MODEL_INPUT_SIZE bytes and writes their scores, until the host's input ends. */
static void serve(int32_t input, int32_t output) {
    static msl_model_input features[MSL_MODEL_INPUT_SIZE];
    msl_model_output scores[MSL_MODEL_OUTPUT_SIZE];
    while (msl_host_read_all(input, features, sizeof features)) {
        msl_model_invoke(features, scores);
        msl_host_write(output, scores, sizeof scores);
    }
}

int main(void) {
    int wrong = 0;
    for (int i = 0; i < MSL_CLIP_COUNT; i++) wrong += run_clip(&msl_clips[i]);
    return msl_finish(wrong != 0, serve);
}
