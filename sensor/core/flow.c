#include "flow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "flow_key.h"
#include "hash64.h"
#include "sequence.h"

enum {
    SLAB_FLOWS = 64,
    /* A flow moves to the young end of its list when this part of the idle time-out has passed,
     * not with each packet: relinking touches two more flows. The price: it may end so much too
     * late. */
    LIST_GRAIN = 64,
    /* How many times within stream_gap_timeout_ms the flows with holes are looked through at
     * most. */
    SCANS_PER_TIMEOUT = 16,
    /* After a silence as long as the time-out, in a file, what is missing may be the next
     * packet; this many are seen before holes are judged. More than any reordering. */
    PATIENCE_PACKETS = 32,
};

static const uint64_t MS = 1000000;
static const uint64_t NEVER = UINT64_MAX;

struct slab {
    struct slab *next;
    _Alignas(64) struct flow flow[SLAB_FLOWS]; /* six cache lines each */
};

struct flow_list {
    struct flow *oldest, *newest;
};

struct flow_table {
    struct flow *last;      /* of the last packet: the next one is likely its own */
    struct flow **buckets;  /* owned; freed in flow_table_close, as the slabs */
    uint64_t mask;
    uint64_t seed;          /* secret, so that nobody can fill one bucket */
    uint64_t now_ns;        /* the latest packet time */
    uint64_t due_ns;        /* nothing is to be done before */
    uint64_t scan_ns;       /* next look through the flows with holes, at the earliest */
    uint64_t patience_ns;   /* or rather not before this, or patience_packets, */
    uint64_t patience_packets, packets; /* of the packets seen */
    struct flow_list active, closed; /* by listed_ns; each flow is in one of them */
    struct flow *waiting;   /* flows with holes */
    struct flow *unused;    /* linked by table_next */
    struct slab *slabs;
    uint64_t count, numbered;
    const struct limits *limits;
    struct budget *budget;
    struct counters *counters;
    struct reassembly reassembly;
    flow_ended *ended;
    void *context;
};

static uint64_t idle_ns(const struct flow_table *table)
{
    return table->limits->flow_idle_timeout_ms * MS;
}

static uint64_t closed_ns(const struct flow_table *table)
{
    return table->limits->flow_closed_timeout_ms * MS;
}

static uint64_t gap_ns(const struct flow_table *table)
{
    return table->limits->stream_gap_timeout_ms * MS;
}

struct flow_table *flow_table_open(const struct limits *limits, struct budget *budget,
                                   struct counters *counters, const struct stream_sink *sink,
                                   flow_ended *ended, void *context)
{
    struct flow_table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    table->limits = limits;
    table->budget = budget;
    table->counters = counters;
    table->reassembly = (struct reassembly){limits, budget, counters, *sink};
    table->ended = ended;
    table->context = context;
    table->due_ns = NEVER;
    if (getrandom(&table->seed, sizeof table->seed, GRND_NONBLOCK) < 0)
        table->seed = (uint64_t)(uintptr_t)table;
    uint64_t buckets = 64;
    while (buckets < limits->flows_max && buckets < 1u << 24)
        buckets *= 2;
    table->mask = buckets - 1;
    table->buckets = calloc(buckets, sizeof *table->buckets);
    if (!table->buckets) {
        flow_table_close(table);
        return NULL;
    }
    return table;
}

static void list_append(struct flow_list *list, struct flow *flow, uint64_t now_ns)
{
    flow->listed_ns = now_ns;
    flow->older = list->newest;
    flow->newer = NULL;
    *(list->newest ? &list->newest->newer : &list->oldest) = flow;
    list->newest = flow;
}

static void list_remove(struct flow_list *list, struct flow *flow)
{
    *(flow->older ? &flow->older->newer : &list->oldest) = flow->newer;
    *(flow->newer ? &flow->newer->older : &list->newest) = flow->older;
}

static struct flow_list *list_of(struct flow_table *table, const struct flow *flow)
{
    return flow->is_closed ? &table->closed : &table->active;
}

static void set_due(struct flow_table *table, uint64_t due_ns)
{
    if (due_ns < table->due_ns)
        table->due_ns = due_ns;
}

static void waiting_add(struct flow_table *table, struct flow *flow)
{
    flow->is_waiting = true;
    flow->waiting_before = NULL;
    flow->waiting_after = table->waiting;
    if (table->waiting)
        table->waiting->waiting_before = flow;
    table->waiting = flow;
}

