/* A conversation of a framed protocol, fed as it is given and then byte by byte: the same messages
 * must come of it. When the flow is closed no byte may be accounted for any more. */
#ifndef HOPTAP_FUZZ_FRAMED_H
#define HOPTAP_FUZZ_FRAMED_H

#include "flow.h"
#include "framed.h"
#include "fuzz.h"
#include "hash64.h"
#include "protocol.h"

enum { MESSAGE_BYTES_MAX = (64 << 10) + 264 };

static inline void require(bool holds)
{
    if (!holds)
        abort();
}

static inline void framed_transaction(void *context, struct flow *flow,
                                      const struct transaction *transaction)
{
    (void)context, (void)flow, (void)transaction;
}

static inline void framed_header(void *context, struct flow *flow, struct slice header,
                                 uint64_t time_ns)
{
    (void)context, (void)flow, (void)header, (void)time_ns;
}

static inline void framed_chunk(void *context, struct flow *flow, enum direction direction,
                                struct slice chunk, uint64_t time_ns)
{
    (void)context, (void)flow, (void)direction, (void)chunk, (void)time_ns;
}

static inline void framed_gap(void *context, struct flow *flow, enum direction direction,
                              uint64_t bytes, uint64_t time_ns)
{
    (void)context, (void)flow, (void)direction, (void)bytes, (void)time_ns;
}

static inline void framed_message(void *context, struct flow *flow, enum direction direction,
                                  const struct framed *framed)
{
    uint64_t *hash = context;
    const uint64_t numbers[] = {framed->protocol, framed->flags, framed->size_bytes,
                                framed->start_ns, direction};
    (void)flow;
    require(framed->data.bytes <= MESSAGE_BYTES_MAX);
    require(framed->data.bytes <= framed->size_bytes);
    require(!(framed->flags & FRAMED_BULK) || (!framed->data.bytes && framed->size_bytes));
    *hash = hash64(*hash, (const uint8_t *)numbers, sizeof numbers);
    if (framed->data.bytes)
        *hash = hash64(*hash, framed->data.data, framed->data.bytes);
}

static inline void framed_feed(struct protocol *protocol, enum direction direction,
                               const uint8_t *data, size_t bytes, uint64_t time_ns, bool singly)
{
    if (!singly && bytes)
        protocol_data(protocol, direction, data, (uint32_t)bytes, time_ns);
    for (size_t at = 0; singly && at < bytes; at++) {
        uint8_t byte = data[at];
        protocol_data(protocol, direction, &byte, 1, time_ns);
    }
}

/* Steps of a byte (bit 0: direction; bits 1 to 3: 6 is a gap, else a chunk) and a length of two
 * bytes, a chunk followed by its bytes. True: there was a gap. */
static inline bool framed_steps(struct protocol *protocol, struct input input, bool singly)
{
    bool gaps = false;
    for (uint64_t time_ns = 1; input.bytes; time_ns++) {
        uint8_t step = take_byte(&input);
        enum direction direction = step & 1 ? TO_CLIENT : TO_SERVER;
        size_t bytes = take_number(&input);
        if ((step >> 1 & 7) == 6) {
            protocol_gap(protocol, direction, bytes + 1, time_ns);
            gaps = true;
            continue;
        }
        uint8_t *chunk = take_copy(&input, &bytes);
        framed_feed(protocol, direction, chunk, bytes, time_ns, singly);
        free(chunk);
    }
    return gaps;
}

/* False: what comes of it may depend on where the chunks end. */
static inline bool framed_run(struct input input, const char *greeting, bool singly,
                              const struct interest *interest, uint64_t *hash)
{
    struct budget budget = {.limit_bytes = fuzz_limits.memory_bytes_max};
    struct counters counters = {0};
    struct protocol_shared shared = {
        .limits = &fuzz_limits,
        .interest = interest,
        .budget = &budget,
        .counters = &counters,
        .operations = operations_open(&fuzz_limits, &counters),
        .changes = changes_open(),
        .sink = {hash, framed_transaction, framed_header, framed_chunk, framed_gap, NULL,
                 framed_message},
    };
    struct flow flow = {.port = {902, 40000}, .protocol = PROTO_TCP};
    struct protocol *protocol = protocol_open(&shared, &flow);
    bool gaps = false;
    *hash = 0;
    if (protocol) {
        framed_feed(protocol, TO_CLIENT, (const uint8_t *)greeting, strlen(greeting), 1, singly);
        gaps = framed_steps(protocol, input, singly);
        protocol_close(protocol, 1000000);
    }
    require(budget.used_bytes == 0);
    operations_close(shared.operations);
    changes_close(shared.changes);
    return !gaps && !counters.value[COUNT_memory_shed] && !counters.value[COUNT_http_requests] &&
           !counters.value[COUNT_http_resynchronised];
}

static inline int framed_both(const uint8_t *data, size_t bytes, const char *greeting)
{
    static struct interest *interest;
    if (!interest)
        interest = fuzz_interest();
    uint64_t whole, singly;
    struct input input = {data, bytes};
    bool same = framed_run(input, greeting, false, interest, &whole);
    same &= framed_run(input, greeting, true, interest, &singly);
    require(!same || whole == singly);
    return 0;
}

#endif
