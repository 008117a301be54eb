#include "tapped.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "endpoints.h"
#include "hash64.h"
#include "process.h"
#include "speaker.h"
#include "tap.h"

enum { BUCKETS_MAX = 1 << 16 };

struct tapped_session {
    struct flow_tap tap; /* first, so that it leads back here from the flow */
    struct tapped_session *next;
    struct flow *flow; /* NULL: it ended, and the session may say more */
    struct tapped_session *older, *newer; /* without a flow */
    uint64_t session, generation;
    uint64_t offset[2]; /* by enum tap_direction: the next byte */
    bool guessed;       /* who is the server: neither role nor words have told yet */
    bool looked_up;     /* its socket, found or not */
    bool closed;
};

struct tapped {
    struct tapped_options options;
    uint64_t mask;
    struct tapped_session **buckets; /* owned, with what they lead to; freed in tapped_close */
    struct tapped_session *oldest, *newest; /* without a flow, so that they can be let go */
    uint64_t kept;
    struct processes processes;
};

struct heard {
    struct tap_event event;
    const uint8_t *data;
    uint32_t bytes;
    uint64_t time_ns;
};

struct tapped *tapped_open(const struct tapped_options *options)
{
    struct tapped *tapped = calloc(1, sizeof *tapped);
    uint64_t buckets = 64;
    if (!tapped)
        return NULL;
    tapped->options = *options;
    while (buckets < options->limits->flows_max && buckets < BUCKETS_MAX)
        buckets *= 2;
    tapped->mask = buckets - 1;
    tapped->buckets = calloc(buckets, sizeof *tapped->buckets);
    if (tapped->buckets)
        return tapped;
    tapped_close(tapped);
    return NULL;
}

static struct tapped_session **bucket_of(const struct tapped *tapped, uint32_t pid,
                                         uint64_t session, uint64_t generation)
{
    uint64_t hash = hash64_mix(session ^ pid, generation ^ 0xa0761d6478bd642fu);
    return &tapped->buckets[hash & tapped->mask];
}

static struct tapped_session *find(const struct tapped *tapped, const struct tap_event *event)
{
    struct tapped_session *session =
        *bucket_of(tapped, event->pid, event->session, event->generation);
    while (session && !(session->session == event->session && session->tap.pid == event->pid &&
                        session->generation == event->generation &&
                        session->tap.number == event->tap))
        session = session->next;
    return session;
}

/* The end of a direction that goes to the process, or comes from it. */
static enum direction direction_of(const struct tapped_session *session, unsigned direction)
{
    return (direction == TAP_READ) == session->tap.serves ? TO_SERVER : TO_CLIENT;
}

static void let_go(struct tapped *tapped, struct tapped_session *session)
{
    *(session->older ? &session->older->newer : &tapped->oldest) = session->newer;
    *(session->newer ? &session->newer->older : &tapped->newest) = session->older;
    tapped->kept--;
}

/* It has no flow, and is not among those kept. */
static void forget(struct tapped *tapped, struct tapped_session *session)
{
    struct tapped_session **link =
        bucket_of(tapped, session->tap.pid, session->session, session->generation);
    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    free(session);
    budget_give(tapped->options.budget, sizeof *session);
}

/* A session without a flow: it is remembered while there is room. */
static void keep(struct tapped *tapped, struct tapped_session *session)
{
    session->flow = NULL;
    session->newer = NULL;
    session->older = tapped->newest;
    *(tapped->newest ? &tapped->newest->newer : &tapped->oldest) = session;
    tapped->newest = session;
    if (++tapped->kept <= tapped->options.limits->flows_max)
        return;
    session = tapped->oldest;
    let_go(tapped, session);
    forget(tapped, session);
}

static void place(struct tapped_session *session, const struct endpoints *endpoints)
{
    struct flow *flow = session->flow;
    enum direction own = session->tap.serves ? TO_SERVER : TO_CLIENT;
    if (flow->announced) /* whoever was told is not told otherwise */
        return;
    memcpy(flow->address[own], endpoints->local, ADDRESS_BYTES);
    memcpy(flow->address[!own], endpoints->peer, ADDRESS_BYTES);
    flow->port[own] = endpoints->local_port;
    flow->port[!own] = endpoints->peer_port;
    flow->ip_version = endpoints->ip_version;
    session->tap.placed = true;
}

