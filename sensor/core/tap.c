#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "errorline.h"
#include "ring.h"

enum {
    /* Events further ahead than this are not looked through: some hundred microseconds. */
    AHEAD_MAX = 1024,
    /* A probe takes the time, then copies: what is not in the ring by then was held up on its CPU. */
    LATE_MS = 20,
    BUSY_MS = 1, /* a reserved record is written within microseconds */
};

static const uint64_t second_ns = 1000000000, millisecond_ns = 1000000;

struct tap {
    struct source base;
    int fd;           /* owned, as the mappings; closed in tap_close */
    uint8_t *consumer; /* a page that we write */
    uint8_t *producer; /* a page and the data twice, which we read */
    size_t page, data_bytes;
    bool is_file; /* nothing wakes who waits for it */
    struct ring ring;
    uint64_t ordinal;
    uint64_t offset_ns;   /* from CLOCK_MONOTONIC to CLOCK_REALTIME */
    uint64_t measured_ns; /* when, by CLOCK_MONOTONIC */
    uint64_t received;
};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * second_ns + (uint64_t)now.tv_nsec;
}

/* Both clocks are slewed alike (timekeeping.c): what is between them changes when the time is set,
 * and a millisecond is no such change but an interruption of ours. */
static void measure(struct tap *tap, uint64_t monotonic_ns)
{
    uint64_t best_ns = UINT64_MAX, offset_ns = tap->offset_ns;

    if (tap->measured_ns && monotonic_ns - tap->measured_ns < second_ns)
        return;
    for (int i = 0; i < 3; i++) {
        uint64_t before_ns = now_ns(CLOCK_MONOTONIC);
        uint64_t real_ns = now_ns(CLOCK_REALTIME);
        uint64_t took_ns = now_ns(CLOCK_MONOTONIC) - before_ns;
        if (took_ns >= best_ns)
            continue;
        best_ns = took_ns;
        offset_ns = real_ns - before_ns - took_ns / 2;
    }
    uint64_t change_ns = offset_ns - tap->offset_ns;
    if (!tap->measured_ns || (change_ns > millisecond_ns && -change_ns > millisecond_ns))
        tap->offset_ns = offset_ns;
    tap->measured_ns = monotonic_ns;
}

/* A length and kind that do not fit are for who reads the event; a time in the future is not. */
static void take(struct tap *tap, const uint8_t *record, uint32_t bytes, struct packet *packet)
{
    uint64_t monotonic_ns = now_ns(CLOCK_MONOTONIC), time_ns = monotonic_ns;

    measure(tap, monotonic_ns);
    if (bytes >= sizeof time_ns)
        memcpy(&time_ns, record, sizeof time_ns); /* the first field */
    if (time_ns > monotonic_ns)
        time_ns = monotonic_ns;
    *packet = (struct packet){
        .data = record,
        .captured_bytes = bytes,
        .wire_bytes = bytes,
        .time_ns = time_ns + tap->offset_ns,
        .ordinal = tap->ordinal++,
        .link = LINK_TAP,
    };
    tap->received++;
}

static enum source_verdict idle(struct tap *tap, uint64_t since_ns, struct packet *packet)
{
    measure(tap, since_ns);
    packet->time_ns = since_ns + tap->offset_ns - LATE_MS * millisecond_ns;
    return SOURCE_IDLE;
}

/* False: a signal came, which the caller may want to look at. */
static bool wait_for_more(const struct tap *tap, bool busy, int left_ms)
{
    struct pollfd ready = {.fd = tap->fd, .events = POLLIN};
    bool sleeps = busy || tap->is_file; /* what is reserved already makes it ready */

    if (sleeps && (left_ms < 0 || left_ms > BUSY_MS))
        left_ms = BUSY_MS;
    return poll(&ready, sleeps ? 0 : 1, left_ms) >= 0;
}

static enum source_verdict tap_next(struct source *source, struct packet *packet, int timeout_ms)
{
    struct tap *tap = (struct tap *)source;
    uint64_t began_ns = now_ns(CLOCK_MONOTONIC), since_ns = began_ns;

    ring_release(&tap->ring);
    for (;;) {
        const uint8_t *record;
        uint32_t bytes;
        enum ring_verdict verdict = ring_next(&tap->ring, &record, &bytes);
        if (verdict == RING_RECORD) {
            take(tap, record, bytes, packet);
            return SOURCE_PACKET;
        }
        if (verdict == RING_BROKEN) {
            error_line(source->error, "tap: the ring is broken at position %llu",
                       (unsigned long long)tap->ring.at);
            return SOURCE_ERROR;
        }
        uint64_t gone_ms = (since_ns - began_ns) / millisecond_ns;
        if (timeout_ms >= 0 && gone_ms >= (uint64_t)timeout_ms)
            return idle(tap, since_ns, packet);
        int left_ms = timeout_ms < 0 ? -1 : timeout_ms - (int)gone_ms;
        if (!wait_for_more(tap, verdict == RING_BUSY, left_ms))
            return idle(tap, since_ns, packet);
        since_ns = now_ns(CLOCK_MONOTONIC); /* before the look: what comes after it is later */
    }
}

