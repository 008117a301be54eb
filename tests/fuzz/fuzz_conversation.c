/* A conversation as reassembly delivers it: chunks, gaps and ends of both directions, at any split.
 *
 * Input: first byte: whether the port is one whose opaque bytes are wanted; then steps of a byte
 * (bit 0: direction; bits 1 and 2: chunk 0 or 1, gap 2, end 3) and a length (two bytes), a chunk
 * followed by its bytes. When the flow is closed no byte may be accounted for any more. */
#include "flow.h"
#include "framed.h"
#include "fuzz.h"
#include "protocol.h"

static void on_transaction(void *context, struct flow *flow, const struct transaction *transaction)
{
    (void)flow;
    uint32_t *sum = context;
    const struct slice slices[] = {
        transaction->method,        transaction->target,       transaction->request_head,
        transaction->response_head, transaction->request_body, transaction->response_body,
        transaction->operation,     transaction->this_type,    transaction->this_id,
        transaction->operation_id,
    };
    for (size_t which = 0; which < sizeof slices / sizeof *slices; which++)
        for (uint32_t at = 0; at < slices[which].bytes; at++)
            *sum += slices[which].data[at];
}

static void on_slice(void *context, struct flow *flow, struct slice slice, uint64_t time_ns)
{
    (void)flow, (void)time_ns;
    uint32_t *sum = context;
    for (uint32_t at = 0; at < slice.bytes; at++)
        *sum += slice.data[at];
}

static void on_chunk(void *context, struct flow *flow, enum direction direction, struct slice chunk,
                     uint64_t time_ns)
{
    (void)direction;
    on_slice(context, flow, chunk, time_ns);
}

static void on_gap(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                   uint64_t time_ns)
{
    (void)context, (void)flow, (void)direction, (void)bytes, (void)time_ns;
}

static void on_message(void *context, struct flow *flow, enum direction direction,
                       const struct framed *framed)
{
    (void)direction;
    on_slice(context, flow, framed->data, framed->start_ns);
}

static void converse(struct protocol *protocol, struct input *input)
{
    bool ended[2] = {false, false};
    for (uint64_t time_ns = 1; input->bytes; time_ns++) {
        uint8_t step = take_byte(input);
        enum direction direction = step & 1 ? TO_CLIENT : TO_SERVER;
        size_t bytes = take_number(input);
        if (ended[direction])
            continue;
        if ((step >> 1 & 3) == 2) {
            protocol_gap(protocol, direction, bytes + 1, time_ns);
        } else if ((step >> 1 & 3) == 3) {
            protocol_end(protocol, direction, time_ns);
            ended[direction] = true;
        } else {
            uint8_t *chunk = take_copy(input, &bytes);
            if (bytes)
                protocol_data(protocol, direction, chunk, (uint32_t)bytes, time_ns);
            free(chunk);
        }
    }
    for (int direction = 0; direction < 2; direction++)
        if (!ended[direction])
            protocol_end(protocol, (enum direction)direction, 1000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct interest *interest;
    if (!interest)
        interest = fuzz_interest();
    struct budget budget = {.limit_bytes = fuzz_limits.memory_bytes_max};
    struct counters counters = {0};
    uint32_t sum = 0;
    struct protocol_shared shared = {
        .limits = &fuzz_limits,
        .interest = interest,
        .budget = &budget,
        .counters = &counters,
        .operations = operations_open(&fuzz_limits, &counters),
        .changes = changes_open(),
        .sink =
            {
                .context = &sum,
                .transaction = on_transaction,
                .proxy_header = on_slice,
                .chunk = on_chunk,
                .gap = on_gap,
                .message = on_message,
            },
    };
    struct input input = {data, bytes};
    struct flow flow = {.port = {take_byte(&input) & 1 ? 902 : 80, 40000}, .protocol = PROTO_TCP};
    struct protocol *protocol = protocol_open(&shared, &flow);
    if (protocol) {
        converse(protocol, &input);
        protocol_close(protocol, 1000001);
    }
    if (budget.used_bytes)
        abort(); /* something kept was not given back */
    operations_close(shared.operations);
    changes_close(shared.changes);
    return 0;
}