/* What the process has open now, if it is still what the event was about. */
static void look_up(const struct tapped *tapped, struct tapped_session *session,
                    const struct tap_event *event)
{
    const struct source *tap = tapped->options.tap;
    struct endpoints endpoints;
    session->looked_up = true;
    if (tap && endpoints_of(event->pid, event->fd, &endpoints) && tap_still_holds(tap, event))
        place(session, &endpoints);
}

/* Of a process whose role is not known: what it said first tells, or that it spoke first. */
static bool seems_to_serve(const struct heard *heard)
{
    bool wrote = heard->event.direction == TAP_WRITTEN;
    enum speaker speaker = speaker_of(heard->data, heard->bytes);
    return speaker == SPEAKER_SERVER ? wrote : !wrote;
}

static struct tapped_session *begin(struct tapped *tapped, const struct tap_event *event)
{
    struct budget *budget = tapped->options.budget;
    if (!budget_take(budget, sizeof(struct tapped_session)))
        return NULL;
    struct tapped_session *session = calloc(1, sizeof *session);
    if (!session) {
        budget_give(budget, sizeof *session);
        return NULL;
    }
    *session = (struct tapped_session){
        .tap = {.pid = event->pid, .number = event->tap},
        .session = event->session,
        .generation = event->generation,
        .guessed = true,
    };
    struct tapped_session **bucket =
        bucket_of(tapped, event->pid, event->session, event->generation);
    session->next = *bucket;
    *bucket = session;
    keep(tapped, session);
    if (event->late)
        count(tapped->options.counters, COUNT_tap_flows_late, 1);
    return session;
}

/* A flow that was idle for long ended; the session goes on in another where it had come to. */
static bool has_flow(struct tapped *tapped, struct tapped_session *session,
                     const struct heard *heard)
{
    if (session->flow)
        return true;
    let_go(tapped, session); /* first: making room may end flows, whose sessions are kept then */
    session->flow = flow_table_tapped(tapped->options.flows, &session->tap, heard->time_ns);
    if (!session->flow) {
        keep(tapped, session);
        return false;
    }
    session->looked_up = session->tap.placed = false;
    session->tap.process = processes_find(&tapped->processes, heard->event.pid);
    count(tapped->options.counters, COUNT_tap_flows, 1);
    return true;
}

static void turn_round(struct tapped *tapped, struct tapped_session *session,
                       const struct heard *heard)
{
    const struct flow *flow = session->flow;
    if (flow->packets[TO_SERVER] || flow->packets[TO_CLIENT])
        tapped->options.forget(tapped->options.context, session->flow, heard->time_ns);
    session->tap.serves = !session->tap.serves;
    flow_turn_round(session->flow);
}

/* As long as nobody has been told of the flow, the guess may turn out wrong. */
static void reconsider(struct tapped *tapped, struct tapped_session *session,
                       const struct heard *heard)
{
    const struct tap_event *event = &heard->event;
    const struct flow *flow = session->flow;
    bool serves = session->tap.serves;
    if (event->role != TAP_ROLE_UNKNOWN) {
        serves = event->role == TAP_ROLE_SERVER;
        session->guessed = false;
    } else if (event->kind == TAP_DATA) {
        bool tells = speaker_of(heard->data, heard->bytes) != SPEAKER_UNKNOWN;
        bool first = !flow->packets[TO_SERVER] && !flow->packets[TO_CLIENT];
        if (tells || first)
            serves = seems_to_serve(heard);
        session->guessed = !tells;
    }
    if (serves != session->tap.serves && !flow->announced)
        turn_round(tapped, session, heard);
}

/* The session of an event that says something of one; made if need be. */
static struct tapped_session *session_of(struct tapped *tapped, const struct heard *heard)
{
    struct tapped_session *session = find(tapped, &heard->event);
    if (!session)
        session = begin(tapped, &heard->event);
    if (!session || !has_flow(tapped, session, heard)) {
        count(tapped->options.counters, COUNT_tap_flows_shed, 1);
        return NULL;
    }
    if (session->guessed)
        reconsider(tapped, session, heard);
    return session;
}