static void waiting_remove(struct flow_table *table, struct flow *flow)
{
    flow->is_waiting = false;
    *(flow->waiting_before ? &flow->waiting_before->waiting_after : &table->waiting) =
        flow->waiting_after;
    if (flow->waiting_after)
        flow->waiting_after->waiting_before = flow->waiting_before;
}

static void end_flow(struct flow_table *table, struct flow *flow, enum counter why)
{
    if (flow->protocol == PROTO_TCP)
        tcp_finish(&table->reassembly, flow, table->now_ns);
    flow->ended = true;
    table->ended(table->context, flow, table->now_ns);
    struct flow **link = &table->buckets[flow->hash & table->mask];
    while (*link != flow)
        link = &(*link)->table_next;
    *link = flow->table_next;
    list_remove(list_of(table, flow), flow);
    if (flow->is_waiting)
        waiting_remove(table, flow);
    if (table->last == flow)
        table->last = NULL;
    flow->table_next = table->unused;
    table->unused = flow;
    table->count--;
    count(table->counters, why, 1);
}

/* Closed flows first; then the one that has been idle longest, to the grain of the list. */
static bool evict(struct flow_table *table)
{
    struct flow *victim = table->closed.oldest;
    while (!victim && (victim = table->active.oldest) && victim->newer &&
           victim->last_ns > victim->listed_ns) {
        list_remove(&table->active, victim);
        list_append(&table->active, victim, victim->last_ns);
        victim = NULL;
    }
    if (!victim)
        return false;
    end_flow(table, victim, COUNT_flows_evicted);
    return true;
}

static bool grow(struct flow_table *table)
{
    if (!budget_take(table->budget, sizeof(struct slab)))
        return false;
    struct slab *slab = aligned_alloc(_Alignof(struct slab), sizeof *slab);
    if (!slab) {
        budget_give(table->budget, sizeof *slab);
        return false;
    }
    slab->next = table->slabs;
    table->slabs = slab;
    for (int i = SLAB_FLOWS - 1; i >= 0; i--) {
        slab->flow[i].table_next = table->unused;
        table->unused = &slab->flow[i];
    }
    return true;
}

static struct flow *allocate(struct flow_table *table)
{
    uint64_t most = table->limits->flows_max ? table->limits->flows_max : 1;
    while (table->count >= most)
        evict(table);
    if (!table->unused && !grow(table)) {
        count(table->counters, COUNT_memory_shed, 1);
        if (!evict(table))
            return NULL;
    }
    struct flow *flow = table->unused;
    table->unused = flow->table_next;
    return flow;
}

/* The SYN says who is the client; else who has the lower port is the server; else who speaks
 * first is the client. ICMP has no ports, only what stands in their place. */
static enum direction first_direction(const struct datagram *datagram)
{
    if (datagram->protocol == PROTO_TCP && datagram->tcp_flags & TCP_SYN)
        return datagram->tcp_flags & TCP_ACK ? TO_CLIENT : TO_SERVER;
    if (datagram->protocol == PROTO_ICMP || datagram->protocol == PROTO_ICMPV6)
        return TO_SERVER;
    return datagram->source_port < datagram->destination_port ? TO_CLIENT : TO_SERVER;
}

/* Its hash and times are set. */
static void enter(struct flow_table *table, struct flow *flow)
{
    struct flow **bucket = &table->buckets[flow->hash & table->mask];
    flow->number = (uint32_t)++table->numbered;
    flow->table_next = *bucket;
    *bucket = flow;
    list_append(&table->active, flow, table->now_ns);
    set_due(table, table->now_ns + idle_ns(table));
    table->count++;
    count(table->counters, COUNT_flows, 1);
}

