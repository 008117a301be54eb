/* A ring in a file, one who writes into it as a kernel program would, and the path behind it: tap,
 * sessions, flows. What comes out is text, a word for each event:
 *   1>abc  1<abc  flow 1 to the server, to the client    1>(5)  bytes missing
 *   1>|    that direction is over                        1.     the flow is, and was forgotten */
#ifndef HOPTAP_TAP_RIG_H
#define HOPTAP_TAP_RIG_H

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <linux/bpf.h>

#include "check.h"
#include "tap.h"
#include "tapped.h"

enum { RING_BYTES = 1 << 16, LOG_BYTES = 1 << 20, SECRET_BYTES = 256, PAGE = 4096 };

struct rig {
    uint8_t *file; /* positions in a page each, then the data */
    int fd;
    struct source *source;
    struct limits limits;
    struct budget budget;
    struct counters counters;
    struct flow_table *flows;
    struct tapped *tapped;
    struct flow *last; /* of the last event */
    bool quiet;        /* does not log what was said */
    char secret[SECRET_BYTES];
    char *log;
    size_t logged;
};

static void put_word(struct rig *rig, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int chars = vsnprintf(rig->log + rig->logged, LOG_BYTES - rig->logged, format, arguments);
    va_end(arguments);
    rig->logged += (size_t)chars;
    if (rig->logged >= LOG_BYTES)
        abort();
}

static void on_data(void *context, struct flow *flow, enum direction direction,
                    const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    struct rig *rig = context;
    static uint64_t latest_ns[1 << 16];
    uint64_t *latest = &latest_ns[flow->number % (1 << 16)];
    if (flow->packets[TO_SERVER] + flow->packets[TO_CLIENT] == 1)
        *latest = 0;
    CHECK(time_ns >= *latest);
    *latest = time_ns;
    rig->last = flow;
    if (!rig->quiet)
        put_word(rig, " %u%c%.*s", flow->number, "><"[direction], (int)bytes, (const char *)data);
}

static void on_gap(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                   uint64_t time_ns)
{
    struct rig *rig = context;
    (void)time_ns;
    rig->last = flow;
    put_word(rig, " %u%c(%llu)", flow->number, "><"[direction], (unsigned long long)bytes);
}

static void on_close(void *context, struct flow *flow, enum direction direction, uint64_t time_ns)
{
    (void)time_ns;
    put_word(context, " %u%c|", flow->number, "><"[direction]);
}

static void on_ended(void *context, struct flow *flow, uint64_t time_ns)
{
    struct rig *rig = context;
    (void)time_ns;
    put_word(rig, " %u.", flow->number);
    rig->last = NULL;
    tapped_ended(rig->tapped, flow);
}

static void on_forget(void *context, struct flow *flow, uint64_t time_ns)
{
    (void)time_ns;
    put_word(context, " %u?", flow->number);
}

static void on_secret(void *context, const char *line, size_t bytes)
{
    struct rig *rig = context;
    size_t kept = bytes < SECRET_BYTES ? bytes : SECRET_BYTES - 1;
    memcpy(rig->secret, line, kept);
    rig->secret[kept] = 0;
}

static void set_up(struct rig *rig)
{
    char error[SOURCE_ERROR_BYTES];
    *rig = (struct rig){.limits = {.flows_max = 64, .flow_idle_timeout_ms = 60000,
                                   .flow_closed_timeout_ms = 1000, .stream_gap_timeout_ms = 2000}};
    rig->budget.limit_bytes = 1 << 22;
    rig->fd = memfd_create("ring", MFD_CLOEXEC);
    CHECK(ftruncate(rig->fd, 2 * PAGE + RING_BYTES) == 0);
    rig->file = mmap(NULL, 2 * PAGE + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, rig->fd, 0);
    CHECK(rig->file != MAP_FAILED);
    rig->source = tap_open(rig->fd, error);
    CHECK(rig->source);
    struct stream_sink sink = {rig, on_data, on_gap, on_close};
    rig->flows =
        flow_table_open(&rig->limits, &rig->budget, &rig->counters, &sink, on_ended, rig);
    struct tapped_options options = {&rig->limits, &rig->budget, &rig->counters, rig->flows, sink,
                                     on_secret,    on_forget,    rig,            rig->source};
    rig->tapped = tapped_open(&options);
    rig->log = malloc(LOG_BYTES);
    CHECK(rig->flows && rig->tapped && rig->log);
}

