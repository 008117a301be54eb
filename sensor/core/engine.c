#include "engine.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "cutter.h"
#include "decap.h"
#include "flow.h"
#include "intake.h"
#include "interest_match.h"
#include "protocol.h"
#include "tapped.h"

enum {
    FILL_PACKETS = 1 << 16, /* a file with nothing of interest still reports progress */
    CLOCK_EVERY_PACKETS = 256, /* how often a live fill looks at the wall clock */
    RECEIVERS_MAX = 64, /* workers, as many as may be configured */
    DRAIN_EVENTS = 1 << 18, /* of a tap, once told to stop: more than a ring holds, and an end */
};

struct engine {
    struct source *source; /* owned by engine; closed in engine_close, as all below */
    struct decap *decap;
    struct duplicates *duplicates;
    struct flow_table *flows;
    struct operations *operations;
    struct changes *changes;
    struct tls_secrets *secrets;
    struct intake *intake;
    struct tapped *tapped; /* NULL: the source has packets */
    struct intake *receivers[RECEIVERS_MAX]; /* of workers that a tap's secrets are for; shared */
    size_t receiver_count;
    struct limits limits;
    struct tls_limits tls_limits;
    struct tls_counters tls_counters;
    struct tls_shared tls;
    struct budget budget;
    struct counters counters;
    /* Packets that every worker sees are counted by the first; the others count here. */
    struct counters uncounted;
    struct protocol_shared shared;
    const struct interest *interest;
    struct cutter *cutter; /* borrowed, as interest; may be NULL */
    struct batch *batch; /* where events go: the caller's during engine_fill, else unread */
    struct batch *unread; /* events nobody is there to read: of flows that end in engine_close */
    uint64_t clock_ns;   /* the latest packet time seen: it never falls */
    uint64_t ordinal;    /* of the last packet; events between two fills belong to it */
    uint32_t worker, workers;
    bool splits; /* keeps only the flows whose hash is its own */
    bool counts_packets;
    bool decrypt;
    size_t secrets_seen; /* of the source */
    uint32_t drained;    /* events read since it was told to stop */
    bool ended;
    atomic_bool stopping; /* the one field that another thread may set */
};

static void on_transaction(void *context, struct flow *flow,
                           const struct transaction *transaction)
{
    struct engine *engine = context;
    batch_transaction(engine->batch, flow, transaction);
}

static void on_proxy_header(void *context, struct flow *flow, struct slice header,
                            uint64_t time_ns)
{
    (void)time_ns;
    struct engine *engine = context;
    batch_bytes(engine->batch, EVENT_PROXY_HEADER, flow, TO_SERVER, header);
}

static void on_chunk(void *context, struct flow *flow, enum direction direction,
                     struct slice chunk, uint64_t time_ns)
{
    (void)time_ns;
    struct engine *engine = context;
    batch_bytes(engine->batch, EVENT_CHUNK, flow, direction, chunk);
}

static void on_gap(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                   uint64_t time_ns)
{
    (void)time_ns;
    struct engine *engine = context;
    batch_gap(engine->batch, flow, direction, bytes);
}

static void on_tls(void *context, struct flow *flow, const struct tls_info *info)
{
    struct engine *engine = context;
    batch_tls(engine->batch, flow, info);
}

static void on_message(void *context, struct flow *flow, enum direction direction,
                       const struct framed *framed)
{
    struct engine *engine = context;
    batch_message(engine->batch, flow, direction, framed);
}

static struct protocol *protocol_of(struct engine *engine, struct flow *flow)
{
    if (!flow->protocol_state)
        flow->protocol_state = protocol_open(&engine->shared, flow);
    return flow->protocol_state;
}

static void stream_data(void *context, struct flow *flow, enum direction direction,
                        const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    struct engine *engine = context;
    struct protocol *protocol = protocol_of(engine, flow);
    if (!protocol)
        return;
    protocol_data(protocol, direction, data, bytes, time_ns);
    flow->unread = engine->cutter && protocol_is_sealed(protocol);
}

static void stream_gap(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                       uint64_t time_ns)
{
    struct engine *engine = context;
    struct protocol *protocol = protocol_of(engine, flow);
    if (!protocol)
        return;
    if (protocol_is_http(protocol))
        batch_gap(engine->batch, flow, direction, bytes);
    protocol_gap(protocol, direction, bytes, time_ns);
}