static struct flow *begin_flow(struct flow_table *table, const struct datagram *datagram,
                               const struct packet *packet, enum direction *direction)
{
    struct flow *flow = allocate(table);
    if (!flow)
        return NULL;
    *flow = (struct flow){0};
    *direction = first_direction(datagram);
    memcpy(flow->address[*direction], datagram->destination, ADDRESS_BYTES);
    memcpy(flow->address[!*direction], datagram->source, ADDRESS_BYTES);
    flow->port[*direction] = datagram->destination_port;
    flow->port[!*direction] = datagram->source_port;
    flow->protocol = datagram->protocol;
    flow->ip_version = datagram->ip_version;
    flow->tunnel = datagram->tunnel;
    flow->tunnel_id = datagram->tunnel_id;
    flow->vlan = datagram->vlan;
    flow->source = packet->source;
    flow->segment[0] = flow->segment[1] = flow_segment(datagram);
    flow->first_ns = flow->last_ns = packet->time_ns;
    flow->uid = flow_uid_of(flow, datagram, packet->time_ns);
    flow->hash = flow_hash_seeded(datagram, table->seed);
    enter(table, flow);
    return flow;
}

static struct flow *find(struct flow_table *table, const struct datagram *datagram,
                         uint32_t segment, enum direction *direction)
{
    uint64_t hash = flow_hash_seeded(datagram, table->seed);
    struct flow *elsewhere = NULL;
    enum direction direction_elsewhere = TO_SERVER;
    for (struct flow *flow = table->buckets[hash & table->mask]; flow; flow = flow->table_next) {
        if (!flow_matches(flow, datagram, direction))
            continue;
        if (flow->segment[*direction] == segment)
            return flow;
        elsewhere = flow;
        direction_elsewhere = *direction;
    }
    if (!elsewhere || !flow_fits(elsewhere, datagram, direction_elsewhere))
        return NULL;
    *direction = direction_elsewhere;
    return elsewhere;
}

void flow_turn_round(struct flow *flow)
{
    struct flow was = *flow;
    for (int direction = TO_SERVER; direction <= TO_CLIENT; direction++) {
        memcpy(flow->address[direction], was.address[!direction], ADDRESS_BYTES);
        flow->port[direction] = was.port[!direction];
        flow->segment[direction] = was.segment[!direction];
        flow->packets[direction] = was.packets[!direction];
        flow->bytes[direction] = was.bytes[!direction];
        flow->tcp.stream[direction] = was.tcp.stream[!direction];
    }
    flow->tcp.reset_direction = !was.tcp.reset_direction;
}

/* A SYN of a connection that we know from packets which overtook it. */
static void note_late_syn(struct flow *flow, const struct datagram *datagram,
                          enum direction *direction)
{
    enum direction true_direction = first_direction(datagram);
    if (flow->announced || flow->protocol_state || flow->tcp.delivered_ns)
        return;
    if (true_direction != *direction) {
        flow_turn_round(flow);
        *direction = true_direction;
    }
    flow->uid = flow_uid_of(flow, datagram, flow->first_ns);
}

void flow_table_heard(struct flow_table *table, struct flow *flow, enum direction direction,
                      uint64_t bytes, uint64_t time_ns)
{
    table->packets++;
    flow->packets[direction]++;
    flow->bytes[direction] += bytes;
    if (time_ns > flow->last_ns)
        flow->last_ns = time_ns;
    if (!flow->is_closed && table->now_ns - flow->listed_ns > idle_ns(table) / LIST_GRAIN) {
        list_remove(&table->active, flow);
        list_append(&table->active, flow, table->now_ns);
    }
}

struct flow *flow_of(struct flow_table *table, const struct datagram *datagram,
                     const struct packet *packet, enum direction *direction)
{
    uint32_t segment = flow_segment(datagram);
    struct flow *flow = table->last;
    if (packet->time_ns > table->now_ns)
        table->now_ns = packet->time_ns;
    if (!flow || !flow_matches(flow, datagram, direction) || flow->segment[*direction] != segment)
        flow = find(table, datagram, segment, direction);
    if (flow && datagram->protocol == PROTO_TCP && datagram->tcp_flags & TCP_SYN) {
        if (flow_begins_anew(flow, datagram, *direction)) {
            end_flow(table, flow, COUNT_flows_expired);
            flow = NULL;
        } else {
            note_late_syn(flow, datagram, direction);
        }
    }
    if (!flow && !(flow = begin_flow(table, datagram, packet, direction)))
        return NULL;
    table->last = flow;
    flow->segment[*direction] = segment;
    flow_table_heard(table, flow, *direction, datagram->payload_wire_bytes, packet->time_ns);
    return flow;
}

