#include "protocol_tls.h"

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

static void close_plain(struct protocol *protocol, uint64_t time_ns)
{
    protocol_close(protocol->plain, time_ns);
    protocol->plain = NULL;
}

void protocol_tls_close(struct protocol *protocol, uint64_t time_ns)
{
    tls_close(protocol->tls, time_ns); /* hands up what it still holds */
    protocol->tls = NULL;
    close_plain(protocol, time_ns);
}

/* What was decrypted is a stream of its own: whatever a clear one may be, but for TLS. */
static struct protocol *plain_of(struct protocol *protocol)
{
    if (protocol->plain)
        return protocol->plain;
    protocol->plain = protocol_open(protocol->shared, protocol->flow);
    if (protocol->plain) {
        protocol->plain->decrypted = true;
        protocol->plain->http1.tunnelled = protocol->http1.tunnelled;
    }
    return protocol->plain;
}

static void on_info(void *context, const struct tls_info *info, uint64_t time_ns)
{
    struct protocol *protocol = context;
    const struct protocol_sink *sink = &protocol->shared->sink;
    if (info->session != protocol->tls_session)
        close_plain(protocol, time_ns);
    protocol->tls_session = info->session;
    sink->tls(sink->context, protocol->flow, info);
}

static void on_plaintext(void *context, enum direction direction, const uint8_t *data,
                         uint32_t bytes, uint64_t time_ns)
{
    struct protocol *plain = plain_of(context);
    if (plain)
        protocol_data(plain, direction, data, bytes, time_ns);
}

static void on_clear(void *context, enum direction direction, const uint8_t *data, uint32_t bytes,
                     uint64_t time_ns)
{
    protocol_opaque(context, direction, data, bytes, time_ns);
}

/* Of a session that was never decrypted, all is missing: its tls_info says so. */
static void on_gap(void *context, enum direction direction, uint64_t bytes, uint64_t time_ns)
{
    struct protocol *protocol = context;
    const struct protocol_sink *sink = &protocol->shared->sink;
    if (!protocol->plain)
        return;
    if (protocol_is_http(protocol->plain))
        sink->gap(sink->context, protocol->flow, direction, bytes, time_ns);
    protocol_gap(protocol->plain, direction, bytes, time_ns);
}

static void on_end(void *context, enum direction direction, uint64_t time_ns)
{
    struct protocol *protocol = context;
    if (protocol->plain)
        protocol_end(protocol->plain, direction, time_ns);
}

const struct tls_sink protocol_tls_sink = {
    .info = on_info,
    .plaintext = on_plaintext,
    .clear = on_clear,
    .gap = on_gap,
    .end = on_end,
};
