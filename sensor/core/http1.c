/* HTTP/1 framing (RFC 9112 section 6.3), one step per state. Bodies that nobody wants are passed
 * over by their length. */
#include <string.h>

#include "http1_steps.h"

static uint32_t least(uint64_t left, uint32_t bytes)
{
    return left < bytes ? (uint32_t)left : bytes;
}

void http1_lose(struct protocol *protocol, enum direction direction, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    kept_free(&side->held, protocol->shared->budget);
    side->state = HTTP1_LOST;
    side->begun = side->doubt = side->replay = false;
    if (direction == TO_SERVER)
        pair_requests_lost(protocol, time_ns);
    else
        pair_responses_lost(protocol, time_ns);
}

void http1_malformed(struct protocol *protocol, enum direction direction, uint64_t time_ns)
{
    count(protocol->shared->counters, COUNT_http_malformed, 1);
    http1_lose(protocol, direction, time_ns);
}

void http1_message_end(struct protocol *protocol, enum direction direction, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    side->state = HTTP1_HEAD;
    side->begun = side->doubt = false;
    if (direction == TO_SERVER)
        pair_request_done(protocol, time_ns);
    else
        pair_response_done(protocol, time_ns);
}

uint32_t http1_past_empty_line(struct http1_side *side, const uint8_t *data, uint32_t bytes)
{
    uint32_t at = 0;
    while (at < bytes) {
        if (side->line == HTTP1_LINE_CONTENT) {
            const uint8_t *found = memchr(data + at, '\n', bytes - at);
            if (!found)
                return 0;
            at = (uint32_t)(found - data) + 1;
            side->line = HTTP1_LINE_EMPTY;
            continue;
        }
        uint8_t c = data[at++];
        if (c == '\n')
            return at;
        side->line = c == '\r' && side->line == HTTP1_LINE_EMPTY ? HTTP1_LINE_CR
                                                                 : HTTP1_LINE_CONTENT;
    }
    return 0;
}

/* The body as the framing says; false: it has none. */
static bool body_begins(struct http1_side *side, const struct http_head *head)
{
    side->body_begun = false;
    side->seen = 0;
    side->left = 0;
    if (head->chunked) {
        side->state = HTTP1_CHUNK_SIZE;
        return true;
    }
    side->state = HTTP1_LENGTH;
    side->left = head->length;
    return head->has_length && head->length;
}

static void request_head(struct protocol *protocol, const struct http_head *head, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct http1_side *side = &http1->side[TO_SERVER];
    count(protocol->shared->counters, COUNT_http_requests, 1);
    pair_request(protocol, head, side->start_ns);
    struct pending *pending = http1->receiving;
    bool connect = pending && pending->is_connect;
    bool has_body = body_begins(side, head) && !connect;
    if (pending)
        choice_request(&protocol->http, pending, head, has_body);
    if ((head->transfer_coded && !head->chunked) || (!head->chunked && head->bad_length)) {
        http1_malformed(protocol, TO_SERVER, time_ns);
        return;
    }
    if (has_body)
        return;
    bool told_apart = connect && !pending->abandoned;
    http1_message_end(protocol, TO_SERVER, time_ns);
    if (connect)
        side->state = told_apart ? HTTP1_WAIT : HTTP1_LOST;
}

/* The answer to CONNECT was no: what the client said in the meantime, if anything, was not for the
 * proxy, or is its next request. */
static void stop_waiting(struct protocol *protocol)
{
    struct http1_side *side = &protocol->http1.side[TO_SERVER];
    bool said = side->held.bytes || side->missing_bytes;
    side->state = said ? HTTP1_LOST : HTTP1_HEAD;
    protocol->http1.lost_requests |= said;
    side->replay = side->held.bytes != 0;
    side->missing_bytes = 0;
}

/* The final answer to a request whose client waits to be told to send the body (RFC 9110 section
 * 10.1.1): it may send it all the same, or go on with another request. */