bool tap_still_holds(const struct source *source, const struct tap_event *event)
{
    const struct tap *tap = (const struct tap *)source;
    uint64_t at = tap->ring.at;

    for (int i = 0; i < AHEAD_MAX; i++) {
        const uint8_t *record;
        struct tap_event later;
        uint32_t bytes;
        if (ring_peek(&tap->ring, &at, &record, &bytes) != RING_RECORD)
            return true;
        if (bytes < sizeof later)
            continue;
        memcpy(&later, record, sizeof later);
        if (later.pid != event->pid || later.kind == TAP_SECRET)
            continue;
        bool same = later.session == event->session && later.generation == event->generation;
        if (same ? later.kind == TAP_CLOSE : later.fd == event->fd)
            return false;
    }
    return false;
}

static void tap_stats(const struct source *source, struct source_stats *stats)
{
    *stats = (struct source_stats){.received = ((const struct tap *)source)->received};
}

static const uint8_t *no_secret(const struct source *source, size_t index, uint32_t *secrets_type,
                                size_t *bytes)
{
    (void)source, (void)index, (void)secrets_type, (void)bytes;
    return NULL;
}

static int tap_descriptor(const struct source *source)
{
    const struct tap *tap = (const struct tap *)source;

    return tap->is_file ? -1 : tap->fd;
}

static void unmap(void *at, size_t bytes)
{
    if (at && at != MAP_FAILED)
        munmap(at, bytes);
}

static void tap_close(struct source *source)
{
    struct tap *tap = (struct tap *)source;

    if (!tap)
        return;
    unmap(tap->consumer, tap->page);
    unmap(tap->producer, tap->page + 2 * tap->data_bytes);
    if (tap->fd >= 0)
        close(tap->fd);
    free(tap);
}

static const struct source_ops tap_ops = {
    tap_next, tap_stats, no_secret, tap_descriptor, tap_close,
};

/* Room for the data, or 0: no ring. */
static size_t room_of_map(int fd)
{
    struct bpf_map_info info = {0};
    union bpf_attr ask = {
        .info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof info, .info = (uintptr_t)&info}};

    if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &ask, sizeof ask) < 0 ||
        info.type != BPF_MAP_TYPE_RINGBUF)
        return 0;
    return info.max_entries;
}

static size_t room_of_file(const struct stat *status, size_t page)
{
    size_t bytes = (size_t)status->st_size;

    return status->st_size < 0 || bytes < 3 * page ? 0 : bytes - 2 * page;
}

/* The kernel maps the data of a ring twice by itself. */
static bool map_data(struct tap *tap)
{
    off_t after = (off_t)tap->page;
    size_t once = tap->page + tap->data_bytes, whole = once + tap->data_bytes;

    tap->producer = mmap(NULL, whole, PROT_READ, MAP_SHARED, tap->fd, after);
    if (tap->producer == MAP_FAILED || !tap->is_file)
        return tap->producer != MAP_FAILED;
    return mmap(tap->producer + once, tap->data_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, tap->fd,
                2 * after) != MAP_FAILED;
}

static bool map_ring(struct tap *tap)
{
    struct stat status;

    if (fstat(tap->fd, &status) < 0)
        return false;
    tap->page = (size_t)sysconf(_SC_PAGESIZE);
    tap->is_file = S_ISREG(status.st_mode);
    tap->data_bytes = tap->is_file ? room_of_file(&status, tap->page) : room_of_map(tap->fd);
    if (tap->data_bytes < tap->page || tap->data_bytes & (tap->data_bytes - 1)) {
        errno = EINVAL;
        return false;
    }
    tap->consumer = mmap(NULL, tap->page, PROT_READ | PROT_WRITE, MAP_SHARED, tap->fd, 0);
    if (tap->consumer == MAP_FAILED || !map_data(tap))
        return false;
    ring_begin(&tap->ring, (const uint64_t *)tap->producer, (uint64_t *)tap->consumer,
               tap->producer + tap->page, tap->data_bytes);
    return true;
}

struct source *tap_open(int fd, char error[SOURCE_ERROR_BYTES])
{
    struct tap *tap = calloc(1, sizeof *tap);

    if (!tap) {
        error_line(error, "tap: out of memory");
        return NULL;
    }
    tap->base.ops = &tap_ops;
    tap->base.live = true;
    tap->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (tap->fd >= 0 && map_ring(tap))
        return &tap->base;
    error_line(error, "tap: cannot map the ring: %m%s",
               errno == EINVAL ? " (it is no BPF ring buffer)" : "");
    tap_close(&tap->base);
    return NULL;
}