static void miss(struct tapped *tapped, struct tapped_session *session, unsigned direction,
                 uint64_t until, uint64_t time_ns)
{
    const struct stream_sink *sink = &tapped->options.sink;
    uint64_t bytes = until - session->offset[direction];
    count(tapped->options.counters, COUNT_tap_gaps, 1);
    count(tapped->options.counters, COUNT_tap_gap_bytes, bytes);
    session->offset[direction] = until;
    sink->gap(sink->context, session->flow, direction_of(session, direction), bytes, time_ns);
}

/* Time never falls within a flow, though a probe on another processor may have been held up. */
static uint64_t flow_time(struct flow *flow, uint64_t time_ns)
{
    if (time_ns > flow->tcp.delivered_ns)
        flow->tcp.delivered_ns = time_ns;
    return flow->tcp.delivered_ns;
}

static void deliver(struct tapped *tapped, struct tapped_session *session,
                    const struct heard *heard)
{
    const struct stream_sink *sink = &tapped->options.sink;
    unsigned direction = heard->event.direction;
    enum direction way = direction_of(session, direction);
    uint64_t time_ns = flow_time(session->flow, heard->time_ns);
    flow_table_heard(tapped->options.flows, session->flow, way, heard->bytes, time_ns);
    if (heard->event.offset > session->offset[direction])
        miss(tapped, session, direction, heard->event.offset, time_ns);
    uint64_t known = session->offset[direction] - heard->event.offset;
    if (known >= heard->bytes)
        return;
    uint32_t fresh = heard->bytes - (uint32_t)known;
    session->offset[direction] += fresh;
    count(tapped->options.counters, COUNT_tap_bytes, fresh);
    sink->data(sink->context, session->flow, way, heard->data + known, fresh, time_ns);
}

static void take_data(struct tapped *tapped, const struct heard *heard)
{
    struct tapped_session *session = heard->bytes ? session_of(tapped, heard) : NULL;
    if (!session)
        return;
    if (!session->tap.placed && !session->looked_up && heard->event.fd >= 0)
        look_up(tapped, session, &heard->event);
    deliver(tapped, session, heard);
}

static void take_address(struct tapped *tapped, const struct heard *heard)
{
    static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct tap_address address;
    memcpy(&address, heard->data, sizeof address);
    bool v4 = address.family == AF_INET;
    struct endpoints endpoints = {
        .local_port = ntohs(address.local_port_be),
        .peer_port = ntohs(address.remote_port_be),
        .ip_version = v4 ? 4 : 6,
    };
    uint32_t skip = v4 ? sizeof v4_mapped : 0;
    memcpy(endpoints.local, v4_mapped, skip);
    memcpy(endpoints.peer, v4_mapped, skip);
    memcpy(endpoints.local + skip, address.local, ADDRESS_BYTES - skip);
    memcpy(endpoints.peer + skip, address.remote, ADDRESS_BYTES - skip);
    struct tapped_session *session = session_of(tapped, heard);
    if (session)
        place(session, &endpoints);
}

/* Bytes lost at the end become a gap, also of a session of which nothing else came: it is made
 * where they begin. Returns the session, NULL if it is not known. */
static struct tapped_session *catch_up(struct tapped *tapped, const struct heard *heard)
{
    struct tapped_session *session = find(tapped, &heard->event);
    struct tap_totals totals;
    if (heard->bytes < sizeof totals)
        return session;
    memcpy(&totals, heard->data, sizeof totals);
    uint64_t known[2] = {totals.told[0], totals.told[1]};
    if (session)
        memcpy(known, session->offset, sizeof known);
    if (totals.bytes[0] <= known[0] && totals.bytes[1] <= known[1])
        return session;
    session = session_of(tapped, heard);
    if (!session)
        return find(tapped, &heard->event);
    memcpy(session->offset, known, sizeof known);
    if (!session->tap.placed && !session->looked_up && heard->event.fd >= 0)
        look_up(tapped, session, &heard->event);
    uint64_t time_ns = flow_time(session->flow, heard->time_ns);
    for (unsigned direction = TAP_WRITTEN; direction <= TAP_READ; direction++)
        if (totals.bytes[direction] > known[direction])
            miss(tapped, session, direction, totals.bytes[direction], time_ns);
    return session;
}

