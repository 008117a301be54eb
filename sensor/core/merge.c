/* One stream of packets from several sources, in packet time.
 *
 * A heap holds every source that is not over, by the time of its next packet; a source that is idle
 * stands there with the time up to which it is known to be quiet. So whoever is on top decides: a
 * packet goes out, an idle source is asked again and, if it has nothing still, waited for. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "errorline.h"
#include "source.h"

enum {
    /* A clock that was set back, or a pipe among interfaces, must not fill a ring. */
    PATIENCE_MS = 1000,
};

enum head_state { HEAD_STALE, HEAD_PACKET, HEAD_IDLE };

struct head {
    struct source *source; /* owned; closed in merge_close */
    enum head_state state; /* stale: its packet went out, or it was never asked */
    uint64_t time_ns;      /* of the packet, or quiet until */
    struct packet packet;
};

struct merge {
    struct source base;
    struct head *heads; /* by index of the source; owned */
    size_t count;
    size_t *heap; /* indices into heads; owned */
    size_t heap_count;
    struct pollfd *ready; /* owned; room for every source */
    uint64_t ordinal;
    int64_t held_since_ms; /* a packet of an interface waits for an idle source; 0: none does */
    bool overtakes;        /* the packet on top has waited long enough */
    bool failed;
};

static int64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool before(const struct merge *merge, size_t a, size_t b)
{
    uint64_t a_ns = merge->heads[a].time_ns, b_ns = merge->heads[b].time_ns;

    return a_ns < b_ns || (a_ns == b_ns && a < b);
}

static void sift_down(struct merge *merge, size_t at)
{
    size_t *heap = merge->heap;

    for (;;) {
        size_t child = 2 * at + 1, moving = heap[at];
        if (child >= merge->heap_count)
            return;
        if (child + 1 < merge->heap_count && before(merge, heap[child + 1], heap[child]))
            child++;
        if (!before(merge, heap[child], moving))
            return;
        heap[at] = heap[child];
        heap[child] = moving;
        at = child;
    }
}

static void order_heap(struct merge *merge)
{
    for (size_t at = merge->heap_count / 2; at-- > 0;)
        sift_down(merge, at);
}

static void report(struct merge *merge, const char *line)
{
    size_t used = strlen(merge->base.error);
    size_t chars = strlen(line);

    merge->failed = true;
    if (used == 0)
        memcpy(merge->base.error, line, chars + 1);
    else if (chars + 2 < SOURCE_ERROR_BYTES - used) {
        memcpy(merge->base.error + used, "; ", 2);
        memcpy(merge->base.error + used + 2, line, chars + 1);
    }
}

/* Asks the source of a head without waiting. False when it is over. */
static bool ask(struct merge *merge, struct head *head)
{
    enum source_verdict verdict = head->source->ops->next(head->source, &head->packet, 0);

    head->time_ns = head->packet.time_ns;
    if (verdict == SOURCE_PACKET)
        head->state = HEAD_PACKET;
    else if (verdict == SOURCE_IDLE)
        head->state = HEAD_IDLE;
    else {
        if (verdict == SOURCE_ERROR)
            report(merge, head->source->error);
        return false;
    }
    return true;
}

/* Asks the source on top and puts it where it belongs. */
static void ask_top(struct merge *merge)
{
    if (!ask(merge, &merge->heads[merge->heap[0]]))
        merge->heap[0] = merge->heap[--merge->heap_count];
    sift_down(merge, 0);
}

/* Asks every source that has no packet. */
static void ask_all(struct merge *merge)
{
    size_t kept = 0;

    for (size_t i = 0; i < merge->heap_count; i++) {
        struct head *head = &merge->heads[merge->heap[i]];
        if (head->state == HEAD_PACKET || ask(merge, head))
            merge->heap[kept++] = merge->heap[i];
    }
    merge->heap_count = kept;
    order_heap(merge);
}

