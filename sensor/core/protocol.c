#include "protocol.h"

#include <stdlib.h>
#include <string.h>

#include "authd.h"
#include "flow.h"
#include "http1.h"
#include "http2.h"
#include "interest_match.h"
#include "protocol_framed.h"
#include "protocol_tls.h"

/* https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt sections 2.1 and 2.2 */
enum { PROXY_V1_BYTES_MAX = 107, PROXY_V2_SIGNATURE_BYTES = 12, PROXY_V2_FIXED_BYTES = 16 };

static const char proxy_v1[] = "PROXY ";
static const char proxy_v2[] = "\r\n\r\n\0\r\nQUIT\n";

struct protocol *protocol_open(const struct protocol_shared *shared, struct flow *flow)
{
    if (!budget_take(shared->budget, sizeof(struct protocol))) {
        count(shared->counters, COUNT_memory_shed, 1);
        return NULL;
    }
    struct protocol *protocol = calloc(1, sizeof *protocol);
    if (!protocol) {
        budget_give(shared->budget, sizeof *protocol);
        count(shared->counters, COUNT_memory_shed, 1);
        return NULL;
    }
    protocol->shared = shared;
    protocol->flow = flow;
    protocol->http = (struct http_flow){.shared = shared, .flow = flow};
    protocol->decrypted = flow->tapped; /* a tap sees what is inside TLS */
    protocol->port_wanted = interest_wants_port(shared->interest, flow->protocol,
                                                flow->port[TO_SERVER]);
    return protocol;
}

static bool may_begin(const uint8_t *data, uint32_t bytes, const char *with, uint32_t with_bytes)
{
    return memcmp(data, with, bytes < with_bytes ? bytes : with_bytes) == 0;
}

/* START_YES: *length bytes are a PROXY header. */
static enum start_verdict proxy_start(const uint8_t *data, uint32_t bytes, uint32_t *length)
{
    if (may_begin(data, bytes, proxy_v1, sizeof proxy_v1 - 1)) {
        uint32_t limit = bytes < PROXY_V1_BYTES_MAX ? bytes : PROXY_V1_BYTES_MAX;
        const uint8_t *end = memchr(data, '\n', limit);
        if (!end)
            return bytes < PROXY_V1_BYTES_MAX ? START_MORE : START_NO;
        *length = (uint32_t)(end - data) + 1;
        return end[-1] == '\r' ? START_YES : START_NO;
    }
    if (!may_begin(data, bytes, proxy_v2, PROXY_V2_SIGNATURE_BYTES))
        return START_NO;
    if (bytes < PROXY_V2_FIXED_BYTES)
        return START_MORE;
    if (data[12] >> 4 != 2)
        return START_NO;
    *length = PROXY_V2_FIXED_BYTES + ((uint32_t)data[14] << 8 | data[15]);
    return bytes < *length ? START_MORE : START_YES;
}

static void hand_up(struct protocol *protocol, enum direction direction, const uint8_t *data,
                    uint32_t bytes, uint64_t time_ns)
{
    const struct protocol_shared *shared = protocol->shared;
    uint64_t room = shared->limits->stream_chunk_bytes_max - protocol->handed_bytes[direction];
    uint32_t handed = bytes < room ? bytes : (uint32_t)room;
    count(shared->counters, COUNT_stream_chunk_bytes, handed);
    count(shared->counters, COUNT_stream_skipped_bytes, bytes - handed);
    protocol->handed_bytes[direction] += handed;
    struct slice chunk = {data, handed};
    if (handed)
        shared->sink.chunk(shared->sink.context, protocol->flow, direction, chunk, time_ns);
}

void protocol_opaque(struct protocol *protocol, enum direction direction, const uint8_t *data,
                     uint32_t bytes, uint64_t time_ns)
{
    if (protocol->port_wanted)
        hand_up(protocol, direction, data, bytes, time_ns);
    else
        count(protocol->shared->counters, COUNT_stream_skipped_bytes, bytes);
}

/* What has been held is fed again, now that it is known what to. */
static void decide(struct protocol *protocol, enum layer layer)
{
    protocol->layer = (uint8_t)layer;
    for (int each = TO_SERVER; each <= TO_CLIENT; each++) {
        protocol->http1.side[each].state = layer == LAYER_HTTP1 ? HTTP1_HEAD : HTTP1_LOST;
        http1_replay(protocol, (enum direction)each, 0);
    }
}

/* The PROXY header at the beginning of `held` or of the chunk; returns the bytes of the chunk
 * taken. */