static void close_session(struct tapped *tapped, struct tapped_session *session, uint64_t time_ns)
{
    session->closed = true;
    if (session->flow) {
        flow_table_end(tapped->options.flows, session->flow, flow_time(session->flow, time_ns));
        return;
    }
    let_go(tapped, session);
    forget(tapped, session);
}

static void take_close(struct tapped *tapped, const struct heard *heard)
{
    const struct tap_event *event = &heard->event;
    if (event->session) {
        struct tapped_session *session = catch_up(tapped, heard);
        if (session)
            close_session(tapped, session, heard->time_ns);
        return;
    }
    processes_ended(&tapped->processes, event->pid);
    for (uint64_t i = 0; i <= tapped->mask; i++) {
        for (struct tapped_session *next, *each = tapped->buckets[i]; each; each = next) {
            next = each->next;
            if (each->tap.pid == event->pid && each->tap.number == event->tap &&
                (!event->generation || each->generation <= event->generation))
                close_session(tapped, each, heard->time_ns);
        }
    }
}

static bool is_sound(const struct tap_event *event, uint32_t bytes)
{
    return event->size <= bytes && event->size <= TAP_DATA_BYTES_MAX && event->kind >= TAP_DATA &&
           event->kind <= TAP_TOTALS && event->direction <= TAP_READ &&
           event->role <= TAP_ROLE_SERVER && event->offset <= UINT64_MAX - event->size &&
           (event->kind != TAP_ADDRESS || event->size == sizeof(struct tap_address)) &&
           (event->kind != TAP_TOTALS || event->size == sizeof(struct tap_totals));
}

void tapped_event(struct tapped *tapped, const struct packet *packet)
{
    const struct tapped_options *options = &tapped->options;
    struct heard heard = {.time_ns = packet->time_ns};
    count(options->counters, COUNT_tap_events, 1);
    if (packet->captured_bytes >= sizeof heard.event)
        memcpy(&heard.event, packet->data, sizeof heard.event);
    if (packet->captured_bytes < sizeof heard.event ||
        !is_sound(&heard.event, packet->captured_bytes - (uint32_t)sizeof heard.event)) {
        count(options->counters, COUNT_tap_malformed, 1);
        return;
    }
    heard.data = packet->data + sizeof heard.event;
    heard.bytes = heard.event.size;
    switch ((enum tap_kind)heard.event.kind) {
    case TAP_DATA:
        take_data(tapped, &heard);
        break;
    case TAP_CLOSE:
        take_close(tapped, &heard);
        break;
    case TAP_SECRET:
        count(options->counters, COUNT_tap_secrets, 1);
        options->secret(options->context, (const char *)heard.data, heard.bytes);
        break;
    case TAP_ADDRESS:
        take_address(tapped, &heard);
        break;
    case TAP_TOTALS:
        catch_up(tapped, &heard);
        break;
    }
}

void tapped_ended(struct tapped *tapped, struct flow *flow)
{
    const struct tapped_session *ended = (const struct tapped_session *)flow->tap;
    struct tapped_session *session =
        *bucket_of(tapped, ended->tap.pid, ended->session, ended->generation);
    while (session != ended)
        session = session->next;
    if (!session->tap.placed)
        count(tapped->options.counters, COUNT_tap_flows_unplaced, 1);
    flow->tap = NULL;
    if (session->closed)
        forget(tapped, session);
    else
        keep(tapped, session);
}

void tapped_close(struct tapped *tapped)
{
    if (!tapped)
        return;
    for (struct tapped_session *session; (session = tapped->oldest);) {
        let_go(tapped, session);
        forget(tapped, session);
    }
    free(tapped->buckets);
    free(tapped);
}
