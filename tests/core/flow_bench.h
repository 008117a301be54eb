/* A flow table, what it says noted as text, and segments between one client and one server. */
#ifndef HOPTAP_FLOW_BENCH_H
#define HOPTAP_FLOW_BENCH_H

#include <stdlib.h>

#include "check.h"
#include "flow.h"

static const uint64_t MS = 1000000;

enum { S = TCP_SYN, A = TCP_ACK, F = TCP_FIN, R = TCP_RST, SA = S | A, FA = F | A, RA = R | A };
enum { CLIENT = 1, SERVER = 2 }; /* last byte of the address */

struct bench {
    struct limits limits;
    struct budget budget;
    struct counters counters;
    struct flow_table *table;
    uint64_t now_ns;
    char log[256]; /* > and < data, ( gap, . close, and each flow's number as it ends */
    enum direction direction; /* of the last packet */
};

static inline void note(struct bench *bench, const char *text)
{
    strncat(bench->log, text, sizeof bench->log - strlen(bench->log) - 1);
}

static inline void on_data(void *context, struct flow *flow, enum direction direction,
                           const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    (void)flow, (void)data, (void)bytes, (void)time_ns;
    note(context, direction == TO_SERVER ? ">" : "<");
}

static inline void on_gap(void *context, struct flow *flow, enum direction direction,
                          uint64_t bytes, uint64_t time_ns)
{
    (void)flow, (void)direction, (void)bytes, (void)time_ns;
    note(context, "(");
}

static inline void on_close(void *context, struct flow *flow, enum direction direction,
                            uint64_t time_ns)
{
    (void)flow, (void)direction, (void)time_ns;
    note(context, ".");
}

static inline void on_end(void *context, struct flow *flow, uint64_t time_ns)
{
    struct bench *bench = context;
    char text[16];
    CHECK(flow->ended && time_ns >= flow->first_ns);
    snprintf(text, sizeof text, "%u", flow->number);
    note(bench, text);
}

static inline void set_up(struct bench *bench)
{
    *bench = (struct bench){.limits = {.flows_max = 1000,
                                       .flow_idle_timeout_ms = 6400,
                                       .flow_closed_timeout_ms = 500,
                                       .stream_buffer_bytes_max = 1 << 20,
                                       .stream_gap_timeout_ms = 160},
                            .budget = {.limit_bytes = 1 << 24},
                            .now_ns = 1000 * MS};
    struct stream_sink sink = {bench, on_data, on_gap, on_close};
    bench->table = flow_table_open(&bench->limits, &bench->budget, &bench->counters, &sink,
                                   on_end, bench);
}

/* Ends every flow and gives all memory back; flows in the table are what the counters say. */
static inline void tear_down(struct bench *bench)
{
    const uint64_t *value = bench->counters.value;
    flow_table_close(bench->table);
    CHECK(value[COUNT_flows] == value[COUNT_flows_expired] + value[COUNT_flows_evicted]);
    CHECK(bench->budget.used_bytes == 0);
}

static inline struct datagram datagram_of(uint8_t protocol, uint8_t from, uint16_t from_port,
                                          uint8_t to, uint16_t to_port)
{
    return (struct datagram){.source = {[10] = 0xff, [11] = 0xff, [15] = from},
                             .destination = {[10] = 0xff, [11] = 0xff, [15] = to},
                             .source_port = from_port,
                             .destination_port = to_port,
                             .ip_version = 4,
                             .protocol = protocol,
                             .vlan = VLAN_NONE};
}

static inline struct flow *see(struct bench *bench, const struct datagram *datagram)
{
    struct packet packet = {.time_ns = bench->now_ns};
    flow_table_advance(bench->table, bench->now_ns);
    struct flow *flow = flow_of(bench->table, datagram, &packet, &bench->direction);
    if (flow && datagram->protocol == PROTO_TCP)
        flow_table_segment(bench->table, flow, bench->direction, datagram, bench->now_ns);
    return flow;
}

/* A segment between port 40000 of the client and port 443 of the server. */
static inline struct datagram segment_of(uint8_t from, unsigned flags, uint32_t sequence,
                                         uint32_t acknowledgement, const char *text)
{
    struct datagram datagram = from == CLIENT
                                   ? datagram_of(PROTO_TCP, CLIENT, 40000, SERVER, 443)
                                   : datagram_of(PROTO_TCP, SERVER, 443, CLIENT, 40000);
    datagram.tcp_flags = (uint8_t)flags;
    datagram.tcp_sequence = sequence;
    datagram.tcp_acknowledgement = acknowledgement;
    datagram.payload = (const uint8_t *)text;
    datagram.payload_bytes = datagram.payload_wire_bytes = (uint32_t)strlen(text);
    return datagram;
}

static inline struct flow *tcp(struct bench *bench, uint8_t from, unsigned flags, uint32_t sequence,
                               uint32_t acknowledgement, const char *text)
{
    struct datagram datagram = segment_of(from, flags, sequence, acknowledgement, text);
    return see(bench, &datagram);
}

static inline struct flow *connect_at(struct bench *bench, uint32_t client, uint32_t server)
{
    tcp(bench, CLIENT, S, client, 0, "");
    tcp(bench, SERVER, SA, server, client + 1, "");
    return tcp(bench, CLIENT, A, client + 1, server + 1, "");
}

#endif
