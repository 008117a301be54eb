#include "protocol_framed.h"

#include <string.h>

#include "authd.h"
#include "flow.h"
#include "libvirt.h"
#include "nfc.h"
#include "vix.h"

/* RFC 6143 section 7.1.1: the server speaks first. */
static enum start_verdict server_console(enum direction direction, const uint8_t *data,
                                         uint32_t bytes)
{
    return direction == TO_CLIENT ? console_start(data, bytes) : START_NO;
}

static enum start_verdict hello_start(enum direction direction, const uint8_t *data,
                                      uint32_t bytes)
{
    if (direction == TO_CLIENT)
        return START_NO;
    enum tls_sniff sniff = tls_sniff(data, bytes);
    if (sniff == TLS_SNIFF_HELLO)
        return START_YES;
    return sniff == TLS_SNIFF_MORE ? START_MORE : START_NO;
}

enum start_verdict framed_sniff(enum direction direction, const uint8_t *data, uint32_t bytes)
{
    const enum start_verdict each[] = {
        hello_start(direction, data, bytes),
        server_console(direction, data, bytes),
        aio_start(data, bytes),
        vix_start(direction, data, bytes),
    };
    enum start_verdict best = START_NO;
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        if (each[i] > best)
            best = each[i];
    }
    return best;
}

static bool authd_port(const struct flow *flow)
{
    uint16_t port = flow->port[TO_SERVER];
    return port == 902 || port == 903 || port == 912;
}

bool protocol_has_authd(const struct protocol *protocol)
{
    return protocol->authd || (protocol->plain && protocol->plain->authd) ||
           authd_port(protocol->flow);
}

struct candidate {
    enum start_verdict verdict;
    uint8_t kind;
};

enum start_verdict framed_start(const struct protocol *protocol, enum direction direction,
                                const uint8_t *data, uint32_t bytes, uint8_t *kind)
{
    bool passed = protocol->authd == AUTHD_PASSED;
    bool words = direction == TO_SERVER && !passed && protocol->decrypted &&
                 authd_port(protocol->flow);
    const struct candidate each[] = {
        {direction == TO_CLIENT ? authd_banner(data, bytes) : START_NO, FRAMED_AUTHD},
        {words ? authd_words(data, bytes) : START_NO, FRAMED_AUTHD},
        {passed ? server_console(direction, data, bytes) : START_NO, FRAMED_CONSOLE},
        {vix_start(direction, data, bytes), FRAMED_VIX},
        {libvirt_start(protocol->decrypted, direction, data, bytes), FRAMED_LIBVIRT},
        {passed ? nfc_start(data, bytes) : START_NO, FRAMED_NFC},
        {passed ? aio_start(data, bytes) : START_NO, FRAMED_NFC},
    };
    enum start_verdict best = START_NO;
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        if (each[i].verdict > best) {
            best = each[i].verdict;
            *kind = each[i].kind;
        }
    }
    return best;
}

bool framed_may_be_console(const struct protocol *protocol, enum direction direction)
{
    return direction == TO_SERVER && protocol->authd == AUTHD_PASSED;
}

bool protocol_framed_open(struct protocol *protocol, enum framed_protocol kind)
{
    protocol->framing = framing_open(protocol->shared, protocol->flow, kind);
    if (!protocol->framing)
        return false;
    protocol->framing->session = protocol->session;
    protocol->framing->decrypted = protocol->decrypted;
    if (kind == FRAMED_AUTHD)
        protocol->authd = AUTHD_TALKS;
    return true;
}

/* What was held becomes the beginning of what comes next. */
static void turn(struct protocol *protocol, enum direction direction)
{
    struct framing *framing = protocol->framing;
    bool opaque = framing->turn == TURN_OPAQUE;
    for (int each = TO_SERVER; each <= TO_CLIENT; each++) {
        struct framing_side *side = &framing->side[each];
        struct http1_side *next = &protocol->http1.side[each];
        if (opaque)
            continue;
        *next = (struct http1_side){
            .held = side->held, .start_ns = side->start_ns, .ended = next->ended};
        side->held = (struct kept){0};
        http1_replay(protocol, (enum direction)each, 0);
    }
    if (framing->turn == TURN_PASSED)
        protocol->authd = AUTHD_PASSED;
    protocol->settled = opaque;
    protocol->first = (uint8_t)direction;
    protocol->layer = opaque ? LAYER_OPAQUE : LAYER_DETECT;
    protocol_framed_close(protocol);
}

uint32_t protocol_framed_data(struct protocol *protocol, enum direction direction,
                              const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    uint32_t used = framing_data(protocol->framing, direction, data, bytes, time_ns);
    if (protocol->framing->turn)
        turn(protocol, direction);
    return used;
}

void protocol_framed_gap(struct protocol *protocol, enum direction direction, uint64_t bytes,
                         uint64_t time_ns)
{
    const struct protocol_sink *sink = &protocol->shared->sink;
    framing_gap(protocol->framing, direction, time_ns);
    sink->gap(sink->context, protocol->flow, direction, bytes, time_ns);
}

void protocol_framed_end(struct protocol *protocol, enum direction direction)
{
    framing_end(protocol->framing, direction);
}

void protocol_framed_close(struct protocol *protocol)
{
    framing_close(protocol->framing);
    protocol->framing = NULL;
}