/* The earliest packet there is, whoever stands before it; NULL: all are idle. */
static struct head *earliest_packet(struct merge *merge)
{
    size_t earliest = SIZE_MAX;

    for (size_t i = 0; i < merge->heap_count; i++) {
        size_t which = merge->heap[i];
        if (merge->heads[which].state == HEAD_PACKET &&
            (earliest == SIZE_MAX || before(merge, which, earliest)))
            earliest = which;
    }
    return earliest == SIZE_MAX ? NULL : &merge->heads[earliest];
}

/* The packet of an interface has waited for PATIENCE_MS: idle sources step behind it. */
static bool overtake(struct merge *merge, const struct head *waiting)
{
    if (!waiting || !waiting->source->live)
        return false;
    int64_t now_ms = monotonic_ms();
    if (!merge->held_since_ms)
        merge->held_since_ms = now_ms;
    if (now_ms - merge->held_since_ms < PATIENCE_MS)
        return false;
    for (size_t i = 0; i < merge->heap_count; i++) {
        struct head *head = &merge->heads[merge->heap[i]];
        if (head->state == HEAD_IDLE && head->time_ns <= waiting->time_ns)
            head->time_ns = waiting->time_ns + 1;
    }
    order_heap(merge);
    merge->overtakes = true;
    return true;
}

/* How long a wait for the idle source on top may be useful: the clock of an interface reaches the
 * time of the waiting packet by itself, and a packet of an interface has its patience. */
static int64_t worthwhile_ms(const struct merge *merge, const struct head *waiting,
                             int64_t left_ms)
{
    const struct head *top = &merge->heads[merge->heap[0]];
    int64_t most_ms = INT32_MAX;

    if (waiting && waiting->source->live)
        most_ms = PATIENCE_MS;
    if (waiting && top->source->live &&
        waiting->time_ns - top->time_ns < (uint64_t)PATIENCE_MS * 1000000)
        most_ms = (int64_t)((waiting->time_ns - top->time_ns) / 1000000) + 1;
    if (left_ms < 0)
        return most_ms == INT32_MAX ? -1 : most_ms;
    return left_ms < most_ms ? left_ms : most_ms;
}

/* Sleeps until a source without a packet may have one. */
static void wait_for_idle(struct merge *merge, const struct head *waiting, int64_t left_ms)
{
    nfds_t count = 0;

    for (size_t i = 0; i < merge->heap_count; i++) {
        const struct head *head = &merge->heads[merge->heap[i]];
        if (head->state == HEAD_IDLE)
            merge->ready[count++] = (struct pollfd){
                .fd = head->source->ops->descriptor(head->source),
                .events = POLLIN,
            };
    }
    poll(merge->ready, count, (int)worthwhile_ms(merge, waiting, left_ms));
}

static enum source_verdict idle(const struct merge *merge, struct packet *packet)
{
    uint64_t quiet_ns = merge->heads[merge->heap[0]].time_ns;

    /* A packet of that very time may still wait behind the source on top. */
    packet->time_ns = quiet_ns ? quiet_ns - 1 : 0;
    return SOURCE_IDLE;
}

static enum source_verdict emit(struct merge *merge, struct packet *packet)
{
    struct head *head = &merge->heads[merge->heap[0]];

    if (!merge->overtakes)
        merge->held_since_ms = 0;
    merge->overtakes = false;
    head->state = HEAD_STALE;
    *packet = head->packet;
    packet->ordinal = merge->ordinal++;
    return SOURCE_PACKET;
}

/* The source on top is idle: asks again, and waits within timeout_ms. False: still idle. */
static bool await_top(struct merge *merge, int timeout_ms, int64_t *until_ms)
{
    ask_all(merge);
    if (!merge->heap_count || merge->heads[merge->heap[0]].state == HEAD_PACKET)
        return true;
    const struct head *waiting = earliest_packet(merge);
    if (overtake(merge, waiting))
        return true;
    if (timeout_ms == 0)
        return false;
    int64_t now_ms = monotonic_ms();
    if (timeout_ms > 0 && *until_ms < 0)
        *until_ms = now_ms + timeout_ms;
    if (timeout_ms > 0 && now_ms >= *until_ms)
        return false;
    wait_for_idle(merge, waiting, timeout_ms > 0 ? *until_ms - now_ms : -1);
    return true;
}

