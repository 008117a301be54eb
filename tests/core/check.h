/* A small harness for C tests: CHECK() reports file and line and goes on; guarded() places input against
 * a PROT_NONE page, so that reading one byte past the end is a crash. */
#ifndef HOPTAP_CHECK_H
#define HOPTAP_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int checks_failed, checks_done;

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        checks_done++;                                                                         \
        if (!(condition)) {                                                                    \
            checks_failed++;                                                                   \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                    \
        }                                                                                      \
    } while (0)

/* A copy of data whose last byte is the last before an unreadable page; leaked, tests are short. */
static inline uint8_t *guarded(const void *data, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (bytes + page - 1) / page * page;
    uint8_t *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(map + room, page, PROT_NONE);
    uint8_t *copy = map + room - bytes;
    if (bytes)
        memcpy(copy, data, bytes);
    return copy;
}

static inline int checks_report(const char *name)
{
    printf("%s: %d passed, %d failed\n", name, checks_done - checks_failed, checks_failed);
    return checks_failed != 0;
}

#endif