static void stream_close(void *context, struct flow *flow, enum direction direction,
                         uint64_t time_ns)
{
    (void)context;
    if (flow->protocol_state)
        protocol_end(flow->protocol_state, direction, time_ns);
}

static void on_flow_ended(void *context, struct flow *flow, uint64_t time_ns)
{
    struct engine *engine = context;
    if (flow->protocol_state)
        protocol_close(flow->protocol_state, time_ns);
    flow->protocol_state = NULL;
    batch_flow_end(engine->batch, flow);
    if (flow->tapped)
        tapped_ended(engine->tapped, flow);
}

static void forget(void *context, struct flow *flow, uint64_t time_ns)
{
    (void)context;
    protocol_close(flow->protocol_state, time_ns);
    flow->protocol_state = NULL;
}

/* Who cannot take one counts it: it is one of those that came too fast. */
static void tell_secret(void *context, const char *line, size_t bytes)
{
    struct engine *engine = context;
    for (size_t i = 0; i < engine->receiver_count; i++)
        if (!intake_add(engine->receivers[i], TLS_KEY_TAP, line, bytes))
            count(&engine->counters, COUNT_tap_secrets_shed, 1);
}

static bool open_tapped(struct engine *engine, const struct stream_sink *sink)
{
    struct tapped_options options = {
        .limits = &engine->limits,
        .budget = &engine->budget,
        .counters = &engine->counters,
        .flows = engine->flows,
        .sink = *sink,
        .secret = tell_secret,
        .forget = forget,
        .context = engine,
        .tap = engine->source,
    };
    engine->tapped = engine->flows ? tapped_open(&options) : NULL;
    return engine->tapped != NULL;
}

static bool open_parts(struct engine *engine, bool tapped)
{
    struct stream_sink stream_sink = {engine, stream_data, stream_gap, stream_close};
    struct counters *shared_counters =
        engine->counts_packets ? &engine->counters : &engine->uncounted;

    engine->decap = decap_open(&engine->limits, &engine->budget, shared_counters);
    engine->duplicates = duplicates_open(&engine->limits);
    engine->operations = operations_open(&engine->limits, &engine->counters);
    engine->changes = changes_open();
    engine->unread = batch_open();
    engine->flows = flow_table_open(&engine->limits, &engine->budget, &engine->counters,
                                    &stream_sink, on_flow_ended, engine);
    engine->intake = intake_open();
    engine->secrets =
        tls_secrets_open(&engine->tls_limits, &engine->budget, &engine->tls_counters);
    engine->tls = (struct tls_shared){
        .limits = &engine->tls_limits,
        .budget = &engine->budget,
        .counters = &engine->tls_counters,
        .secrets = engine->secrets,
        .sink = protocol_tls_sink,
    };
    engine->shared = (struct protocol_shared){
        .limits = &engine->limits,
        .interest = engine->interest,
        .budget = &engine->budget,
        .counters = &engine->counters,
        .operations = engine->operations,
        .changes = engine->changes,
        .tls = &engine->tls,
        .sink = {engine, on_transaction, on_proxy_header, on_chunk, on_gap, on_tls, on_message},
    };
    return engine->decap && engine->duplicates && engine->operations && engine->changes &&
           engine->unread && engine->flows && engine->secrets && engine->intake &&
           (!tapped || open_tapped(engine, &stream_sink));
}

struct engine *engine_open(struct source *source, const struct engine_options *options)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        source->ops->close(source);
        return NULL;
    }
    engine->source = source;
    engine->limits = options->limits;
    engine->budget.limit_bytes = options->limits.memory_bytes_max;
    engine->tls_limits = options->tls_limits;
    engine->decrypt = options->decrypt;
    if (!options->decrypt)
        engine->tls_limits.tls_held_bytes_max = 0;
    engine->interest = options->interest;
    engine->cutter = options->decrypt ? NULL : options->cutter;
    engine->worker = options->worker;
    engine->workers = options->workers;
    engine->splits = options->workers > 1 && !options->kernel_fanout;
    engine->counts_packets = !engine->splits || options->worker == 0;
    if (!open_parts(engine, options->tapped)) {
        engine_close(engine);
        return NULL;
    }
    return engine;
}

static bool wanted(const struct engine *engine, const struct datagram *datagram)
{
    if (datagram->protocol == PROTO_TCP)
        return true;
    return datagram->protocol == PROTO_UDP &&
           (interest_wants_port(engine->interest, PROTO_UDP, datagram->destination_port) ||
            interest_wants_port(engine->interest, PROTO_UDP, datagram->source_port));
}