static enum source_verdict merge_next(struct source *source, struct packet *packet,
                                      int timeout_ms)
{
    struct merge *merge = (struct merge *)source;
    int64_t until_ms = -1;

    while (merge->heap_count) {
        switch (merge->heads[merge->heap[0]].state) {
        case HEAD_PACKET:
            return emit(merge, packet);
        case HEAD_STALE:
            ask_top(merge);
            break;
        case HEAD_IDLE:
            if (!await_top(merge, timeout_ms, &until_ms))
                return idle(merge, packet);
            break;
        }
    }
    return merge->failed ? SOURCE_ERROR : SOURCE_END;
}

static void merge_stats(const struct source *source, struct source_stats *stats)
{
    const struct merge *merge = (const struct merge *)source;

    *stats = (struct source_stats){0};
    for (size_t i = 0; i < merge->count; i++) {
        struct source_stats one;
        merge->heads[i].source->ops->stats(merge->heads[i].source, &one);
        stats->received += one.received;
        stats->dropped += one.dropped;
        stats->frozen += one.frozen;
        stats->truncated += one.truncated;
        stats->secrets_shed += one.secrets_shed;
        if (one.last_ns > stats->last_ns)
            stats->last_ns = one.last_ns;
    }
}

/* Those of the first source, then of the next: an index shifts while more are read. */
static const uint8_t *merge_secret(const struct source *source, size_t index,
                                   uint32_t *secrets_type, size_t *bytes)
{
    const struct merge *merge = (const struct merge *)source;

    for (size_t i = 0; i < merge->count; i++) {
        const struct source *one = merge->heads[i].source;
        uint32_t type;
        size_t ignored, has = 0;
        while (has <= index && one->ops->secret(one, has, &type, &ignored))
            has++;
        if (index < has)
            return one->ops->secret(one, index, secrets_type, bytes);
        index -= has;
    }
    return NULL;
}

static int merge_descriptor(const struct source *source)
{
    (void)source;
    return -1;
}

static void merge_close(struct source *source)
{
    struct merge *merge = (struct merge *)source;

    if (!merge)
        return;
    for (size_t i = 0; i < merge->count; i++)
        merge->heads[i].source->ops->close(merge->heads[i].source);
    free(merge->heads);
    free(merge->heap);
    free(merge->ready);
    free(merge);
}

static const struct source_ops merge_ops = {
    merge_next, merge_stats, merge_secret, merge_descriptor, merge_close,
};

/* Room for the bookkeeping of `count` sources, none taken yet. */
static struct merge *merge_room(size_t count)
{
    struct merge *merge = calloc(1, sizeof *merge);

    if (!merge)
        return NULL;
    merge->base.ops = &merge_ops;
    merge->heads = calloc(count, sizeof *merge->heads);
    merge->heap = calloc(count, sizeof *merge->heap);
    merge->ready = calloc(count, sizeof *merge->ready);
    if (merge->heads && merge->heap && merge->ready)
        return merge;
    merge_close(&merge->base);
    return NULL;
}

struct source *merge_open(struct source **sources, size_t count, char error[SOURCE_ERROR_BYTES])
{
    /* Every source numbers its own packets from 0: alone, it is its own merger. */
    if (count == 1)
        return sources[0];
    struct merge *merge = count ? merge_room(count) : NULL;
    if (!merge) {
        error_line(error, count ? "out of memory" : "no source to read");
        for (size_t i = 0; i < count; i++)
            sources[i]->ops->close(sources[i]);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        merge->heads[i].source = sources[i];
        merge->heap[i] = i;
    }
    merge->count = merge->heap_count = count;
    return &merge->base;
}
