/* Proves the model on the chip: first the clips that are built in, then any that a host sends. */
#include "clips.h"
#include "host.h"
#include "model.h"

static const char *const labels[MODEL_OUTPUT_SIZE] = LABELS;

static void print_number(int value) {
    char text[12], *digit = text + sizeof text - 1;
    unsigned left = value < 0 ? 0u - (unsigned)value : (unsigned)value;
    *digit = 0;
    do *--digit = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0) *--digit = '-';
    host_print(digit);
}

static void print_score(const char *before, int score, int value) {
    host_print(before);
    host_print(labels[score]);
    host_print(" ");
    print_number(value);
}

/* How many of a clip's scores are not what the interpreter answered when the firmware was made. */
static int run_clip(const struct clip *clip) {
    model_output scores[MODEL_OUTPUT_SIZE];
    int wrong = 0;
    model_invoke(clip->features, scores);
    host_print(clip->name);
    for (int i = 0; i < MODEL_OUTPUT_SIZE; i++) {
        print_score(i ? ", " : ": ", i, scores[i]);
        if (scores[i] != clip->expected[i]) {
            host_print(" (expected ");
            print_number(clip->expected[i]);
            host_print(")");
            wrong++;
        }
    }
    host_print("\n");
    return wrong;
}

/* Clips of MODEL_INPUT_SIZE bytes in, their scores out, until the host's input ends. */
static void serve(int32_t input, int32_t output) {
    static model_input features[MODEL_INPUT_SIZE];
    model_output scores[MODEL_OUTPUT_SIZE];
    while (host_read_all(input, features, sizeof features)) {
        model_invoke(features, scores);
        host_write(output, scores, sizeof scores);
    }
}

/* No host: the board's own lamp, PC13 (lit when low), is steady when all is well and blinks if not. */
static void signal(int failed) {
    volatile uint32_t *const clock = (uint32_t *)0x40021018; /* RCC_APB2ENR: bit 4 is port C */
    volatile uint32_t *const mode = (uint32_t *)0x40011004; /* GPIOC_CRH: bits 20-23 are pin 13 */
    volatile uint32_t *const pins = (uint32_t *)0x4001100c; /* GPIOC_ODR */
    *clock |= 1u << 4;
    *mode = (*mode & ~(15u << 20)) | 2u << 20; /* output, push-pull, 2 MHz */
    for (*pins &= ~(1u << 13);; *pins ^= (uint32_t)failed << 13)
        for (volatile int wait = 0; wait < 500000; wait++) {
        }
}

int main(void) {
    int wrong = 0;
    for (int i = 0; i < CLIP_COUNT; i++) wrong += run_clip(&clips[i]);
    host_print(wrong ? "~~~SOME TESTS FAILED~~~\n" : "~~~ALL TESTS PASSED~~~\n");
    int32_t input = host_open(0), output = host_open(4);
    if (output < 0) signal(wrong != 0);
    serve(input, output);
    host_exit(wrong != 0);
    return 0;
}
