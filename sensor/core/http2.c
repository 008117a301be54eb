/* Frames (RFC 9113 section 4.1), one step per state. Of most only the length matters. */
#include "http2.h"

#include <stdlib.h>
#include <string.h>

#include "http2_fields.h"
#include "http2_streams.h"
#include "walk.h"

enum {
    PREFACE_BYTES = 24,
    FRAME_HEAD_BYTES = 9,
    PREFIX_BYTES_MAX = 8,
    PRIORITY_BYTES = 5,
    STREAM_ID_BYTES = 4,
    RESET_BYTES = 4,
    GO_AWAY_BYTES = 8,
    SETTING_BYTES = 6,
    SETTINGS_BYTES_MAX = 64 * SETTING_BYTES, /* a dozen are registered */
};

/* RFC 9113 section 6, then RFC 7838, 8336, 9218. */
enum frame_type {
    FRAME_DATA,
    FRAME_HEADERS,
    FRAME_PRIORITY,
    FRAME_RST_STREAM,
    FRAME_SETTINGS,
    FRAME_PUSH_PROMISE,
    FRAME_PING,
    FRAME_GOAWAY,
    FRAME_WINDOW_UPDATE,
    FRAME_CONTINUATION,
    FRAME_PRIORITY_UPDATE = 16,
};

