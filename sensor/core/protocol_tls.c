#include "protocol_tls.h"

#include "protocol_framed.h"
#include "tls.h"

bool protocol_tls_open(struct protocol *protocol)
{
    const struct tls_shared *shared = protocol->shared->tls;
    if (!shared)
        return false;
    if (!protocol->tls)
        protocol->tls = tls_open(shared, protocol);
    if (!protocol->tls)
        count(protocol->shared->counters, COUNT_memory_shed, 1);
    return protocol->tls != NULL;
}

static void close_inner(struct protocol *protocol, uint64_t time_ns)
{
    protocol_close(protocol->plain, time_ns);
    protocol_close(protocol->bare, time_ns);
    protocol->plain = protocol->bare = NULL;
    protocol->in_clear[TO_SERVER] = protocol->in_clear[TO_CLIENT] = false;
}

void protocol_tls_close(struct protocol *protocol, uint64_t time_ns)
{
    tls_close(protocol->tls, time_ns); /* hands up what it still holds */
    protocol->tls = NULL;
    close_inner(protocol, time_ns);
}

/* What authd does in clear goes on inside the first TLS; a second one is of the service. */
static void carries_on(const struct protocol *protocol, struct protocol *plain)
{
    plain->session = protocol->tls_session;
    if (protocol->authd == AUTHD_PASSED || (protocol->authd && protocol->tls_session > 1))
        plain->authd = AUTHD_PASSED;
    else if (protocol->authd == AUTHD_TALKS && protocol_framed_open(plain, FRAMED_AUTHD))
        plain->layer = LAYER_FRAMED;
}

/* What was decrypted is a stream of its own: whatever a clear one may be, but for TLS. */
static struct protocol *plain_of(struct protocol *protocol)
{
    if (protocol->plain)
        return protocol->plain;
    protocol->plain = protocol_open(protocol->shared, protocol->flow);
    if (protocol->plain) {
        protocol->plain->decrypted = true;
        protocol->plain->http.flags = protocol->http.flags | TRANSACTION_DECRYPTED;
        carries_on(protocol, protocol->plain);
    }
    return protocol->plain;
}

/* What a peer says in clear after the TLS: a service that authd has handed the flow to. */
static struct protocol *bare_of(struct protocol *protocol)
{
    if (!protocol->bare && protocol_has_authd(protocol))
        protocol->bare = protocol_open(protocol->shared, protocol->flow);
    if (protocol->bare)
        protocol->bare->authd = AUTHD_PASSED;
    return protocol->bare;
}

static void on_info(void *context, const struct tls_info *info, uint64_t time_ns)
{
    struct protocol *protocol = context;
    const struct protocol_sink *sink = &protocol->shared->sink;
    if (info->session != protocol->tls_session)
        close_inner(protocol, time_ns);
    protocol->tls_session = info->session;
    sink->tls(sink->context, protocol->flow, info);
}

static void on_plaintext(void *context, enum direction direction, const uint8_t *data,
                         uint32_t bytes, uint64_t time_ns)
{
    struct protocol *protocol = context, *plain = plain_of(protocol);
    protocol->in_clear[direction] = false;
    if (plain)
        protocol_data(plain, direction, data, bytes, time_ns);
}

static void on_clear(void *context, enum direction direction, const uint8_t *data, uint32_t bytes,
                     uint64_t time_ns)
{
    struct protocol *protocol = context, *bare = bare_of(protocol);
    protocol->in_clear[direction] = true;
    if (bare)
        protocol_data(bare, direction, data, bytes, time_ns);
    else
        protocol_opaque(protocol, direction, data, bytes, time_ns);
}

/* Of a session that was never decrypted, all is missing: its tls_info says so. */
static void on_gap(void *context, enum direction direction, uint64_t bytes, uint64_t time_ns)
{
    struct protocol *protocol = context;
    const struct protocol_sink *sink = &protocol->shared->sink;
    struct protocol *inner = protocol->in_clear[direction] ? protocol->bare : protocol->plain;
    if (!inner)
        return;
    if (protocol_is_http(inner))
        sink->gap(sink->context, protocol->flow, direction, bytes, time_ns);
    protocol_gap(inner, direction, bytes, time_ns);
}

static void on_end(void *context, enum direction direction, uint64_t time_ns)
{
    struct protocol *protocol = context;
    struct protocol *inner = protocol->in_clear[direction] ? protocol->bare : protocol->plain;
    if (inner)
        protocol_end(inner, direction, time_ns);
}

const struct tls_sink protocol_tls_sink = {
    .info = on_info,
    .plaintext = on_plaintext,
    .clear = on_clear,
    .gap = on_gap,
    .end = on_end,
};
