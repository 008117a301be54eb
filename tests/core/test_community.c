/* links: community.c flow.c flow_key.c stream.c hole.c sequence.c held.c decap.c tunnel.c ipfrag.c */
#include <arpa/inet.h>

#include "check.h"
#include "decap.h"
#include "flow.h"

/* The vectors of the specification's baseline, and two that Suricata computed. `first` and
 * `second` are ports, or type and code of ICMP. */
struct vector {
    const char *source, *destination;
    uint8_t protocol;
    uint16_t first, second;
    const char *seed_0, *seed_1;
};

static const struct vector table[] = {
    {"128.232.110.120", "66.35.250.204", PROTO_TCP, 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
     "1:3V71V58M3Ksw/yuFALMcW0LAHvc="},
    {"66.35.250.204", "128.232.110.120", PROTO_TCP, 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
     "1:3V71V58M3Ksw/yuFALMcW0LAHvc="},
    {"192.168.1.52", "8.8.8.8", PROTO_UDP, 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
     "1:Q9We8WO3piVF8yEQBNJF4uiSVrI="},
    {"192.168.170.8", "192.168.170.56", PROTO_SCTP, 7, 80, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=",
     "1:Y1/0jQg6e+I3ZwZZ9LP65DNbTXU="},
    {"192.168.0.89", "192.168.0.1", PROTO_ICMP, 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
     "1:03g6IloqVBdcZlPyX8r0hgoE7kA="},
    {"192.168.0.1", "192.168.0.89", PROTO_ICMP, 0, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
     "1:03g6IloqVBdcZlPyX8r0hgoE7kA="},
    {"192.168.0.89", "192.168.0.1", PROTO_ICMP, 20, 0, "1:3o2RFccXzUgjl7zDpqmY7yJi8rI=",
     "1:lCXHHxavE1Vq3oX9NH5ladQg02o="},
    {"fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", PROTO_ICMPV6, 135, 0,
     "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=", "1:kHa1FhMYIT6Ym2Vm2AOtoOARDzY="},
    {"fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", PROTO_ICMPV6, 136, 0,
     "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=", "1:kHa1FhMYIT6Ym2Vm2AOtoOARDzY="},
    {"10.0.0.1", "10.0.0.1", PROTO_TCP, 10, 20, "1:1Lc+0H/HgLmR5V4rmOeuDZQS11k=",
     "1:Ts/68xsuWAOO+jIlBFe44t+hdUI="},
    {"10.0.0.1", "10.0.0.1", PROTO_TCP, 20, 10, "1:1Lc+0H/HgLmR5V4rmOeuDZQS11k=",
     "1:Ts/68xsuWAOO+jIlBFe44t+hdUI="},
    {"10.1.24.4", "10.1.24.11", 47, 0, 0, "1:EyRoQLRk0pqdqRcL180RC33YVIg=",
     "1:ouz51YLs++tIcp4mVc1OOI5M2A4="},
    {"10.20.0.5", "10.20.0.10", PROTO_TCP, 40001, 80, "1:BcCsp+/CZlCpIiftb+oy2fi9VrY=", NULL},
    {"10.20.0.10", "10.20.0.20", PROTO_TCP, 51000, 902, "1:/FvTcICpmAJ3JT6L+P1V2Y6Xd1Y=", NULL},
};

static void ignore_data(void *context, struct flow *flow, enum direction direction,
                        const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    (void)context, (void)flow, (void)direction, (void)data, (void)bytes, (void)time_ns;
}

static void ignore_gap(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                       uint64_t time_ns)
{
    (void)context, (void)flow, (void)direction, (void)bytes, (void)time_ns;
}

static void ignore_close(void *context, struct flow *flow, enum direction direction,
                         uint64_t time_ns)
{
    (void)context, (void)flow, (void)direction, (void)time_ns;
}

static void ignore_end(void *context, struct flow *flow, uint64_t time_ns)
{
    (void)context, (void)flow, (void)time_ns;
}

/* A raw IP packet with the start of its transport header, as much as names the flow. */
static size_t write_packet(const struct vector *vector, uint8_t packet[80])
{
    bool v4 = !strchr(vector->source, ':');
    size_t header = v4 ? 20 : 40, bytes = header + 20;
    uint8_t *transport = packet + header;
    memset(packet, 0, 80);
    packet[0] = v4 ? 0x45 : 0x60;
    packet[v4 ? 3 : 5] = v4 ? (uint8_t)bytes : 20;
    packet[v4 ? 9 : 6] = vector->protocol;
    inet_pton(v4 ? AF_INET : AF_INET6, vector->source, packet + (v4 ? 12 : 8));
    inet_pton(v4 ? AF_INET : AF_INET6, vector->destination, packet + (v4 ? 16 : 24));
    if (vector->protocol == PROTO_ICMP || vector->protocol == PROTO_ICMPV6) {
        transport[0] = (uint8_t)vector->first;
        transport[1] = (uint8_t)vector->second;
        return bytes;
    }
    if (vector->protocol == 47) {
        memcpy(transport, "\x00\x00\x88\x0b", 4); /* GRE with PPP in it */
        return bytes;
    }
    transport[0] = (uint8_t)(vector->first >> 8);
    transport[1] = (uint8_t)vector->first;
    transport[2] = (uint8_t)(vector->second >> 8);
    transport[3] = (uint8_t)vector->second;
    if (vector->protocol == PROTO_TCP) {
        transport[12] = 0x50;
        transport[13] = TCP_ACK;
    }
    if (vector->protocol == PROTO_UDP)
        transport[5] = 20;
    return bytes;
}

static void check_vector(const struct vector *vector)
{
    struct limits limits = {.flows_max = 16, .flow_idle_timeout_ms = 1000,
                            .stream_gap_timeout_ms = 100, .fragment_datagrams_max = 1};
    struct budget budget = {.limit_bytes = 1 << 20};
    struct counters counters = {0};
    struct stream_sink sink = {NULL, ignore_data, ignore_gap, ignore_close};
    struct decap *decap_state = decap_open(&limits, &budget, &counters);
    struct flow_table *table_of_flows =
        flow_table_open(&limits, &budget, &counters, &sink, ignore_end, NULL);
    uint8_t raw[80];
    struct packet packet = {.link = LINK_RAW, .time_ns = 1};
    packet.captured_bytes = packet.wire_bytes = (uint32_t)write_packet(vector, raw);
    packet.data = raw;
    struct datagram datagram;
    enum direction direction;
    char id[COMMUNITY_ID_CHARS + 1];
    CHECK(decap(decap_state, &packet, &datagram) == DECAP_DATAGRAM);
    const struct flow *flow = flow_of(table_of_flows, &datagram, &packet, &direction);
    community_id(flow, 0, id);
    CHECK(strcmp(id, vector->seed_0) == 0);
    if (vector->seed_1) {
        community_id(flow, 1, id);
        CHECK(strcmp(id, vector->seed_1) == 0);
    }
    flow_table_close(table_of_flows);
    decap_close(decap_state);
}

int main(void)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        check_vector(&table[i]);
    return checks_report("community");
}
