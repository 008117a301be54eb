#include "batch.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* A batch is full when either is reached: large enough to amortise the GIL, small enough
     * that a live record is not late and a batch stays in the last-level cache. */
    FULL_EVENTS = 2048,
    FULL_BYTES = 2 << 20,
    FIRST_EVENTS = 256,
    FIRST_BYTES = 64 << 10,
    ALIGNMENT = 8,
};

struct batch *batch_open(void)
{
    return calloc(1, sizeof(struct batch));
}

bool batch_full(const struct batch *batch)
{
    return batch->event_count >= FULL_EVENTS || batch->arena_bytes >= FULL_BYTES;
}

/* Grows by copy, not realloc, so that the old arena can be wiped: it holds credentials. */
static bool reserve(struct batch *batch, size_t bytes)
{
    if (bytes <= batch->arena_room - batch->arena_bytes)
        return true;
    size_t room = batch->arena_room ? batch->arena_room : FIRST_BYTES;
    while (bytes > room - batch->arena_bytes)
        room *= 2;
    uint8_t *arena = malloc(room);
    if (!arena)
        return false;
    if (batch->arena_bytes) {
        memcpy(arena, batch->arena, batch->arena_bytes);
        explicit_bzero(batch->arena, batch->arena_bytes);
    }
    free(batch->arena);
    batch->arena = arena;
    batch->arena_room = room;
    return true;
}

/* Caller has reserved. */
static struct extent store(struct batch *batch, const void *data, uint32_t bytes)
{
    struct extent extent = {batch->arena_bytes, bytes};
    if (bytes)
        memcpy(batch->arena + batch->arena_bytes, data, bytes);
    batch->arena_bytes += bytes;
    return extent;
}

static size_t store_aligned(struct batch *batch, const void *data, uint32_t bytes)
{
    batch->arena_bytes += -batch->arena_bytes & (ALIGNMENT - 1);
    return store(batch, data, bytes).at;
}

static struct event *add_event(struct batch *batch, enum event_kind kind, const struct flow *flow,
                               enum direction direction)
{
    if (batch->event_count == batch->event_room) {
        size_t room = batch->event_room ? batch->event_room * 2 : FIRST_EVENTS;
        struct event *events = realloc(batch->events, room * sizeof *events);
        if (!events) {
            batch->lost++;
            return NULL;
        }
        batch->events = events;
        batch->event_room = room;
    }
    struct event *event = &batch->events[batch->event_count++];
    event->kind = (uint8_t)kind;
    event->direction = (uint8_t)direction;
    event->flow = flow->number;
    event->time_ns = batch->time_ns;
    event->ordinal = batch->ordinal;
    return event;
}

static void describe_tap(struct flow_description *description, const struct flow_tap *tap)
{
    description->tap = *tap;
    if (!tap->process || tap->process->pid != tap->pid)
        return;
    memcpy(description->process, tap->process->name, sizeof description->process);
    memcpy(description->cgroup, tap->process->cgroup, sizeof description->cgroup);
}

static void describe(struct batch *batch, struct flow *flow)
{
    if (flow->announced)
        return;
    struct flow_description description = {
        .port = {flow->port[0], flow->port[1]},
        .protocol = flow->protocol,
        .tunnel = flow->tunnel,
        .vlan = flow->vlan,
        .source = flow->source,
    };
    memcpy(description.address, flow->address, sizeof description.address);
    flow_uid(flow, description.uid);
    if (flow->tapped)
        describe_tap(&description, flow->tap);
    if (!flow->tapped || flow->tap->placed)
        community_id(flow, 0, description.community);
    struct event *event = NULL;
    if (reserve(batch, sizeof description + ALIGNMENT))
        event = add_event(batch, EVENT_FLOW, flow, TO_SERVER);
    if (!event)
        return;
    event->value.at = store_aligned(batch, &description, sizeof description);
    flow->announced = true;
}

void batch_transaction(struct batch *batch, struct flow *flow,
                       const struct transaction *transaction)
{
    const struct slice slices[TRANSACTION_SLICES] = {
        transaction->method,        transaction->target,        transaction->request_head,
        transaction->response_head, transaction->request_body,  transaction->response_body,
        transaction->operation,     transaction->this_type,     transaction->this_id,
        transaction->operation_id,
    };
    struct event_transaction stored = {
        .request_ns = transaction->request_ns,
        .response_ns = transaction->response_ns,
        .end_ns = transaction->end_ns,
        .status = transaction->status,
        .flags = transaction->flags,
    };
    size_t bytes = sizeof stored + ALIGNMENT;
    for (int i = 0; i < TRANSACTION_SLICES; i++)
        bytes += slices[i].bytes;
    describe(batch, flow);
    struct event *event = NULL;
    if (reserve(batch, bytes))
        event = add_event(batch, EVENT_TRANSACTION, flow, TO_SERVER);
    if (!event)
        return;
    for (int i = 0; i < TRANSACTION_SLICES; i++)
        stored.slice[i] = store(batch, slices[i].data, slices[i].bytes);
    event->value.at = store_aligned(batch, &stored, sizeof stored);
}

void batch_bytes(struct batch *batch, enum event_kind kind, struct flow *flow,
                 enum direction direction, struct slice bytes)
{
    describe(batch, flow);
    struct event *event = NULL;
    if (reserve(batch, bytes.bytes))
        event = add_event(batch, kind, flow, direction);
    if (event)
        event->value.bytes = store(batch, bytes.data, bytes.bytes);
}

void batch_gap(struct batch *batch, struct flow *flow, enum direction direction,
               uint64_t gap_bytes)
{
    describe(batch, flow);
    struct event *event = add_event(batch, EVENT_GAP, flow, direction);
    if (event)
        event->value.gap_bytes = gap_bytes;
}

void batch_tls(struct batch *batch, struct flow *flow, const struct tls_info *info)
{
    describe(batch, flow);
    struct event *event = NULL;
    if (reserve(batch, sizeof *info + ALIGNMENT))
        event = add_event(batch, EVENT_TLS, flow, TO_SERVER);
    if (event)
        event->value.at = store_aligned(batch, info, sizeof *info);
}

void batch_message(struct batch *batch, struct flow *flow, enum direction direction,
                   const struct framed *framed)
{
    struct event_message stored = {
        .size_bytes = framed->size_bytes,
        .start_ns = framed->start_ns,
        .session = framed->session,
        .protocol = framed->protocol,
        .flags = framed->flags,
    };
    describe(batch, flow);
    struct event *event = NULL;
    if (reserve(batch, sizeof stored + ALIGNMENT + framed->data.bytes))
        event = add_event(batch, EVENT_MESSAGE, flow, direction);
    if (!event)
        return;
    stored.data = store(batch, framed->data.data, framed->data.bytes);
    event->value.at = store_aligned(batch, &stored, sizeof stored);
}

void batch_flow_end(struct batch *batch, struct flow *flow)
{
    if (!flow->announced)
        return;
    struct event *event = add_event(batch, EVENT_FLOW_END, flow, TO_SERVER);
    if (!event)
        return;
    memcpy(event->value.totals.packets, flow->packets, sizeof flow->packets);
    memcpy(event->value.totals.bytes, flow->bytes, sizeof flow->bytes);
}

void batch_close(struct batch *batch)
{
    if (!batch)
        return;
    if (batch->arena_bytes)
        explicit_bzero(batch->arena, batch->arena_bytes);
    free(batch->arena);
    free(batch->events);
    free(batch);
}
