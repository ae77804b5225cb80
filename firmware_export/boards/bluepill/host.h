/* Calls, by ARM semihosting, the host at the other end of the debug cable: OpenOCD, QEMU or our emulator.
   Without a host every call does nothing and returns -1 (startup.c, hard_fault). */
#ifndef MSL_HOST_H
#define MSL_HOST_H

#include <stdint.h>

enum msl_host_operation {
    MSL_HOST_OPEN = 1,
    MSL_HOST_PRINT = 4,
    MSL_HOST_WRITE = 5,
    MSL_HOST_READ = 6,
    MSL_HOST_EXIT = 0x18
};

static inline int32_t msl_host_call(enum msl_host_operation operation, const void *argument) {
    register int32_t r0 __asm("r0") = (int32_t)operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static inline void msl_host_print(const char *text) { msl_host_call(MSL_HOST_PRINT, text); }

/* Opens the host's standard input (mode 0) or output (mode 4); -1 without a host. */
static inline int32_t msl_host_open(uint32_t mode) {
    const uint32_t arguments[3] = {(uint32_t)(uintptr_t) ":tt", mode, 3};
    return msl_host_call(MSL_HOST_OPEN, arguments);
}

/* Returns how many of `count` bytes were not read: all of them at the end of the input. */
static inline int32_t msl_host_read(int32_t file, void *to, uint32_t count) {
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)to, count};
    return msl_host_call(MSL_HOST_READ, arguments);
}

/* Returns 1 if all of `count` bytes were read. */
static inline int msl_host_read_all(int32_t file, void *to, uint32_t count) {
    for (uint32_t missing = count; missing > 0;) {
        int32_t left = msl_host_read(file, (uint8_t *)to + (count - missing), missing);
        if (left < 0 || (uint32_t)left >= missing) return 0;
        missing = (uint32_t)left;
    }
    return 1;
}

static inline void msl_host_write(int32_t file, const void *from, uint32_t count) {
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)from, count};
    msl_host_call(MSL_HOST_WRITE, arguments);
}

/* Ends the program: the host sees a normal exit, or a run-time error. */
static inline void msl_host_exit(int failed) {
    msl_host_call(MSL_HOST_EXIT, (const void *)(uintptr_t)(failed ? 0x20023 : 0x20026));
}

#endif
