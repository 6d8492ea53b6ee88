/* Preloaded into the binary by tests/disk.rs: a disk that does not give a file back, and a clock that jumps.
 *
 * FAULT_INODE  the number of a file: opening it to read it fails with EIO, whatever its name
 * FAULT_CLOCK  seconds by which the time of day is off
 * FAULT_AFTER  milliseconds of the process's life after which it is off; from the beginning without */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int is_lost(const char *path, int flags) {
    const char *number = getenv("FAULT_INODE");
    struct stat found;
    return number && (flags & O_ACCMODE) == O_RDONLY && !stat(path, &found) && found.st_ino == strtoul(number, 0, 10);
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                                                        \
    int name(const char *path, int flags, ...) {                                          \
        va_list rest;                                                                     \
        va_start(rest, flags);                                                            \
        mode_t mode = mode_of(flags, rest);                                               \
        va_end(rest);                                                                     \
        if (is_lost(path, flags)) {                                                       \
            errno = EIO;                                                                  \
            return -1;                                                                    \
        }                                                                                 \
        return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name))(path, flags, mode); \
    }

OPEN(open)
OPEN(open64)

int clock_gettime(clockid_t clock, struct timespec *time) {
    static long began;
    int result = syscall(SYS_clock_gettime, clock, time);
    const char *off = getenv("FAULT_CLOCK"), *after = getenv("FAULT_AFTER");
    if (result || clock != CLOCK_REALTIME || !off) return result;
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    long milliseconds = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (!began) began = milliseconds;
    if (!after || milliseconds - began >= atol(after)) time->tv_sec += atol(off);
    return 0;
}
