/* From reset to main(): the vector table, initial values of variables, and fault handlers. */
#include <stddef.h>
#include <stdint.h>

extern uint32_t stack_top, data_start, data_end, data_image, bss_start, bss_end;
int main(void);

/* Volatile, so that no compiler turns these loops into calls of the functions themselves. */
void *memcpy(void *to, const void *from, size_t count) {
    volatile uint8_t *t = to;
    for (const uint8_t *f = from; count > 0; count--) *t++ = *f++;
    return to;
}

void *memset(void *to, int value, size_t count) {
    for (volatile uint8_t *t = to; count > 0; count--) *t++ = (uint8_t)value;
    return to;
}

/* The names by which compilers for the ARM EABI call the same functions. */
void __aeabi_memcpy(void *to, const void *from, size_t count) { memcpy(to, from, count); }
void __aeabi_memcpy4(void *to, const void *from, size_t count) { memcpy(to, from, count); }
void __aeabi_memclr(void *to, size_t count) { memset(to, 0, count); }
void __aeabi_memclr4(void *to, size_t count) { memset(to, 0, count); }

__attribute__((noreturn)) void reset(void) {
    memcpy(&data_start, &data_image, (size_t)((uintptr_t)&data_end - (uintptr_t)&data_start));
    memset(&bss_start, 0, (size_t)((uintptr_t)&bss_end - (uintptr_t)&bss_start));
    main();
    for (;;) {
    }
}

static void hang(void) {
    for (;;) {
    }
}

/* Without a debugger, a semihosting breakpoint (0xBEAB) is a hard fault: return -1 and continue after it.
   Any other fault stops here. The stacked frame holds r0 at 0 and the program counter at 24. */
__attribute__((naked)) static void hard_fault(void) {
    __asm volatile(
        "ldr r0, [sp, #24]\n"
        "ldrh r1, [r0]\n"
        "movw r2, #0xbeab\n"
        "cmp r1, r2\n"
        "1: bne 1b\n"
        "adds r0, #2\n"
        "str r0, [sp, #24]\n"
        "mov.w r0, #-1\n"
        "str r0, [sp]\n"
        "bx lr\n");
}

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)&stack_top,
    (handler)reset,
    hang, /* not maskable */
    hard_fault,
    hang, /* memory management, bus and usage faults are hard faults unless enabled */
    hang,
    hang,
    0,
    0,
    0,
    0,
    hang, /* supervisor call */
    hang, /* debug monitor */
    0,
    hang, /* pending service */
    hang, /* tick */
};
