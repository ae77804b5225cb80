/* The computer at the other end of the debug cable, by ARM semihosting: OpenOCD, QEMU or our emulator.
   With none attached every call does nothing and answers -1 (startup.c, hard_fault). */
#ifndef HOST_H
#define HOST_H

#include <stdint.h>

enum host_operation { HOST_OPEN = 1, HOST_PRINT = 4, HOST_WRITE = 5, HOST_READ = 6, HOST_EXIT = 0x18 };

static inline int32_t host_call(enum host_operation operation, const void *argument) {
    register int32_t r0 __asm("r0") = (int32_t)operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static inline void host_print(const char *text) { host_call(HOST_PRINT, text); }

/* The host's standard input (mode 0) or output (mode 4); -1 where no host listens. */
static inline int32_t host_open(uint32_t mode) {
    const uint32_t arguments[3] = {(uint32_t)(uintptr_t) ":tt", mode, 3};
    return host_call(HOST_OPEN, arguments);
}

/* How many of `count` bytes were not read: all of them at the end of the input. */
static inline int32_t host_read(int32_t file, void *to, uint32_t count) {
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)to, count};
    return host_call(HOST_READ, arguments);
}

/* Whether all of `count` bytes came. */
static inline int host_read_all(int32_t file, void *to, uint32_t count) {
    for (uint32_t missing = count; missing > 0;) {
        int32_t left = host_read(file, (uint8_t *)to + (count - missing), missing);
        if (left < 0 || (uint32_t)left >= missing) return 0;
        missing = (uint32_t)left;
    }
    return 1;
}

static inline void host_write(int32_t file, const void *from, uint32_t count) {
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)from, count};
    host_call(HOST_WRITE, arguments);
}

/* Ends the program as the host sees it: an orderly exit, or a run-time error. */
static inline void host_exit(int failed) {
    host_call(HOST_EXIT, (const void *)(uintptr_t)(failed ? 0x20023 : 0x20026));
}

#endif
