/* The result of a self-test, shown without a host. */
#ifndef MSL_RESULT_H
#define MSL_RESULT_H

#include <stdint.h>

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

#endif