static uint32_t take_proxy_header(struct protocol *protocol, const uint8_t *data, uint32_t bytes,
                                  uint32_t length, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[TO_SERVER];
    const struct protocol_sink *sink = &protocol->shared->sink;
    bool held = side->held.bytes != 0;
    uint32_t before = held ? side->held.bytes - bytes : 0;
    struct slice header = {held ? side->held.data : data, length};
    sink->proxy_header(sink->context, protocol->flow, header, held ? side->start_ns : time_ns);
    protocol->no_proxy_header = true;
    kept_free(&side->held, protocol->shared->budget);
    return length - before;
}

static uint32_t line_ends(const uint8_t *data, uint32_t bytes)
{
    uint32_t at = 0;
    while (at < bytes && (data[at] == '\r' || data[at] == '\n'))
        at++;
    return at;
}

static enum start_verdict detect_server(struct protocol *protocol, const uint8_t *data,
                                        uint32_t bytes, uint32_t *proxy_bytes,
                                        enum layer *layer)
{
    if (!protocol->no_proxy_header) {
        enum start_verdict verdict = proxy_start(data, bytes, proxy_bytes);
        if (verdict != START_NO)
            return verdict;
    }
    *proxy_bytes = 0;
    enum start_verdict preface = http2_start(TO_SERVER, data, bytes);
    if (preface == START_YES)
        *layer = LAYER_HTTP2;
    if (preface != START_NO)
        return preface;
    enum tls_sniff sniff = tls_sniff(data, bytes);
    if (sniff == TLS_SNIFF_HELLO || sniff == TLS_SNIFF_MORE) {
        *layer = LAYER_TLS;
        return sniff == TLS_SNIFF_HELLO ? START_YES : START_MORE;
    }
    uint32_t at = line_ends(data, bytes);
    if (at == bytes)
        return bytes < START_BYTES_MAX ? START_MORE : START_NO;
    return http1_start(TO_SERVER, data + at, bytes - at);
}

/* A server may send its HTTP/2 settings before the client's preface, which decides, is seen. */
static enum start_verdict detect_client(const uint8_t *data, uint32_t bytes)
{
    if (bytes < START_BYTES_MAX && http2_start(TO_CLIENT, data, bytes) != START_NO)
        return START_MORE;
    return http1_start(TO_CLIENT, data, bytes);
}

static bool open_http2(struct protocol *protocol)
{
    protocol->http2 = http2_open(&protocol->http);
    return protocol->http2 != NULL;
}

static uint32_t detect(struct protocol *protocol, enum direction direction, const uint8_t *data,
                       uint32_t bytes, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct http1_side *side = &http1->side[direction];
    if (!http1->side[!direction].held.bytes && !side->held.bytes)
        protocol->first = (uint8_t)direction;
    uint32_t have = bytes, proxy_bytes = 0;
    bool held = side->held.bytes != 0;
    /* Empty lines before a request are no part of it. */
    if (held && line_ends(side->held.data, side->held.bytes) == side->held.bytes)
        side->start_ns = time_ns;
    const uint8_t *at = http1_joined(protocol, direction, data, &have);
    enum start_verdict verdict = START_NO;
    enum layer layer = LAYER_HTTP1;
    uint8_t kind = 0;
    enum start_verdict framed = at ? framed_start(protocol, direction, at, have, &kind) : START_NO;
    if (framed == START_YES)
        verdict = framed;
    else if (at && direction == TO_SERVER)
        verdict = detect_server(protocol, at, have, &proxy_bytes, &layer);
    else if (at)
        verdict = detect_client(at, have);
    if (verdict == START_NO)
        verdict = framed;
    if (verdict == START_NO && at && framed_may_be_console(protocol, direction)) {
        verdict = framed = START_YES;
        kind = FRAMED_CONSOLE;
    }
    if (verdict == START_YES && proxy_bytes)
        return take_proxy_header(protocol, data, bytes, proxy_bytes, time_ns);
    if (verdict == START_MORE && http1_hold(protocol, direction, data, bytes, time_ns))
        return bytes;
    if (verdict == START_YES && layer == LAYER_TLS && !protocol_tls_open(protocol))
        verdict = START_NO;
    if (verdict == START_YES && layer == LAYER_HTTP2 && !open_http2(protocol))
        verdict = START_NO;
    protocol->tls_first = verdict == START_YES && layer == LAYER_TLS;
    if (framed == START_YES) {
        layer = LAYER_FRAMED;
        verdict = protocol_framed_open(protocol, kind) ? START_YES : START_NO;
    }
    decide(protocol, verdict == START_YES ? layer : LAYER_OPAQUE);
    if (held && at)
        http1_replay(protocol, direction, bytes);
    return 0;
}