static void doubt_request_body(struct http1 *http1, const struct pending *pending)
{
    struct http1_side *side = &http1->side[TO_SERVER];
    if (pending == http1->receiving && pending->expect_continue &&
        !(pending->flags & TRANSACTION_INTERIM) && !side->body_begun)
        side->doubt = true;
}

static bool has_no_body(const struct pending *pending, uint16_t status)
{
    return status == 204 || status == 304 || (pending && pending->is_head);
}

static void become(struct protocol *protocol, enum inner inner, uint64_t time_ns)
{
    http1_message_end(protocol, TO_CLIENT, time_ns);
    protocol->inner = (uint8_t)inner;
}

static void final_response(struct protocol *protocol, const struct http_head *head,
                           uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct http1_side *side = &http1->side[TO_CLIENT];
    struct pending *pending = http1->answering;
    if (head->status == 101 && head->h2c) {
        protocol->inner = INNER_HTTP2; /* the response to this request is yet to come */
        return;
    }
    count(protocol->shared->counters, COUNT_http_responses, 1);
    bool paired = pair_response(protocol, head, side->start_ns);
    if (head->status == 101) {
        become(protocol, INNER_UPGRADE, time_ns);
        return;
    }
    if (paired && pending->is_connect) {
        if (head->status < 300) {
            become(protocol, INNER_CONNECT, time_ns);
            return;
        }
        stop_waiting(protocol);
    }
    if (paired)
        doubt_request_body(http1, pending);
    if (!head->chunked && !head->transfer_coded && head->bad_length) {
        http1_malformed(protocol, TO_CLIENT, time_ns);
        return;
    }
    bool framed = head->chunked || (head->has_length && !head->transfer_coded);
    if (has_no_body(pending, head->status) || (framed && !body_begins(side, head))) {
        http1_message_end(protocol, TO_CLIENT, time_ns);
        return;
    }
    if (!framed)
        side->state = paired ? HTTP1_UNTIL_CLOSE : HTTP1_LOST;
    /* The answer to a request that we do not know may be one to HEAD, without the body it speaks
     * of. */
    side->doubt = framed && !paired;
}

static void response_head(struct protocol *protocol, const struct http_head *head,
                          uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    if (head->status >= 200 || head->status == 101) {
        final_response(protocol, head, time_ns);
        return;
    }
    if (http1->answering)
        http1->answering->flags |= TRANSACTION_INTERIM;
    http1->side[TO_CLIENT].begun = false;
}

/* The rest of the chunk is not the beginning of one. */
static bool lost_now(const struct protocol *protocol, enum direction direction)
{
    return protocol->http1.side[direction].state == HTTP1_LOST;
}

static void head_done(struct protocol *protocol, enum direction direction,
                      const struct http_head *head, uint64_t time_ns)
{
    if (direction == TO_SERVER)
        request_head(protocol, head, time_ns);
    else
        response_head(protocol, head, time_ns);
}

/* Adds to a head that straddles chunks. False: it cannot be one, or there is no room. */
static bool hold_head(struct protocol *protocol, enum direction direction, const uint8_t *data,
                      uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    uint64_t limit = protocol->shared->limits->http_head_bytes_max;
    if (bytes > limit || side->held.bytes > limit - bytes) {
        http1_malformed(protocol, direction, time_ns);
        return false;
    }
    if (!kept_append(&side->held, protocol->shared->budget, data, bytes)) {
        count(protocol->shared->counters, COUNT_memory_shed, 1);
        http1_lose(protocol, direction, time_ns);
        return false;
    }
    if (!side->line_checked) {
        if (!http1_head_possible(direction, side->held.data, side->held.bytes)) {
            http1_malformed(protocol, direction, time_ns);
            return false;
        }
        side->line_checked = memchr(data, '\n', bytes) != NULL;
    }
    return true;
}