enum {
    FLAG_END_STREAM = 1,
    FLAG_ACK = 1,
    FLAG_END_HEADERS = 4,
    FLAG_PADDED = 8,
    FLAG_PRIORITY = 32,
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum http2_state {
    HTTP2_PREFACE,
    HTTP2_FRAME,   /* in a frame's head, or before it */
    HTTP2_PREFIX,  /* the part of the payload that is read as a whole */
    HTTP2_PAYLOAD, /* the rest of it, and the padding */
    HTTP2_LOST,
};

struct http2_side {
    struct http2_fields fields;
    uint64_t frame_ns;     /* first byte of the frame at hand */
    uint64_t block_ns;     /* of the frame that began the field block */
    uint32_t left;         /* of the payload, without padding */
    uint32_t padding;      /* left of it */
    uint32_t stream;       /* of the frame at hand */
    uint32_t block_stream; /* whose field block is open; 0: none */
    uint8_t type, flags;   /* of the frame at hand */
    uint8_t state;         /* enum http2_state */
    uint8_t have, prefix_bytes;
    uint8_t head[PREFACE_BYTES]; /* what is read as a whole: have bytes of it */
    bool block_ends_stream;
    bool block_pushed; /* a promise: of a request that the client did not make */
    bool begun;        /* the first frame has come, which is SETTINGS */
    bool ended;
};

struct http2 {
    struct http_flow *http;
    struct http2_side side[2];
    struct http2_streams streams;
};

enum start_verdict http2_start(enum direction direction, const uint8_t *data, uint32_t bytes)
{
    if (direction == TO_SERVER) {
        if (memcmp(data, preface, bytes < PREFACE_BYTES ? bytes : PREFACE_BYTES) != 0)
            return START_NO;
        return bytes < PREFACE_BYTES ? START_MORE : START_YES;
    }
    static const uint8_t settings[FRAME_HEAD_BYTES] = {[3] = FRAME_SETTINGS};
    for (uint32_t i = 0; i < bytes && i < FRAME_HEAD_BYTES; i++) {
        if (i != 1 && i != 2 && data[i] != settings[i])
            return START_NO;
    }
    if (bytes >= 3 && (be24(data) > SETTINGS_BYTES_MAX || be24(data) % SETTING_BYTES))
        return START_NO;
    return bytes < FRAME_HEAD_BYTES ? START_MORE : START_YES;
}

/* RFC 9113: the length and the stream that a frame of this type must have. */
static bool frame_possible(uint8_t type, uint32_t bytes, uint32_t stream)
{
    switch (type) {
    case FRAME_DATA:
    case FRAME_HEADERS:
    case FRAME_CONTINUATION:
    case FRAME_PUSH_PROMISE:
        return stream != 0;
    case FRAME_PRIORITY:
        return stream && bytes == PRIORITY_BYTES;
    case FRAME_RST_STREAM:
        return stream && bytes == RESET_BYTES;
    case FRAME_SETTINGS:
        return !stream && bytes % SETTING_BYTES == 0;
    case FRAME_PING:
        return !stream && bytes == 8;
    case FRAME_GOAWAY:
        return !stream && bytes >= GO_AWAY_BYTES;
    case FRAME_WINDOW_UPDATE:
        return bytes == 4;
    default:
        return true;
    }
}

bool http2_likely(const uint8_t *data, uint32_t bytes)
{
    enum { FLAGS = FLAG_END_STREAM | FLAG_END_HEADERS | FLAG_PADDED | FLAG_PRIORITY };
    while (bytes >= FRAME_HEAD_BYTES) {
        uint32_t length = be24(data), stream = be32(data + 5);
        if (data[3] > FRAME_CONTINUATION || (data[4] & ~FLAGS) || stream >> 24 ||
            !frame_possible(data[3], length, stream) || length > bytes - FRAME_HEAD_BYTES)
            return false;
        if (length == bytes - FRAME_HEAD_BYTES)
            return true;
        data += FRAME_HEAD_BYTES + length;
        bytes -= FRAME_HEAD_BYTES + length;
    }
    return false;
}

struct http2 *http2_open(struct http_flow *http)
{
    const struct protocol_shared *shared = http->shared;
    struct http2 *http2 = NULL;
    if (budget_take(shared->budget, sizeof *http2)) {
        http2 = calloc(1, sizeof *http2);
        if (!http2)
            budget_give(shared->budget, sizeof *http2);
    }
    if (!http2) {
        count(shared->counters, COUNT_memory_shed, 1);
        return NULL;
    }
    http2->http = http;
    http2->streams.http = http;
    http2->side[TO_CLIENT].state = HTTP2_FRAME;
    if (http2_fields_open(&http2->side[TO_SERVER].fields, shared, TO_SERVER) &&
        http2_fields_open(&http2->side[TO_CLIENT].fields, shared, TO_CLIENT)) {
        http->flags |= TRANSACTION_HTTP2;
        count(shared->counters, COUNT_http2_connections, 1);
        return http2;
    }
    http2_close(http2, 0);
    return NULL;
}

void http2_upgraded(struct http2 *http2, struct pending *pending, uint64_t time_ns)
{
    streams_adopt(&http2->streams, 1, pending, time_ns);
}

static void lose(struct http2 *http2, enum direction direction, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[direction];
    if (side->state == HTTP2_LOST)
        return;
    side->state = HTTP2_LOST;
    http2_fields_close(&side->fields);
    explicit_bzero(side->head, sizeof side->head);
    count(http2->http->shared->counters, COUNT_http2_lost, 1);
    streams_lost(&http2->streams, direction, time_ns);
}

static void malformed(struct http2 *http2, enum direction direction, uint64_t time_ns)
{
    count(http2->http->shared->counters, COUNT_http_malformed, 1);
    lose(http2, direction, time_ns);
}

/* Adds to what is read as a whole; true once `want` bytes are there. */
static bool gather(struct http2_side *side, const uint8_t *data, uint32_t bytes, uint32_t want,
                   uint32_t *taken)
{
    uint32_t missing = want - side->have;
    *taken = bytes < missing ? bytes : missing;
    memcpy(side->head + side->have, data, *taken);
    side->have += (uint8_t)*taken;
    if (side->have < want)
        return false;
    side->have = 0;
    return true;
}

static uint8_t prefix_bytes(uint8_t type, uint8_t flags)
{
    uint8_t padded = flags & FLAG_PADDED ? 1 : 0;
    switch (type) {
    case FRAME_DATA:
        return padded;
    case FRAME_HEADERS:
        return (uint8_t)(padded + (flags & FLAG_PRIORITY ? PRIORITY_BYTES : 0));
    case FRAME_PUSH_PROMISE:
        return (uint8_t)(padded + STREAM_ID_BYTES);
    case FRAME_RST_STREAM:
        return RESET_BYTES;
    case FRAME_GOAWAY:
        return GO_AWAY_BYTES;
    default:
        return 0;
    }
}

/* RFC 9113 sections 3.4, 4.3 and 6.10. */
static bool in_order(const struct http2_side *side, enum direction direction)
{
    if (!side->begun)
        return side->type == FRAME_SETTINGS && !(side->flags & FLAG_ACK);
    if (side->block_stream)
        return side->type == FRAME_CONTINUATION && side->stream == side->block_stream;
    return side->type != FRAME_CONTINUATION &&
           (side->type != FRAME_PUSH_PROMISE || direction == TO_CLIENT);
}

static void frame_begins(struct http2 *http2, enum direction direction, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[direction];
    side->left = be24(side->head);
    side->type = side->head[3];
    side->flags = side->head[4];
    side->stream = be32(side->head + 5) & INT32_MAX;
    side->padding = 0;
    side->prefix_bytes = prefix_bytes(side->type, side->flags);
    if (!in_order(side, direction) || side->prefix_bytes > side->left ||
        !frame_possible(side->type, side->left, side->stream)) {
        malformed(http2, direction, time_ns);
        return;
    }
    side->begun = true;
    side->left -= side->prefix_bytes;
    side->state = side->prefix_bytes ? HTTP2_PREFIX : HTTP2_PAYLOAD;
    if (side->type != FRAME_HEADERS && side->type != FRAME_PUSH_PROMISE)
        return;
    side->block_stream = side->stream;
    side->block_ns = side->frame_ns;
    side->block_pushed = side->type == FRAME_PUSH_PROMISE;
    side->block_ends_stream = !side->block_pushed && (side->flags & FLAG_END_STREAM);
    bool wanted = !side->block_pushed &&
                  streams_want_head(&http2->streams, direction, side->stream);
    http2_fields_begin(&side->fields, wanted);
}

static void block_ends(struct http2 *http2, enum direction direction, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[direction];
    struct http2_fields *fields = &side->fields;
    struct http2_streams *streams = &http2->streams;
    uint32_t stream = side->block_stream;
    side->block_stream = 0;
    if (fields->wanted) {
        const struct http_head *head = http2_fields_head(fields);
        if (direction == TO_SERVER)
            streams_request(streams, stream, head, fields->tunnel, side->block_ends_stream,
                            side->block_ns);
        else
            streams_response(streams, stream, head, side->block_ns, time_ns);
    }
    if (side->block_pushed)
        count(http2->http->shared->counters, COUNT_http2_pushed, 1);
    if (side->block_ends_stream)
        streams_message_end(streams, direction, stream, time_ns);
    http2_fields_forget(fields);
}

/* False: the direction is lost. */
static bool add_to_block(struct http2 *http2, enum direction direction, const uint8_t *data,
                         uint32_t bytes, bool ends, uint64_t time_ns)
{
    struct http2_fields *fields = &http2->side[direction].fields;
    enum fields_verdict verdict =
        ends ? http2_fields_end(fields) : http2_fields_add(fields, data, bytes);
    if (verdict == FIELDS_SHORT) {
        count(http2->http->shared->counters, COUNT_memory_shed, 1);
        lose(http2, direction, time_ns);
    } else if (verdict == FIELDS_BROKEN) {
        malformed(http2, direction, time_ns);
    }
    return verdict == FIELDS_FINE;
}

static void frame_ends(struct http2 *http2, enum direction direction, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[direction];
    struct http2_streams *streams = &http2->streams;
    side->state = HTTP2_FRAME;
    switch (side->type) {
    case FRAME_DATA:
        if (side->flags & FLAG_END_STREAM)
            streams_message_end(streams, direction, side->stream, time_ns);
        break;
    case FRAME_HEADERS:
    case FRAME_CONTINUATION:
    case FRAME_PUSH_PROMISE:
        if ((side->flags & FLAG_END_HEADERS) &&
            add_to_block(http2, direction, NULL, 0, true, time_ns))
            block_ends(http2, direction, time_ns);
        break;
    case FRAME_RST_STREAM:
        streams_reset(streams, side->stream, time_ns);
        break;
    case FRAME_GOAWAY:
        if (direction == TO_CLIENT)
            streams_go_away(streams, be32(side->head) & INT32_MAX, time_ns);
        break;
    default:
        break;
    }
}

static void prefix_ends(struct http2 *http2, enum direction direction, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[direction];
    bool may_pad = side->type == FRAME_DATA || side->type == FRAME_HEADERS ||
                   side->type == FRAME_PUSH_PROMISE;
    side->padding = may_pad && (side->flags & FLAG_PADDED) ? side->head[0] : 0;
    if (side->padding > side->left) {
        malformed(http2, direction, time_ns);
        return;
    }
    side->left -= side->padding;
    side->state = HTTP2_PAYLOAD;
}

/* Returns the bytes taken of the payload. */
static uint32_t payload(struct http2 *http2, enum direction direction, const uint8_t *data,
                        uint32_t bytes, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[direction];
    if (!side->left) {
        uint32_t taken = bytes < side->padding ? bytes : side->padding;
        side->padding -= taken;
        return taken;
    }
    uint32_t taken = bytes < side->left ? bytes : side->left;
    side->left -= taken;
    if (side->type == FRAME_DATA)
        streams_body(&http2->streams, direction, side->stream, data, taken);
    else if (side->block_stream)
        add_to_block(http2, direction, data, taken, false, time_ns);
    return taken;
}

static void preface_ends(struct http2 *http2, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[TO_SERVER];
    if (memcmp(side->head, preface, PREFACE_BYTES) != 0)
        malformed(http2, TO_SERVER, time_ns);
    else
        side->state = HTTP2_FRAME;
}

static uint32_t step(struct http2 *http2, enum direction direction, const uint8_t *data,
                     uint32_t bytes, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[direction];
    uint32_t taken = bytes;
    switch ((enum http2_state)side->state) {
    case HTTP2_PREFACE:
        if (gather(side, data, bytes, PREFACE_BYTES, &taken))
            preface_ends(http2, time_ns);
        break;
    case HTTP2_FRAME:
        if (!side->have)
            side->frame_ns = time_ns;
        if (gather(side, data, bytes, FRAME_HEAD_BYTES, &taken))
            frame_begins(http2, direction, time_ns);
        break;
    case HTTP2_PREFIX:
        if (gather(side, data, bytes, side->prefix_bytes, &taken))
            prefix_ends(http2, direction, time_ns);
        break;
    case HTTP2_PAYLOAD:
        taken = payload(http2, direction, data, bytes, time_ns);
        break;
    case HTTP2_LOST:
        count(http2->http->shared->counters, COUNT_stream_skipped_bytes, bytes);
        break;
    }
    if (side->state == HTTP2_PAYLOAD && !side->left && !side->padding)
        frame_ends(http2, direction, time_ns);
    return taken;
}

void http2_data(struct http2 *http2, enum direction direction, const uint8_t *data, uint32_t bytes,
                uint64_t time_ns)
{
    for (uint32_t at = 0; at < bytes;)
        at += step(http2, direction, data + at, bytes - at, time_ns);
}

/* Bytes of a frame of which only the length matters, or of padding. What is missing of a decrypted
 * stream was counted as ciphertext: how much plaintext that was is not known. */
static bool may_miss(const struct http2 *http2, const struct http2_side *side, uint64_t bytes)
{
    bool block = side->block_stream != 0, exact = !(http2->http->flags & TRANSACTION_DECRYPTED);
    return exact && side->state == HTTP2_PAYLOAD && !(block && side->left) &&
           bytes <= (uint64_t)side->left + side->padding;
}

void http2_gap(struct http2 *http2, enum direction direction, uint64_t bytes, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[direction];
    if (!may_miss(http2, side, bytes)) {
        lose(http2, direction, time_ns);
        return;
    }
    if (side->left && side->type == FRAME_DATA)
        streams_body_gap(&http2->streams, direction, side->stream);
    uint32_t of_payload = bytes < side->left ? (uint32_t)bytes : side->left;
    side->left -= of_payload;
    side->padding -= (uint32_t)(bytes - of_payload);
    if (!side->left && !side->padding)
        frame_ends(http2, direction, time_ns);
}

void http2_end(struct http2 *http2, enum direction direction, uint64_t time_ns)
{
    struct http2_side *side = &http2->side[direction];
    if (side->ended)
        return;
    side->ended = true;
    http2_fields_close(&side->fields);
    streams_ended(&http2->streams, direction, time_ns);
}

void http2_close(struct http2 *http2, uint64_t time_ns)
{
    if (!http2)
        return;
    struct budget *budget = http2->http->shared->budget;
    http2_end(http2, TO_SERVER, time_ns);
    http2_end(http2, TO_CLIENT, time_ns);
    streams_close(&http2->streams, time_ns);
    explicit_bzero(http2, sizeof *http2);
    free(http2);
    budget_give(budget, sizeof *http2);
}
