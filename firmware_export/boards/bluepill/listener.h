/* Listens to a stream of audio and answers as the model does, for a firmware with a microphone:

       static int16_t samples[LISTENER_STRIDE]; // filled by an ADC, I2S or PDM driver of your own
       model_output scores[MODEL_OUTPUT_SIZE];
       listener_reset();
       for (;;) {
           wait_for_audio(samples);
           if (listener_hear(samples)) listener_scores(scores);
       }

   There is one listener, its memory is static, and nothing here may be called from two threads, or from
   an interrupt and the main loop at once. A frame takes about 60,000 instructions and an answer one or two
   million, more than 20 ms have at 50 MHz: let the driver fill further buffers meanwhile.

   Each answer is that to a clip of the last second alone, as the model was trained on clips: the noise that
   the front end takes away is followed anew from the oldest of the frames, not from where the stream began. */
#ifndef LISTENER_H
#define LISTENER_H

#include <stdint.h>

#include "micro_frontend_tables.h"
#include "model.h"

#define LISTENER_STRIDE MICRO_FRONTEND_STRIDE /* samples heard at a time: 320 are 20 ms at 16,000 a second */
#define LISTENER_FRAMES (MODEL_INPUT_SIZE / MICRO_FRONTEND_CHANNELS) /* the model sees so many: 49 are a second */

_Static_assert(MODEL_INPUT_SIZE % MICRO_FRONTEND_CHANNELS == 0, "the model takes whole frames");

/* Forget all that was heard, as if only silence had been. To be called before anything else. */
void listener_reset(void);

/* Take in LISTENER_STRIDE samples, mono, over the whole of 16 bits. Answers 1 where they complete a frame:
   always, but for the first stride or two after a reset, which do not fill a window yet. */
int listener_hear(const int16_t *samples);

/* The model's answer to the last LISTENER_FRAMES frames; may be asked after every frame, or more rarely. */
void listener_scores(model_output *scores);

/* What it answers: MODEL_INPUT_SIZE numbers on the model's grid, the oldest frame first. */
const model_input *listener_features(void);

#endif
