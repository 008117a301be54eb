/* HTTP as reassembly delivers it, twice: as it comes, and byte by byte.
 *
 * Input as in fuzz_conversation.c: the first byte chooses the port and the memory; then steps of a
 * byte (bit 0: direction; bits 1 and 2: chunk 0 or 1, gap 2, end 3) and a length, a chunk followed
 * by its bytes. Every transaction is counted once, and all memory given back. */
#ifndef HOPTAP_FUZZ_HTTP_H
#define HOPTAP_FUZZ_HTTP_H

#include "flow.h"
#include "fuzz.h"
#include "hash64.h"
#include "protocol.h"

enum { STEP_GAP = 2, STEP_END = 3 };

struct seen {
    uint64_t transactions; /* hash of all of them, in order */
    uint64_t handed_up;
    uint64_t stream[2];
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static uint64_t add_slice(uint64_t hash, struct slice slice)
{
    return slice.bytes ? hash64(hash, slice.data, slice.bytes) : hash + 1;
}

static void on_transaction(void *context, struct flow *flow, const struct transaction *transaction)
{
    struct seen *seen = context;
    (void)flow;
    const struct slice slices[] = {
        transaction->method,        transaction->target,       transaction->request_head,
        transaction->response_head, transaction->request_body, transaction->response_body,
        transaction->operation,     transaction->this_type,    transaction->this_id,
        transaction->operation_id,
    };
    uint64_t numbers[] = {transaction->request_ns, transaction->response_ns, transaction->end_ns,
                          transaction->status, transaction->flags};
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        seen->transactions = add_slice(seen->transactions, slices[i]);
    seen->transactions = hash64(seen->transactions, (const uint8_t *)numbers, sizeof numbers);
    seen->handed_up++;
    require((transaction->status == 0) == !!(transaction->flags & TRANSACTION_NO_RESPONSE));
}

static void on_proxy_header(void *context, struct flow *flow, struct slice header, uint64_t time_ns)
{
    struct seen *seen = context;
    (void)flow;
    seen->transactions = add_slice(seen->transactions + time_ns, header);
}

static void on_chunk(void *context, struct flow *flow, enum direction direction, struct slice chunk,
                     uint64_t time_ns)
{
    struct seen *seen = context;
    (void)flow;
    (void)time_ns;
    for (uint32_t i = 0; i < chunk.bytes; i++)
        seen->stream[direction] = hash64_mix(seen->stream[direction] + 3, chunk.data[i] + 5u);
}

static void on_gap(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                   uint64_t time_ns)
{
    struct seen *seen = context;
    (void)flow;
    (void)time_ns;
    seen->stream[direction] += bytes;
}

static void on_message(void *context, struct flow *flow, enum direction direction,
                       const struct framed *framed)
{
    (void)context, (void)flow, (void)direction, (void)framed;
}

static struct interest *new_interest(void)
{
    static const char *const needle = "needle";
    struct needles none = {0}, one = {&needle, 1};
    unsigned both = WANT_REQUEST_BODY | WANT_RESPONSE_BODY;
    struct interest *interest = interest_open();
    require(interest_add_operation(interest, "Log*", both, none, none) &&
            interest_add_operation(interest, "Fetch", both | WANT_FAILED_ONLY, none, none) &&
            interest_add_path(interest, "*", "/a*", both, one, none) &&
            interest_add_path(interest, "*", "/b*", both, none, none) &&
            interest_add_token_header(interest, "x-token") &&
            interest_add_token_cookie(interest, "sid") &&
            interest_add_port(interest, PROTO_TCP, 902));
    return interest;
}

static void feed(struct protocol *protocol, enum direction direction, const uint8_t *chunk,
                 uint32_t bytes, uint64_t time_ns, bool singly)
{
    if (!singly && bytes)
        protocol_data(protocol, direction, chunk, bytes, time_ns);
    for (uint32_t at = 0; singly && at < bytes; at++) {
        uint8_t byte = chunk[at]; /* a variable of its own, so that a read past it is found */
        protocol_data(protocol, direction, &byte, 1, time_ns);
    }
}

/* True when gaps were among the steps. */
static bool converse(struct protocol *protocol, struct input input, bool singly)
{
    bool gaps = false;
    uint64_t time_ns = 1;
    for (; input.bytes; time_ns++) {
        uint8_t step = take_byte(&input);
        size_t bytes = take_number(&input);
        enum direction direction = step & 1 ? TO_CLIENT : TO_SERVER;
        uint8_t kind = step >> 1 & 3;
        if (kind == STEP_END) {
            protocol_end(protocol, direction, time_ns);
        } else if (kind == STEP_GAP) {
            protocol_gap(protocol, direction, bytes + 1, time_ns);
            gaps = true;
        } else {
            uint8_t *chunk = take_copy(&input, &bytes);
            feed(protocol, direction, chunk, (uint32_t)bytes, time_ns, singly);
            free(chunk);
        }
    }
    protocol_close(protocol, time_ns);
    return gaps;
}

/* What both ends say before the input. */
struct opening {
    const uint8_t *said[2];
    uint32_t bytes[2];
};

struct run {
    struct seen seen;
    struct counters counters;
    bool gaps;
};

static void run(struct input input, const struct opening *opening, bool singly, struct run *run)
{
    static struct interest *interest;
    if (!interest)
        interest = new_interest();
    uint8_t choice = take_byte(&input);
    struct budget budget = {.limit_bytes = choice & 2 ? 512 + (size_t)choice * 32 : 1 << 24};
    struct flow flow = {.protocol = PROTO_TCP, .port = {choice & 1 ? 902 : 80, 50000}};
    *run = (struct run){0};
    struct operations *operations = operations_open(&fuzz_limits, &run->counters);
    struct protocol_shared shared = {
        &fuzz_limits,
        interest,
        &budget,
        &run->counters,
        operations,
        NULL,
        {&run->seen, on_transaction, on_proxy_header, on_chunk, on_gap, NULL, on_message},
    };
    struct protocol *protocol = protocol_open(&shared, &flow);
    for (int each = TO_SERVER; protocol && each <= TO_CLIENT; each++)
        feed(protocol, (enum direction)each, opening->said[each], opening->bytes[each], 1, singly);
    run->gaps = protocol && converse(protocol, input, singly);
    const uint64_t *counters = run->counters.value;
    uint64_t counted = counters[COUNT_operations_uncounted];
    for (uint32_t i = 0; operations_row(operations, i); i++) {
        for (int outcome = 0; outcome < OUTCOMES; outcome++)
            counted += operations_row(operations, i)->count[outcome];
    }
    require(counted == counters[COUNT_http_transactions]);
    require(run->seen.handed_up == counters[COUNT_http_transactions_handed_up]);
    require(budget.used_bytes == 0);
    operations_close(operations);
}

#endif
