/* The end of a self-test, with a host and without. */
#ifndef MSL_RESULT_H
#define MSL_RESULT_H

#include "host.h"

/* The board's LED, PC13 (on when low), stays on if all tests passed and blinks if not. Does not return. */
static inline void msl_show_result(int failed) {
    volatile uint32_t *const clock = (uint32_t *)0x40021018; /* RCC_APB2ENR: bit 4 is port C */
    volatile uint32_t *const mode = (uint32_t *)0x40011004; /* GPIOC_CRH: bits 20-23 are pin 13 */
    volatile uint32_t *const pins = (uint32_t *)0x4001100c; /* GPIOC_ODR */
    *clock |= 1u << 4;
    *mode = (*mode & ~(15u << 20)) | 2u << 20; /* output, push-pull, 2 MHz */
    for (*pins &= ~(1u << 13);; *pins ^= (uint32_t)failed << 13)
        for (volatile int wait = 0; wait < 500000; wait++) {
        }
}

/* Says whether any test went wrong; then serves a host with its input and output, or shows the result without one. */
static inline int msl_finish(int failed, void (*serve)(int32_t input, int32_t output)) {
    msl_host_print(failed ? "~~~SOME TESTS FAILED~~~\n" : "~~~ALL TESTS PASSED~~~\n");
    int32_t input = msl_host_open(0), output = msl_host_open(4);
    if (output < 0) msl_show_result(failed);
    serve(input, output);
    msl_host_exit(failed);
    return 0;
}

#endif
