/* links: protocol.c protocol_tls.c tls*.c http1.c http1_chunked.c http1_seek.c http1_head.c http1_start.c http1_pair.c http1_choice.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c tokens.c kept.c */
/* HTTP/1 as reassembly delivers it, twice: as it comes, and byte by byte.
 *
 * Input as in fuzz_conversation.c: the first byte chooses the port and the memory; then steps of a
 * byte (bit 0: direction; bits 1 and 2: chunk 0 or 1, gap 2, end 3) and a length, a chunk followed
 * by its bytes. Every transaction is counted once, all memory given back; and where nothing is
 * lost, cut short or out of step, the splits make no difference. */
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

/* True when nothing was lost, so that the result may not depend on the splits. */
static bool run(struct input input, bool singly, struct seen *seen)
{
    static struct interest *interest;
    if (!interest)
        interest = new_interest();
    uint8_t choice = take_byte(&input);
    struct budget budget = {.limit_bytes = choice & 2 ? 512 + (size_t)choice * 32 : 1 << 24};
    struct flow flow = {.protocol = PROTO_TCP, .port = {choice & 1 ? 902 : 80, 50000}};
    struct counters counters = {0};
    struct operations *operations = operations_open(&fuzz_limits, &counters);
    struct protocol_shared shared = {
        &fuzz_limits,
        interest,
        &budget,
        &counters,
        operations,
        NULL,
        {seen, on_transaction, on_proxy_header, on_chunk, on_gap},
    };
    struct protocol *protocol = protocol_open(&shared, &flow);
    bool gaps = protocol && converse(protocol, input, singly);
    uint64_t counted = counters.value[COUNT_operations_uncounted];
    for (uint32_t i = 0; operations_row(operations, i); i++) {
        for (int outcome = 0; outcome < OUTCOMES; outcome++)
            counted += operations_row(operations, i)->count[outcome];
    }
    require(counted == counters.value[COUNT_http_transactions]);
    require(seen->handed_up == counters.value[COUNT_http_transactions_handed_up]);
    require(budget.used_bytes == 0);
    operations_close(operations);
    return !gaps && !counters.value[COUNT_http_malformed] && !counters.value[COUNT_memory_shed] &&
           !counters.value[COUNT_http_resynchronised];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = {data, bytes};
    struct seen whole = {0}, singly = {0};
    if (run(input, false, &whole) && run(input, true, &singly))
        require(memcmp(&whole, &singly, sizeof whole) == 0);
    return 0;
}
