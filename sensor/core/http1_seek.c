/* Bytes of which it is not known yet what they are: after a loss, where a body may be missing, and
 * after CONNECT. What may be the start of a message is held until it is told. */
#include "http1_steps.h"

const uint8_t *http1_joined(struct protocol *protocol, enum direction direction,
                            const uint8_t *data, uint32_t *bytes)
{
    struct http1_side *side = &protocol->http1.side[direction];
    if (!side->held.bytes)
        return data;
    if (!kept_append(&side->held, protocol->shared->budget, data, *bytes)) {
        count(protocol->shared->counters, COUNT_memory_shed, 1);
        return NULL;
    }
    *bytes = side->held.bytes;
    return side->held.data;
}

void http1_replay(struct protocol *protocol, enum direction direction, uint32_t joined_bytes)
{
    struct http1_side *side = &protocol->http1.side[direction];
    if (joined_bytes)
        kept_shorten(&side->held, joined_bytes);
    side->replay = side->held.bytes != 0;
}

bool http1_hold(struct protocol *protocol, enum direction direction, const uint8_t *data,
                uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    if (side->held.bytes)
        return true;
    side->start_ns = time_ns;
    if (kept_append(&side->held, protocol->shared->budget, data, bytes))
        return true;
    count(protocol->shared->counters, COUNT_memory_shed, 1);
    return false;
}

/* A body that may not be there: what comes instead would be a message. */
uint32_t http1_doubt(struct protocol *protocol, enum direction direction, const uint8_t *data,
                     uint32_t bytes, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct http1_side *side = &http1->side[direction];
    uint32_t have = bytes;
    const uint8_t *at = http1_joined(protocol, direction, data, &have);
    enum start_verdict verdict = at ? http1_start(direction, at, have) : START_NO;
    if (!at || (verdict == START_MORE && !http1_hold(protocol, direction, data, bytes, time_ns))) {
        http1_lose(protocol, direction, time_ns);
        return bytes;
    }
    if (verdict == START_MORE)
        return bytes;
    side->doubt = false;
    if (verdict == START_YES) {
        if (direction == TO_SERVER && http1->receiving)
            http1->receiving->flags |= TRANSACTION_REQUEST_CUT;
        http1_message_end(protocol, direction, time_ns);
    }
    http1_replay(protocol, direction, at != data ? bytes : 0);
    return 0;
}

enum start_verdict http1_seek(struct protocol *protocol, enum direction direction,
                              const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    enum start_verdict verdict = START_NO;
    if (side->held.bytes) {
        uint32_t have = bytes;
        const uint8_t *at = http1_joined(protocol, direction, data, &have);
        verdict = at ? http1_start(direction, at, have) : START_NO;
        if (verdict == START_NO) {
            uint32_t before = at ? side->held.bytes - bytes : side->held.bytes;
            count(protocol->shared->counters, COUNT_stream_skipped_bytes, before);
            side->met = true;
            kept_free(&side->held, protocol->shared->budget);
        }
    }
    if (!side->held.bytes)
        verdict = http1_start(direction, data, bytes);
    if (verdict == START_MORE && !http1_hold(protocol, direction, data, bytes, time_ns))
        verdict = START_NO;
    if (verdict == START_NO) {
        count(protocol->shared->counters, COUNT_stream_skipped_bytes, bytes);
        side->met = true;
    }
    if (verdict == START_YES) {
        count(protocol->shared->counters, COUNT_http_resynchronised, 1);
        side->state = HTTP1_HEAD;
        side->begun = side->doubt = false;
        http1_replay(protocol, direction, side->held.bytes ? bytes : 0);
    }
    return verdict;
}

uint32_t http1_lost(struct protocol *protocol, enum direction direction, const uint8_t *data,
                    uint32_t bytes, uint64_t time_ns)
{
    return http1_seek(protocol, direction, data, bytes, time_ns) == START_YES ? 0 : bytes;
}

/* The answer to CONNECT will not be known: it was lost, or cannot be told apart. */
static bool waits_in_vain(const struct http1 *http1)
{
    return http1->side[TO_CLIENT].state == HTTP1_LOST || !http1->last || !http1->last->is_connect;
}

/* RFC 9110 section 9.3.6: a client may not speak before the answer, but some do. */
uint32_t http1_wait(struct protocol *protocol, const uint8_t *data, uint32_t bytes,
                    uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[TO_SERVER];
    uint64_t limit = protocol->shared->limits->http_head_bytes_max;
    if (waits_in_vain(&protocol->http1)) {
        pair_request_begins(protocol, time_ns);
        protocol->http1.lost_requests = true;
        side->state = HTTP1_LOST;
        http1_replay(protocol, TO_SERVER, 0);
        return 0;
    }
    bool room = bytes <= limit && side->held.bytes <= limit - bytes && !side->missing_bytes;
    if (!side->held.bytes)
        side->start_ns = time_ns;
    if (room && kept_append(&side->held, protocol->shared->budget, data, bytes))
        return bytes;
    count(protocol->shared->counters, COUNT_memory_shed, 1);
    side->missing_bytes += bytes;
    return bytes;
}
