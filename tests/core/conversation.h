/* A conversation of one flow, fed to the protocol code in several ways that must all give the same
 * result.
 *
 * A row is a list of pieces: what the client says, what the server says, gaps, ends. The result is
 * text: a line for each transaction, PROXY header, gap and run of chunks, then the counters that
 * tell of trouble. Packet time is the number of the piece, from 1. */
#ifndef HOPTAP_CONVERSATION_H
#define HOPTAP_CONVERSATION_H

#include <stdarg.h>
#include <stdlib.h>

#include "check.h"
#include "flow.h"
#include "framed.h"
#include "protocol.h"

enum piece_kind { PIECE_NONE, PIECE_DATA, PIECE_GAP, PIECE_END };

struct piece {
    enum piece_kind kind;
    enum direction direction;
    const char *data;
    uint32_t bytes;
};

#define C(text)                                                                                    \
    {                                                                                              \
        PIECE_DATA, TO_SERVER, text, sizeof(text) - 1                                              \
    }
#define S(text)                                                                                    \
    {                                                                                              \
        PIECE_DATA, TO_CLIENT, text, sizeof(text) - 1                                              \
    }
#define CGAP(count)                                                                                \
    {                                                                                              \
        PIECE_GAP, TO_SERVER, NULL, count                                                          \
    }
#define SGAP(count)                                                                                \
    {                                                                                              \
        PIECE_GAP, TO_CLIENT, NULL, count                                                          \
    }
#define CEND                                                                                       \
    {                                                                                              \
        PIECE_END, TO_SERVER, NULL, 0                                                              \
    }
#define SEND                                                                                       \
    {                                                                                              \
        PIECE_END, TO_CLIENT, NULL, 0                                                              \
    }

enum { CLOSE_TIME = 99, PIECES_MAX = 16, RESULT_BYTES_MAX = 1 << 17, GUARDED_BYTES = 1 << 18 };

struct row {
    const char *name;
    struct piece pieces[PIECES_MAX];
    const char *expected;
    bool open_ended; /* whatever follows belongs to the last message */
};

struct result {
    char text[RESULT_BYTES_MAX];
    size_t bytes;
    int run; /* direction of the chunks being joined, or -1 */
};

struct settings {
    const struct interest *interest;
    struct limits limits;
    size_t memory_bytes;
    uint16_t server_port;
};

static inline void result_add(struct result *result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(result->text + result->bytes, sizeof result->text - result->bytes, format,
                          arguments);
    va_end(arguments);
    result->bytes += (size_t)added;
}

static inline void result_break(struct result *result)
{
    if (result->run >= 0)
        result_add(result, "\n");
    result->run = -1;
}

static inline void result_slice(struct result *result, struct slice slice)
{
    for (uint32_t i = 0; i < slice.bytes; i++) {
        uint8_t c = slice.data[i];
        result_add(result, c < ' ' || c > '~' ? "\\%02x" : "%c", c);
    }
}

static inline void result_flags(struct result *result, unsigned flags)
{
    static const char *const names[] = {"REQUEST_CUT",  "RESPONSE_CUT", "REQUEST_GAP",
                                        "RESPONSE_GAP", "NEW_TOKEN",    "NO_RESPONSE",
                                        "INTERIM",      "TUNNELLED",    "DECRYPTED",
                                        "HTTP2"};
    for (unsigned i = 0; i < 10; i++) {
        if (flags & 1u << i)
            result_add(result, " %s", names[i]);
    }
}

static inline void on_transaction(void *context, struct flow *flow,
                                  const struct transaction *transaction)
{
    struct result *result = context;
    (void)flow;
    result_break(result);
    result_slice(result, transaction->method);
    result_add(result, " ");
    result_slice(result, transaction->target);
    result_add(result, " %u @%llu,%llu,%llu", transaction->status,
               (unsigned long long)transaction->request_ns,
               (unsigned long long)transaction->response_ns,
               (unsigned long long)transaction->end_ns);
    result_flags(result, transaction->flags);
    const struct slice names[] = {transaction->operation, transaction->this_type,
                                  transaction->this_id, transaction->operation_id};
    for (int i = 0; i < 4 && transaction->operation.bytes; i++) {
        result_add(result, i ? "," : " ");
        result_slice(result, names[i]);
    }
    result_add(result, " <");
    result_slice(result, transaction->request_body);
    result_add(result, "> <");
    result_slice(result, transaction->response_body);
    result_add(result, ">\n");
}