static void leave_unread(struct engine *engine, const struct packet *packet,
                         const struct datagram *datagram)
{
    if (datagram->tunnel == TUNNEL_NONE && packet->wire_bytes >= CUTTER_FRAME_BYTES_MIN &&
        packet->wire_bytes == packet->captured_bytes)
        cutter_mark(engine->cutter, datagram);
}

static void process(struct engine *engine, const struct packet *packet)
{
    struct datagram datagram;
    if (decap(engine->decap, packet, &datagram) != DECAP_DATAGRAM || !wanted(engine, &datagram))
        return;
    if (engine->splits && flow_hash(&datagram) % engine->workers != engine->worker)
        return;
    if (duplicate_seen(engine->duplicates, &datagram, packet->time_ns)) {
        count(&engine->counters, COUNT_duplicates, 1);
        return;
    }
    enum direction direction;
    struct flow *flow = flow_of(engine->flows, &datagram, packet, &direction);
    if (!flow)
        return;
    if (datagram.protocol == PROTO_TCP) {
        flow_table_segment(engine->flows, flow, direction, &datagram, packet->time_ns);
        if (flow->unread)
            leave_unread(engine, packet, &datagram);
        return;
    }
    count(&engine->counters, COUNT_udp_datagrams, 1);
    struct slice payload = {datagram.payload, datagram.payload_bytes};
    batch_bytes(engine->batch, EVENT_DATAGRAM, flow, direction, payload);
}

static void take(struct engine *engine, const struct packet *packet)
{
    engine->batch->ordinal = engine->ordinal = packet->ordinal;
    if (engine->tapped) {
        tapped_event(engine->tapped, packet);
        return;
    }
    if (engine->counts_packets) {
        count(&engine->counters, COUNT_packets, 1);
        count(&engine->counters, COUNT_packet_bytes, packet->wire_bytes);
    }
    process(engine, packet);
}

static void advance(struct engine *engine, uint64_t time_ns)
{
    if (time_ns <= engine->clock_ns)
        return;
    engine->clock_ns = time_ns;
    engine->batch->time_ns = time_ns;
    flow_table_advance(engine->flows, time_ns);
    tls_wake(engine->secrets, time_ns);
}

/* Those who wait for a secret use it before as many others follow that it is forgotten. */
enum { WAKE_EVERY_SECRETS = 256 };

static void take_line(void *context, enum tls_key_source source, const char *line, size_t bytes)
{
    struct engine *engine = context;
    if (tls_secrets_line(engine->secrets, source, line, bytes) == TLS_LINE_TAKEN &&
        tls_secrets_generation(engine->secrets) % WAKE_EVERY_SECRETS == 0)
        tls_wake(engine->secrets, engine->clock_ns);
}

/* "TLSK", pcapng section 4.7 */
enum { SECRETS_TLS_KEY_LOG = 0x544c534b };

/* Of a pcapng that cannot be read twice: secrets as they come by. */
static bool take_stream_secrets(struct engine *engine)
{
    const struct source *source = engine->source;
    uint32_t type;
    size_t bytes;
    const uint8_t *secret;
    bool any = false;
    while (engine->decrypt &&
           (secret = source->ops->secret(source, engine->secrets_seen, &type, &bytes))) {
        engine->secrets_seen++;
        if (type == SECRETS_TLS_KEY_LOG)
            any |= intake_add(engine->intake, TLS_KEY_DSB, (const char *)secret, bytes);
    }
    return any && intake_drain(engine->intake, take_line, engine);
}

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum fill_verdict finish(struct engine *engine, enum source_verdict verdict)
{
    engine->ended = true;
    engine->batch->ordinal = engine->ordinal + 1; /* past every watermark given out */
    if (take_stream_secrets(engine))
        tls_wake(engine->secrets, engine->clock_ns);
    flow_table_flush(engine->flows, engine->clock_ns);
    return verdict == SOURCE_ERROR ? FILL_ERROR : FILL_END;
}