static uint32_t more_of_head(struct protocol *protocol, enum direction direction,
                             const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    uint32_t end = http1_past_empty_line(side, data, bytes);
    if (!hold_head(protocol, direction, data, end ? end : bytes, time_ns) || !end)
        return bytes;
    struct kept held = side->held;
    side->held = (struct kept){0};
    struct http_head head;
    if (http1_head_parse(&head, protocol->shared->interest, direction, held.data, held.bytes) ==
        HEAD_DONE) {
        head_done(protocol, direction, &head, time_ns);
        end = lost_now(protocol, direction) ? bytes : end;
    } else {
        http1_malformed(protocol, direction, time_ns);
        end = bytes;
    }
    kept_free(&held, protocol->shared->budget);
    return end;
}

static uint32_t first_of_head(struct protocol *protocol, enum direction direction,
                              const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    struct http_head head;
    switch (http1_head_parse(&head, protocol->shared->interest, direction, data, bytes)) {
    case HEAD_DONE:
        if (head.bytes > protocol->shared->limits->http_head_bytes_max)
            break;
        head_done(protocol, direction, &head, time_ns);
        return lost_now(protocol, direction) ? bytes : head.bytes;
    case HEAD_MORE:
        return more_of_head(protocol, direction, data, bytes, time_ns);
    case HEAD_BAD:
        break;
    }
    http1_malformed(protocol, direction, time_ns);
    return bytes;
}

static uint32_t step_head(struct protocol *protocol, enum direction direction, const uint8_t *data,
                          uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    if (side->begun)
        return more_of_head(protocol, direction, data, bytes, time_ns);
    /* RFC 9112 section 2.2: empty lines before a request line are ignored. */
    uint32_t at = 0;
    while (at < bytes && (data[at] == '\r' || data[at] == '\n'))
        at++;
    if (at)
        return at;
    side->begun = true;
    side->line = HTTP1_LINE_EMPTY;
    side->line_checked = false;
    side->start_ns = time_ns;
    if (direction == TO_SERVER)
        pair_request_begins(protocol, time_ns);
    else
        pair_response_begins(protocol, time_ns);
    return first_of_head(protocol, direction, data, bytes, time_ns);
}

static void body_bytes(struct protocol *protocol, enum direction direction, const uint8_t *data,
                       uint32_t bytes)
{
    struct http1 *http1 = &protocol->http1;
    http1->side[direction].body_begun = true;
    if (direction == TO_CLIENT) {
        if (http1->answering && http1->answering->response_body)
            body_append(http1->answering->response_body, data, bytes);
        return;
    }
    struct pending *pending = http1->receiving;
    if (pending && (pending->scans || pending->request_body))
        choice_request_body(&protocol->http, pending, data, bytes);
}

static uint32_t step_data(struct protocol *protocol, enum direction direction, const uint8_t *data,
                          uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    uint32_t taken = least(side->left, bytes);
    body_bytes(protocol, direction, data, taken);
    side->left -= taken;
    if (side->left)
        return taken;
    if (side->state == HTTP1_LENGTH) {
        http1_message_end(protocol, direction, time_ns);
    } else {
        side->state = HTTP1_CHUNK_END;
        side->line = HTTP1_LINE_EMPTY;
    }
    return taken;
}

static uint32_t step(struct protocol *protocol, enum direction direction, const uint8_t *data,
                     uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    if (side->doubt)
        return http1_doubt(protocol, direction, data, bytes, time_ns);
    switch ((enum http1_state)side->state) {
    case HTTP1_HEAD:
        return step_head(protocol, direction, data, bytes, time_ns);
    case HTTP1_LENGTH:
    case HTTP1_CHUNK_DATA:
        return step_data(protocol, direction, data, bytes, time_ns);
    case HTTP1_CHUNK_SIZE:
        return http1_chunk_size(protocol, direction, data, bytes, time_ns);
    case HTTP1_CHUNK_EXTENSION:
        return http1_chunk_extension(protocol, direction, data, bytes, time_ns);
    case HTTP1_CHUNK_END:
        return http1_chunk_end(protocol, direction, data, bytes, time_ns);
    case HTTP1_TRAILERS:
        return http1_trailers(protocol, direction, data, bytes, time_ns);
    case HTTP1_UNTIL_CLOSE:
        body_bytes(protocol, direction, data, bytes);
        return bytes;
    case HTTP1_LOST:
        return http1_lost(protocol, direction, data, bytes, time_ns);
    case HTTP1_WAIT:
        return http1_wait(protocol, data, bytes, time_ns);
    }
    return bytes;
}