static inline void on_proxy_header(void *context, struct flow *flow, struct slice header,
                                   uint64_t time_ns)
{
    (void)flow;
    result_break(context);
    result_add(context, "proxy @%llu ", (unsigned long long)time_ns);
    result_slice(context, header);
    result_add(context, "\n");
}

static inline void on_chunk(void *context, struct flow *flow, enum direction direction,
                            struct slice chunk, uint64_t time_ns)
{
    struct result *result = context;
    (void)flow;
    (void)time_ns;
    if (result->run != (int)direction) {
        result_break(result);
        result_add(result, direction == TO_SERVER ? "chunk> " : "chunk< ");
        result->run = (int)direction;
    }
    result_slice(result, chunk);
}

static inline void on_gap(void *context, struct flow *flow, enum direction direction,
                          uint64_t bytes, uint64_t time_ns)
{
    (void)flow;
    (void)time_ns;
    result_break(context);
    result_add(context, direction == TO_SERVER ? "gap> %llu\n" : "gap< %llu\n",
               (unsigned long long)bytes);
}

/* "authd> USER bob @2": zeros at the end are counted, bytes of the wire told when they are not all
 * there. */
static inline void on_message(void *context, struct flow *flow, enum direction direction,
                              const struct framed *framed)
{
    static const char *const names[] = {"", "authd", "nfc", "aio", "vix", "console"};
    (void)flow;
    result_break(context);
    result_add(context, "%s%s ", names[framed->protocol], direction == TO_SERVER ? ">" : "<");
    struct slice data = framed->data;
    while (data.bytes && data.data[data.bytes - 1] == 0)
        data.bytes--;
    result_slice(context, data);
    if (data.bytes < framed->data.bytes)
        result_add(context, " 0*%u", framed->data.bytes - data.bytes);
    if (framed->flags & (FRAMED_CUT | FRAMED_BULK | FRAMED_BLANKED))
        result_add(context, " %llu", (unsigned long long)framed->size_bytes);
    result_add(context, "%s%s%s @%llu\n", framed->flags & FRAMED_CUT ? " CUT" : "",
               framed->flags & FRAMED_BULK ? " BULK" : "",
               framed->flags & FRAMED_BLANKED ? " BLANKED" : "",
               (unsigned long long)framed->start_ns);
}

static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The chunk, ending at a page that cannot be read. */
static inline const uint8_t *at_the_edge(const char *data, uint32_t bytes)
{
    static const char zeros[GUARDED_BYTES];
    static uint8_t *room;
    if (!room)
        room = guarded(zeros, GUARDED_BYTES);
    uint8_t *at = room + GUARDED_BYTES - bytes;
    memcpy(at, data, bytes);
    return at;
}

enum feeding { FEED_WHOLE, FEED_BYTES, FEED_RANDOM };

static inline void feed_piece(struct protocol *protocol, const struct piece *piece, uint64_t time,
                              enum feeding feeding, uint64_t *seed)
{
    if (piece->kind == PIECE_GAP)
        protocol_gap(protocol, piece->direction, piece->bytes, time);
    if (piece->kind == PIECE_END)
        protocol_end(protocol, piece->direction, time);
    for (uint32_t at = 0; piece->kind == PIECE_DATA && at < piece->bytes;) {
        uint32_t left = piece->bytes - at, take = left;
        if (feeding == FEED_BYTES)
            take = 1;
        else if (feeding == FEED_RANDOM)
            take = 1 + (uint32_t)(random_next(seed) % (left < 40 ? left : 40));
        protocol_data(protocol, piece->direction, at_the_edge(piece->data + at, take), take, time);
        at += take;
    }
}