/* Of a stream nobody asked for, the beginning may have been missed: HTTP is still looked for. */
static uint32_t opaque(struct protocol *protocol, enum direction direction, const uint8_t *data,
                       uint32_t bytes, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    /* After a banner, or a dialogue in clear: vmware-authd on TCP 902. */
    if (direction == TO_SERVER && !protocol->decrypted &&
        tls_sniff(data, bytes) == TLS_SNIFF_HELLO && protocol_tls_open(protocol)) {
        protocol->layer = LAYER_TLS;
        return 0;
    }
    /* A client that spoke before it was greeted. */
    if (direction == TO_CLIENT && !protocol->authd && !protocol->http1.side[TO_CLIENT].held.bytes &&
        authd_banner(data, bytes) == START_YES && protocol_framed_open(protocol, FRAMED_AUTHD)) {
        protocol->layer = LAYER_FRAMED;
        return 0;
    }
    if (protocol->port_wanted || protocol->settled) {
        protocol_opaque(protocol, direction, data, bytes, time_ns);
        return bytes;
    }
    if (!protocol->http2_unseen && http2_likely(data, bytes)) {
        protocol->http2_unseen = true;
        count(protocol->shared->counters, COUNT_http2_unseen, 1);
    }
    if (http1_seek(protocol, direction, data, bytes, time_ns) != START_YES)
        return bytes;
    struct http1_side *other = &http1->side[!direction];
    protocol->layer = LAYER_HTTP1;
    other->state = other->met ? HTTP1_LOST : HTTP1_HEAD;
    http1->lost_requests = http1->side[TO_SERVER].met;
    return 0;
}

/* RFC 7540 section 3.2: the request goes on as the first stream. */
static void become_http2(struct protocol *protocol, uint64_t time_ns)
{
    bool opened = open_http2(protocol);
    struct pending *asked = opened ? pair_take(protocol) : NULL;
    if (asked)
        http2_upgraded(protocol->http2, asked, time_ns);
    pair_close(protocol, time_ns);
    protocol->settled = true;
    decide(protocol, opened ? LAYER_HTTP2 : LAYER_OPAQUE);
}

/* A tunnel or an upgraded connection begins where the answer ended. Returns what is known missing
 * of what the client said before. */
static uint64_t become_inner(struct protocol *protocol, uint64_t time_ns)
{
    struct http1 *http1 = &protocol->http1;
    struct http1_side *server = &http1->side[TO_SERVER];
    bool upgrade = protocol->inner == INNER_UPGRADE, http2 = protocol->inner == INNER_HTTP2;
    uint64_t missing_bytes = server->missing_bytes;
    protocol->inner = INNER_NONE;
    if (http2) {
        become_http2(protocol, time_ns);
        return 0;
    }
    if (upgrade) {
        pair_close(protocol, time_ns); /* what was pipelined behind the upgrade has no answer */
        protocol->settled = true;
        decide(protocol, LAYER_OPAQUE);
        return 0;
    }
    struct http1_side fresh = {.held = server->held, .start_ns = server->start_ns};
    http1->side[TO_SERVER] = fresh;
    http1->side[TO_CLIENT] = (struct http1_side){0};
    http1->owed = 0;
    http1->shedding = http1->pipelines = http1->lost_requests = false;
    protocol->http.flags |= TRANSACTION_TUNNELLED;
    protocol->no_proxy_header = false;
    decide(protocol, LAYER_DETECT);
    return missing_bytes;
}

static void feed(struct protocol *protocol, enum direction direction, const uint8_t *data,
                 uint32_t bytes, uint64_t time_ns);

static void replay(struct protocol *protocol, enum direction direction)
{
    struct http1_side *side = &protocol->http1.side[direction];
    if (!side->replay)
        return;
    struct kept held = side->held;
    side->held = (struct kept){0};
    side->replay = false;
    feed(protocol, direction, held.data, held.bytes, side->start_ns);
    kept_free(&held, protocol->shared->budget);
}

/* What a step left to do: become something else, feed what was held. */
static void settle(struct protocol *protocol, uint64_t time_ns)
{
    uint64_t missing_bytes = protocol->inner ? become_inner(protocol, time_ns) : 0;
    enum direction first = protocol->first;
    replay(protocol, first);
    replay(protocol, !first);
    if (missing_bytes)
        protocol_gap(protocol, TO_SERVER, missing_bytes, time_ns);
}