static void tear_down(struct rig *rig)
{
    flow_table_close(rig->flows);
    tapped_close(rig->tapped);
    rig->source->ops->close(rig->source);
    CHECK(rig->budget.used_bytes == 0);
    munmap(rig->file, 2 * PAGE + RING_BYTES);
    close(rig->fd);
    free(rig->log);
}

static uint64_t *position(struct rig *rig, bool produced)
{
    return (uint64_t *)(rig->file + (produced ? PAGE : 0));
}

static uint8_t *byte_at(struct rig *rig, uint64_t at)
{
    return rig->file + 2 * PAGE + at % RING_BYTES;
}

static uint64_t room(struct rig *rig)
{
    return RING_BYTES - (*position(rig, true) - *position(rig, false));
}

/* A record; `flags` are the busy and discard bits. Returns where it begins. */
static uint64_t put_record(struct rig *rig, const void *data, uint32_t bytes, uint32_t flags)
{
    uint64_t at = *position(rig, true);
    uint32_t head = bytes | flags;
    for (uint32_t i = 0; i < bytes; i++)
        *byte_at(rig, at + BPF_RINGBUF_HDR_SZ + i) = ((const uint8_t *)data)[i];
    memcpy(byte_at(rig, at), &head, sizeof head);
    __atomic_store_n(position(rig, true), at + ((bytes + BPF_RINGBUF_HDR_SZ + 7) & ~7ull),
                     __ATOMIC_RELEASE);
    return at;
}

static void put_event(struct rig *rig, const struct tap_event *event, const void *data)
{
    static uint8_t record[sizeof *event + TAP_DATA_BYTES_MAX];
    memcpy(record, event, sizeof *event);
    memcpy(record + sizeof *event, data, event->size);
    put_record(rig, record, (uint32_t)sizeof *event + event->size, 0);
}

/* A process that reads and writes on a session; its offsets are counted here. */
struct talk {
    struct rig *rig;
    struct tap_event event;
    uint64_t offset[2];
    uint64_t told[2]; /* up to the last that came through */
};

static struct talk talk_of(struct rig *rig, uint64_t session, uint8_t role)
{
    return (struct talk){
        .rig = rig,
        .event = {.session = session, .generation = 7, .pid = 4000000, .fd = -1, .role = role},
    };
}

static void says(struct talk *talk, uint8_t direction, const char *data, uint32_t bytes)
{
    talk->event.kind = TAP_DATA;
    talk->event.direction = direction;
    talk->event.size = bytes;
    talk->event.offset = talk->offset[direction];
    talk->offset[direction] += bytes;
    talk->told[direction] = talk->offset[direction];
    put_event(talk->rig, &talk->event, data);
}

static void reads(struct talk *talk, const char *text)
{
    says(talk, TAP_READ, text, (uint32_t)strlen(text));
}

static void writes(struct talk *talk, const char *text)
{
    says(talk, TAP_WRITTEN, text, (uint32_t)strlen(text));
}

static void sums_up(struct talk *talk, uint8_t kind)
{
    struct tap_totals totals = {{talk->offset[0], talk->offset[1]},
                                {talk->told[0], talk->told[1]}};
    talk->event.kind = kind;
    talk->event.size = sizeof totals;
    put_event(talk->rig, &talk->event, &totals);
}

static void closes(struct talk *talk, bool totals)
{
    if (totals) {
        sums_up(talk, TAP_CLOSE);
        return;
    }
    talk->event.kind = TAP_CLOSE;
    talk->event.size = 0;
    put_event(talk->rig, &talk->event, "");
}

/* The process ended; of its sessions, those that had begun by `until`. */
static void ends(const struct talk *talk, uint64_t until)
{
    struct tap_event event = {.pid = talk->event.pid, .fd = -1, .kind = TAP_CLOSE,
                              .generation = until};
    put_event(talk->rig, &event, "");
}

/* Takes everything that is in the ring. */
static void take_all(struct rig *rig)
{
    struct packet packet;
    while (rig->source->ops->next(rig->source, &packet, 0) == SOURCE_PACKET) {
        flow_table_advance(rig->flows, packet.time_ns);
        tapped_event(rig->tapped, &packet);
    }
}

static uint64_t counted(const struct rig *rig, enum counter which)
{
    return rig->counters.value[which];
}

/* What came out since the last look. */
static bool came(struct rig *rig, const char *expected)
{
    take_all(rig);
    bool same = strcmp(rig->log, rig->logged ? expected : "") == 0 || !*expected;
    same = same && (rig->logged != 0) == (*expected != 0);
    if (!same)
        fprintf(stderr, "expected:%s\ncame:    %s\n", expected, rig->log);
    rig->logged = 0;
    rig->log[0] = 0;
    return same;
}

#endif