struct flow *flow_table_tapped(struct flow_table *table, const struct flow_tap *tap,
                               uint64_t time_ns)
{
    struct flow *flow = allocate(table);
    if (!flow)
        return NULL;
    *flow = (struct flow){
        .protocol = PROTO_TCP,
        .tapped = true,
        .tap = tap,
        .vlan = VLAN_NONE,
        .first_ns = time_ns,
        .last_ns = time_ns,
    };
    flow->uid = hash64_mix(time_ns ^ table->seed, table->numbered << 32 ^ tap->pid);
    flow->hash = flow->uid;
    enter(table, flow);
    return flow;
}

void flow_table_end(struct flow_table *table, struct flow *flow, uint64_t time_ns)
{
    if (time_ns > table->now_ns)
        table->now_ns = time_ns;
    end_flow(table, flow, COUNT_flows_expired);
}

/* Puts the flow into the lists that its streams call for. */
static void sort_in(struct flow_table *table, struct flow *flow)
{
    const struct tcp *tcp = &flow->tcp;
    if (tcp->waiting != flow->is_waiting)
        (tcp->waiting ? waiting_add : waiting_remove)(table, flow);
    if (tcp->waiting) {
        uint64_t due_ns = tcp_waiting_since(tcp) + gap_ns(table);
        set_due(table, due_ns > table->scan_ns ? due_ns : table->scan_ns);
    }
    if (flow->is_closed || !tcp->stream[TO_SERVER].closed || !tcp->stream[TO_CLIENT].closed)
        return;
    list_remove(&table->active, flow);
    flow->is_closed = true;
    list_append(&table->closed, flow, table->now_ns);
    set_due(table, table->now_ns + closed_ns(table));
}

void flow_table_segment(struct flow_table *table, struct flow *flow, enum direction direction,
                        const struct datagram *datagram, uint64_t time_ns)
{
    tcp_segment(&table->reassembly, flow, direction, datagram, time_ns);
    sort_in(table, flow);
}

static void scan_waiting(struct flow_table *table)
{
    table->scan_ns = table->now_ns + gap_ns(table) / SCANS_PER_TIMEOUT;
    for (struct flow *flow = table->waiting, *after; flow; flow = after) {
        after = flow->waiting_after;
        tcp_advance(&table->reassembly, flow, table->now_ns);
        sort_in(table, flow);
    }
}

static void expire(struct flow_table *table)
{
    const struct flow *flow;
    while ((flow = table->closed.oldest) && table->now_ns >= flow->listed_ns + closed_ns(table))
        end_flow(table, table->closed.oldest, COUNT_flows_expired);
    while ((flow = table->active.oldest) && table->now_ns >= flow->last_ns + idle_ns(table))
        end_flow(table, table->active.oldest, COUNT_flows_expired);
    if (table->closed.oldest)
        set_due(table, table->closed.oldest->listed_ns + closed_ns(table));
    if (table->active.oldest)
        set_due(table, table->active.oldest->last_ns + idle_ns(table));
}

void flow_table_advance(struct flow_table *table, uint64_t time_ns)
{
    if (time_ns > table->now_ns) {
        if (time_ns - table->now_ns > gap_ns(table) / 2) {
            table->patience_ns = time_ns + gap_ns(table);
            table->patience_packets = table->packets + PATIENCE_PACKETS;
        }
        table->now_ns = time_ns;
    }
    if (table->now_ns < table->due_ns)
        return;
    table->due_ns = NEVER;
    if (table->now_ns < table->scan_ns)
        set_due(table, table->waiting ? table->scan_ns : NEVER);
    else if (table->packets < table->patience_packets && table->now_ns < table->patience_ns)
        set_due(table, table->now_ns);
    else
        scan_waiting(table);
    expire(table);
}

void flow_table_flush(struct flow_table *table, uint64_t time_ns)
{
    if (time_ns > table->now_ns)
        table->now_ns = time_ns;
    while (table->closed.oldest)
        end_flow(table, table->closed.oldest, COUNT_flows_expired);
    while (table->active.oldest)
        end_flow(table, table->active.oldest, COUNT_flows_expired);
    table->due_ns = NEVER;
}

void flow_table_close(struct flow_table *table)
{
    if (!table)
        return;
    flow_table_flush(table, table->now_ns);
    for (struct slab *slab = table->slabs, *next; slab; slab = next) {
        next = slab->next;
        budget_give(table->budget, sizeof *slab);
        free(slab);
    }
    free(table->buckets);
    free(table);
}