static inline void add_counters(struct result *result, const struct counters *counters)
{
    static const struct {
        enum counter which;
        const char *name;
    } told[] = {
        {COUNT_http_malformed, "malformed"},          {COUNT_http_resynchronised, "resynchronised"},
        {COUNT_http_unpaired_responses, "unpaired"},  {COUNT_http_pipeline_shed, "shed"},
        {COUNT_http_body_undecodable, "undecodable"}, {COUNT_framed_lost, "lost"},
        {COUNT_framed_resynchronised, "again"},
    };
    result_break(result);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        if (counters->value[told[i].which])
            result_add(result, "%s %llu\n", told[i].name,
                       (unsigned long long)counters->value[told[i].which]);
    }
}

/* Feeds the pieces, and then `trailing` if it is not NULL, into a new flow. */
static inline void converse(const struct settings *settings, const struct piece *pieces,
                            const struct piece *trailing, enum feeding feeding, uint64_t seed,
                            struct result *result, struct counters *counters)
{
    struct budget budget = {.limit_bytes = settings->memory_bytes};
    struct flow flow = {.protocol = PROTO_TCP, .port = {settings->server_port, 50000}};
    *counters = (struct counters){0};
    result->bytes = 0;
    result->text[0] = 0;
    result->run = -1;
    struct operations *operations = operations_open(&settings->limits, counters);
    struct changes *changes = changes_open();
    struct protocol_shared shared = {
        &settings->limits,
        settings->interest,
        &budget,
        counters,
        operations,
        changes,
        {result, on_transaction, on_proxy_header, on_chunk, on_gap, NULL, on_message},
    };
    struct protocol *protocol = protocol_open(&shared, &flow);
    CHECK(protocol != NULL);
    uint64_t time = 1;
    for (const struct piece *at = pieces; at < pieces + PIECES_MAX && at->kind; at++)
        feed_piece(protocol, at, time++, feeding, &seed);
    for (const struct piece *at = trailing; at && at->kind; at++)
        feed_piece(protocol, at, time++, feeding, &seed);
    protocol_close(protocol, CLOSE_TIME);
    add_counters(result, counters);
    CHECK(budget.used_bytes == 0);
    uint64_t counted = 0;
    for (uint32_t i = 0; operations_row(operations, i); i++) {
        const struct operation_row *row = operations_row(operations, i);
        counted += row->count[OUTCOME_SUCCESS] + row->count[OUTCOME_FAILURE] +
                   row->count[OUTCOME_UNKNOWN];
    }
    CHECK(counted == counters->value[COUNT_http_transactions]);
    operations_close(operations);
    changes_close(changes);
}

/* False, and told, when it differs. */
static inline bool check_result(const struct row *row, const char *how, const struct result *result)
{
    bool same = strcmp(result->text, row->expected) == 0;
    CHECK(same);
    if (!same)
        fprintf(stderr, "%s (%s)\n expected:\n%s got:\n%s", row->name, how, row->expected,
                result->text);
    return same;
}

/* Whole, byte by byte, at random splits; and with more data behind, which changes nothing. */
static inline void check_row(const struct settings *settings, const struct row *row)
{
    static const struct piece more[] = {C("GET /tra"), S("HTTP/1"), {0}};
    enum { RANDOM_TIMES = 12 };
    static struct result result;
    struct counters counters;
    converse(settings, row->pieces, NULL, FEED_WHOLE, 1, &result, &counters);
    bool same = check_result(row, "whole", &result);
    converse(settings, row->pieces, NULL, FEED_BYTES, 1, &result, &counters);
    same = same && check_result(row, "byte by byte", &result);
    for (uint64_t i = 1; i <= RANDOM_TIMES && same; i++) {
        converse(settings, row->pieces, NULL, FEED_RANDOM, i * 7919, &result, &counters);
        same = check_result(row, "at random splits", &result);
    }
    if (row->open_ended || !same)
        return;
    converse(settings, row->pieces, more, FEED_WHOLE, 1, &result, &counters);
    check_result(row, "with trailing data", &result);
}

static inline struct limits test_limits(void)
{
    return (struct limits){
        .http_head_bytes_max = 16384,
        .http_body_bytes_max = 65536,
        .http_pipeline_max = 8,
        .http2_streams_max = 8,
        .http_tokens_per_flow_max = 4,
        .operations_max = 64,
        .stream_chunk_bytes_max = 64,
    };
}

#endif
