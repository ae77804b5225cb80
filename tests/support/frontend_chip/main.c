/* The feature extractor on the chip: reads samples until the host's input ends, then writes the size of the
   state of a stream and the features of all windows. */
#include "host.h"
#include "micro_frontend.h"

#define MOST_FRAMES 100

int main(void) {
    static struct {
        uint32_t state_size;
        uint16_t features[MOST_FRAMES][MSL_FRONTEND_CHANNELS];
    } answer;
    static struct msl_frontend state;
    static int16_t samples[MSL_FRONTEND_WINDOW];
    answer.state_size = sizeof state;
    int32_t input = msl_host_open(0), output = msl_host_open(4);
    uint32_t frames = 0, wanted = MSL_FRONTEND_WINDOW;
    while (frames < MOST_FRAMES && msl_host_read_all(input, samples, wanted * sizeof *samples)) {
        msl_frontend_add_samples(&state, samples, wanted);
        frames += (uint32_t)msl_frontend_frame(&state, answer.features[frames]);
        wanted = MSL_FRONTEND_STRIDE;
    }
    msl_host_write(output, &answer, sizeof answer.state_size + frames * sizeof answer.features[0]);
    msl_host_exit(0);
    return 0;
}