static enum fill_verdict fill(struct engine *engine, struct batch *batch, int timeout_ms)
{
    engine->batch = batch;
    batch->time_ns = engine->clock_ns;
    batch->ordinal = engine->ordinal;
    if (intake_drain(engine->intake, take_line, engine))
        tls_wake(engine->secrets, engine->clock_ns);
    int64_t until_ms = monotonic_ms() + timeout_ms;
    for (uint32_t done = 0; done < FILL_PACKETS && !batch_full(batch); done++) {
        bool stopping = atomic_load_explicit(&engine->stopping, memory_order_relaxed);
        if (stopping && (!engine->tapped || engine->drained++ == DRAIN_EVENTS))
            return finish(engine, SOURCE_END);
        struct packet packet;
        enum source_verdict verdict =
            engine->source->ops->next(engine->source, &packet, stopping ? 0 : timeout_ms);
        if (verdict == SOURCE_END || verdict == SOURCE_ERROR)
            return finish(engine, verdict);
        advance(engine, packet.time_ns);
        if (verdict == SOURCE_IDLE)
            return stopping ? finish(engine, SOURCE_END) : FILL_MORE;
        take(engine, &packet);
        if (done % CLOCK_EVERY_PACKETS != CLOCK_EVERY_PACKETS - 1)
            continue;
        if (take_stream_secrets(engine))
            tls_wake(engine->secrets, engine->clock_ns);
        if (monotonic_ms() >= until_ms)
            return FILL_MORE;
    }
    return FILL_MORE;
}

enum fill_verdict engine_fill(struct engine *engine, struct batch *batch, int timeout_ms)
{
    if (engine->ended)
        return FILL_END;
    enum fill_verdict verdict = fill(engine, batch, timeout_ms);
    tls_secrets_leave(engine->secrets); /* which fill is a thread's last one, nobody says */
    return verdict;
}

bool engine_add_secrets(struct engine *engine, enum tls_key_source source, const char *lines,
                        size_t bytes)
{
    return intake_add(engine->intake, source, lines, bytes);
}

bool engine_add_file_secrets(struct engine *engine, const char *path)
{
    char error[SOURCE_ERROR_BYTES];
    struct stat status;
    if (stat(path, &status) || !S_ISREG(status.st_mode))
        return true;
    struct source *file = pcapfile_open(path, 0, error);
    if (!file)
        return true;
    struct packet packet;
    while (pcapfile_holds_secrets(file) && file->ops->next(file, &packet, 0) == SOURCE_PACKET)
        ;
    bool added = true;
    uint32_t type;
    size_t bytes;
    const uint8_t *secret;
    for (size_t i = 0; added && (secret = file->ops->secret(file, i, &type, &bytes)); i++)
        if (type == SECRETS_TLS_KEY_LOG)
            added = intake_add(engine->intake, TLS_KEY_DSB, (const char *)secret, bytes);
    file->ops->close(file);
    return added;
}

bool engine_copy_secrets(struct engine *engine, struct engine *from)
{
    return intake_copy(engine->intake, from->intake);
}

bool engine_tell_secrets(struct engine *engine, struct engine *to)
{
    if (engine->receiver_count == RECEIVERS_MAX)
        return false;
    engine->receivers[engine->receiver_count++] = intake_share(to->intake);
    return true;
}

enum tls_rsa_verdict engine_add_rsa_key(struct engine *engine, const char *pem, size_t bytes)
{
    return tls_secrets_rsa_key(engine->secrets, pem, bytes);
}

void engine_stop(struct engine *engine)
{
    atomic_store(&engine->stopping, true);
}

const char *engine_error(const struct engine *engine)
{
    return engine->source->error;
}

const struct counters *engine_counters(const struct engine *engine)
{
    return &engine->counters;
}

const struct tls_counters *engine_tls_counters(const struct engine *engine)
{
    return &engine->tls_counters;
}

const struct operations *engine_operations(const struct engine *engine)
{
    return engine->operations;
}

const struct budget *engine_budget(const struct engine *engine)
{
    return &engine->budget;
}

struct source *engine_source(const struct engine *engine)
{
    return engine->source;
}

void engine_close(struct engine *engine)
{
    if (!engine)
        return;
    engine->batch = engine->unread;
    flow_table_close(engine->flows);
    tapped_close(engine->tapped);
    while (engine->receiver_count)
        intake_close(engine->receivers[--engine->receiver_count]);
    batch_close(engine->unread);
    tls_secrets_close(engine->secrets);
    intake_close(engine->intake);
    duplicates_close(engine->duplicates);
    decap_close(engine->decap);
    operations_close(engine->operations);
    changes_close(engine->changes);
    if (engine->source)
        engine->source->ops->close(engine->source);
    free(engine);
}