uint32_t http1_data(struct protocol *protocol, enum direction direction, const uint8_t *data,
                    uint32_t bytes, uint64_t time_ns)
{
    const struct http1_side *side = &protocol->http1.side[direction];
    uint32_t at = 0;
    while (at < bytes && !protocol->inner && !side->replay)
        at += step(protocol, direction, data + at, bytes - at, time_ns);
    return at;
}

/* Bytes of a body whose length is known are missing: the framing holds. */
static void gap_in_body(struct protocol *protocol, enum direction direction)
{
    struct http1 *http1 = &protocol->http1;
    http1->side[direction].body_begun = true;
    struct pending *pending = direction == TO_SERVER ? http1->receiving : http1->answering;
    if (!pending)
        return;
    struct body *body = direction == TO_SERVER ? pending->request_body : pending->response_body;
    pending->flags |= direction == TO_SERVER ? TRANSACTION_REQUEST_GAP : TRANSACTION_RESPONSE_GAP;
    if (body)
        body_gap(body);
    if (direction == TO_SERVER)
        choice_request_gap(&protocol->http, pending);
}

/* What is missing of a decrypted stream was counted as ciphertext, which is longer: how much of a
 * body that was is not known. */
void http1_gap(struct protocol *protocol, enum direction direction, uint64_t bytes,
               uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    bool exact = !(protocol->http.flags & TRANSACTION_DECRYPTED);
    if (side->doubt && side->held.bytes) {
        struct kept held = side->held;
        side->held = (struct kept){0};
        side->doubt = false;
        http1_data(protocol, direction, held.data, held.bytes, side->start_ns);
        kept_free(&held, protocol->shared->budget);
    }
    if (side->state == HTTP1_WAIT) {
        side->missing_bytes += bytes;
    } else if (side->state == HTTP1_UNTIL_CLOSE) {
        gap_in_body(protocol, direction);
    } else if (exact && side->state == HTTP1_LENGTH && !side->doubt && bytes <= side->left) {
        gap_in_body(protocol, direction);
        side->left -= bytes;
        if (!side->left)
            http1_message_end(protocol, direction, time_ns);
    } else {
        http1_lose(protocol, direction, time_ns);
    }
}

static void end_response(struct protocol *protocol, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    bool whole = http1->side[TO_CLIENT].state == HTTP1_UNTIL_CLOSE;
    if (http1->answering && http1->answering->response_seen) {
        if (!whole)
            http1->answering->flags |= TRANSACTION_RESPONSE_CUT;
        pair_response_done(protocol, time_ns);
    }
    http1->answering = NULL;
}

void http1_end(struct protocol *protocol, enum direction direction, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct http1_side *side = &http1->side[direction];
    side->ended = true;
    if (side->state == HTTP1_WAIT)
        return;
    kept_free(&side->held, protocol->shared->budget);
    side->begun = side->doubt = false;
    if (direction == TO_CLIENT) {
        end_response(protocol, time_ns);
    } else if (http1->receiving) {
        http1->receiving->flags |= TRANSACTION_REQUEST_CUT;
        pair_request_done(protocol, time_ns);
    }
}

void http1_close(struct protocol *protocol, uint64_t time_ns)
{
    http1_end(protocol, TO_SERVER, time_ns);
    http1_end(protocol, TO_CLIENT, time_ns);
    pair_close(protocol, time_ns);
    kept_free(&protocol->http1.side[TO_SERVER].held, protocol->shared->budget);
}