static void feed(struct protocol *protocol, enum direction direction, const uint8_t *data,
                 uint32_t bytes, uint64_t time_ns)
{
    for (uint32_t at = 0; at < bytes;) {
        switch ((enum layer)protocol->layer) {
        case LAYER_DETECT:
            at += detect(protocol, direction, data + at, bytes - at, time_ns);
            break;
        case LAYER_HTTP1:
            at += http1_data(protocol, direction, data + at, bytes - at, time_ns);
            break;
        case LAYER_HTTP2:
            http2_data(protocol->http2, direction, data + at, bytes - at, time_ns);
            at = bytes;
            break;
        case LAYER_OPAQUE:
            at += opaque(protocol, direction, data + at, bytes - at, time_ns);
            break;
        case LAYER_FRAMED:
            at += protocol_framed_data(protocol, direction, data + at, bytes - at, time_ns);
            break;
        case LAYER_TLS:
            tls_data(protocol->tls, direction, data + at, bytes - at, time_ns);
            at = bytes;
            break;
        }
        settle(protocol, time_ns);
    }
}

void protocol_data(struct protocol *protocol, enum direction direction, const uint8_t *data,
                   uint32_t bytes, uint64_t time_ns)
{
    if (protocol->http1.side[direction].ended)
        return;
    feed(protocol, direction, data, bytes, time_ns);
}

static void gap_in_opaque(struct protocol *protocol, enum direction direction, uint64_t bytes,
                          uint64_t time_ns)
{
    const struct protocol_shared *shared = protocol->shared;
    kept_free(&protocol->http1.side[direction].held, shared->budget);
    protocol->http1.side[direction].met = true;
    if (protocol->port_wanted &&
        protocol->handed_bytes[direction] < shared->limits->stream_chunk_bytes_max)
        shared->sink.gap(shared->sink.context, protocol->flow, direction, bytes, time_ns);
}

/* Bytes held for want of more will get no more. */
static void detect_no_further(struct protocol *protocol, uint64_t time_ns)
{
    decide(protocol, LAYER_OPAQUE);
    settle(protocol, time_ns);
}

void protocol_gap(struct protocol *protocol, enum direction direction, uint64_t bytes,
                  uint64_t time_ns)
{
    if (protocol->http1.side[direction].ended)
        return;
    if (protocol->layer == LAYER_DETECT)
        detect_no_further(protocol, time_ns);
    if (protocol->layer == LAYER_HTTP1)
        http1_gap(protocol, direction, bytes, time_ns);
    else if (protocol->layer == LAYER_HTTP2)
        http2_gap(protocol->http2, direction, bytes, time_ns);
    else if (protocol->layer == LAYER_TLS)
        tls_gap(protocol->tls, direction, bytes, time_ns);
    else if (protocol->layer == LAYER_FRAMED)
        protocol_framed_gap(protocol, direction, bytes, time_ns);
    else
        gap_in_opaque(protocol, direction, bytes, time_ns);
    settle(protocol, time_ns);
}

void protocol_end(struct protocol *protocol, enum direction direction, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    if (side->ended)
        return;
    if (protocol->layer == LAYER_DETECT && side->held.bytes)
        detect_no_further(protocol, time_ns);
    if (protocol->layer == LAYER_HTTP1)
        http1_end(protocol, direction, time_ns);
    else if (protocol->layer == LAYER_HTTP2)
        http2_end(protocol->http2, direction, time_ns);
    else if (protocol->layer == LAYER_TLS)
        tls_end(protocol->tls, direction, time_ns);
    else if (protocol->layer == LAYER_FRAMED)
        protocol_framed_end(protocol, direction);
    side->ended = true;
}

bool protocol_is_http(const struct protocol *protocol)
{
    return protocol->layer == LAYER_HTTP1 || protocol->layer == LAYER_HTTP2;
}

/* What vmware-authd says inside its TLS hands the flow over: to NFC in clear, or a second TLS. */
bool protocol_is_sealed(const struct protocol *protocol)
{
    return protocol->layer == LAYER_TLS && tls_is_sealed(protocol->tls) &&
           (protocol->tls_session > 1 || (protocol->tls_first && !protocol->authd));
}

void protocol_close(struct protocol *protocol, uint64_t time_ns)
{
    if (!protocol)
        return;
    struct budget *budget = protocol->shared->budget;
    protocol_end(protocol, TO_SERVER, time_ns);
    protocol_end(protocol, TO_CLIENT, time_ns);
    protocol_tls_close(protocol, time_ns);
    protocol_framed_close(protocol);
    http1_close(protocol, time_ns);
    http2_close(protocol->http2, time_ns);
    tokens_free(&protocol->http.tokens, budget);
    kept_free(&protocol->http1.side[TO_SERVER].held, budget);
    kept_free(&protocol->http1.side[TO_CLIENT].held, budget);
    free(protocol);
    budget_give(budget, sizeof *protocol);
}
