/* links: decap.c tunnel.c ipfrag.c */
#include <arpa/inet.h>
#include <stdlib.h>

#include "check.h"
#include "decap.h"
#include "decap_frames.h"
#include "decap_tunnel_frames.h"

static const struct limits limits = {.fragment_timeout_ms = 1000,
                                     .fragment_datagrams_max = 16,
                                     .memory_bytes_max = 1 << 20,
                                     .duplicate_window_ms = 20};

struct expected {
    const char *name;
    const uint8_t *frame;
    size_t bytes;
    uint16_t link;
    const char *source, *destination;
    uint8_t protocol;
    uint16_t source_port, destination_port;
    uint16_t vlan;
    uint8_t tunnel;
    uint32_t tunnel_id;
    const char *payload; /* NULL: not compared */
};

#define FRAME(name) #name, frame_##name, sizeof frame_##name
#define INNER "10.1.2.3", "10.9.8.7"
#define OUTER "192.0.2.1", "192.0.2.2"
#define INNER6 "2001:db8::1", "2001:db8::2"
#define HELLO PROTO_TCP, 40000, 443
#define BEAT PROTO_UDP, 5353, 902

static const struct expected table[] = {
    {FRAME(ethernet_tcp), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(ethernet_padded), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, 0, 0, ""},
    {FRAME(ethernet_udp6), LINK_ETHERNET, INNER6, BEAT, VLAN_NONE, 0, 0, "beat"},
    {FRAME(vlan), LINK_ETHERNET, INNER, HELLO, 100, 0, 0, "hello"},
    {FRAME(qinq), LINK_ETHERNET, INNER, HELLO, 100, 0, 0, "hello"},
    {FRAME(priority_tag), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(mpls_ip), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(mpls_ethernet), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(sll), LINK_LINUX_SLL, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(sll2), LINK_LINUX_SLL2, INNER6, BEAT, VLAN_NONE, 0, 0, "beat"},
    {FRAME(sll2_vlan), LINK_LINUX_SLL2, INNER, HELLO, 100, 0, 0, "hello"},
    {FRAME(raw4), LINK_RAW, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(raw4), LINK_RAW_BSD, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(raw4), LINK_RAW_OPENBSD, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(raw4), LINK_IPV4, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(raw6), LINK_RAW, INNER6, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(raw6), LINK_IPV6, INNER6, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(null_little), LINK_NULL, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(null_big6), LINK_NULL, INNER6, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(loop), LINK_LOOP, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(ip_options), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(tcp_options), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(ipv6_extensions), LINK_ETHERNET, INNER6, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(ipv6_atomic_fragment), LINK_ETHERNET, INNER6, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(ah4), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(ah6), LINK_ETHERNET, INNER6, HELLO, VLAN_NONE, 0, 0, "hello"},
    {FRAME(esp), LINK_ETHERNET, INNER, 50, 0, 0, VLAN_NONE, 0, 0, NULL},
    {FRAME(sctp), LINK_ETHERNET, INNER, PROTO_SCTP, 7, 80, VLAN_NONE, 0, 0, NULL},
    {FRAME(icmp_echo), LINK_ETHERNET, INNER, PROTO_ICMP, 8, 0, VLAN_NONE, 0, 0, NULL},
    {FRAME(icmp_reply), LINK_ETHERNET, "10.9.8.7", "10.1.2.3", PROTO_ICMP, 0, 8, VLAN_NONE, 0, 0,
     NULL},
    {FRAME(icmp_unreachable), LINK_ETHERNET, INNER, PROTO_ICMP, 3, 1, VLAN_NONE, 0, 0, NULL},
    {FRAME(icmpv6_neighbour), LINK_ETHERNET, INNER6, PROTO_ICMPV6, 135, 136, VLAN_NONE, 0, 0,
     NULL},
    {FRAME(gre), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_GRE, 0, "hello"},
    {FRAME(gre_checksum), LINK_ETHERNET, INNER6, HELLO, VLAN_NONE, TUNNEL_GRE, 0, "hello"},
    {FRAME(gre_key_sequence), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_GRE, 0xdeadbeef,
     "hello"},
    {FRAME(gre_all_flags), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_GRE, 77, "hello"},
    {FRAME(gre_bridging), LINK_ETHERNET, INNER, HELLO, 33, TUNNEL_GRE, 5, "hello"},
    {FRAME(gre_over_ipv6), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_GRE, 0, "hello"},
    {FRAME(gre_unknown), LINK_ETHERNET, OUTER, 47, 0, 0, VLAN_NONE, 0, 0, NULL},
    {FRAME(gre_pptp), LINK_ETHERNET, OUTER, 47, 0, 0, VLAN_NONE, 0, 0, NULL},
    {FRAME(erspan_1), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_ERSPAN, 0, "hello"},
    {FRAME(erspan_2), LINK_ETHERNET, INNER, HELLO, 55, TUNNEL_ERSPAN, 101, "hello"},
    {FRAME(erspan_2_tagged), LINK_ETHERNET, INNER, HELLO, 66, TUNNEL_ERSPAN, 1023, "hello"},
    {FRAME(erspan_3), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_ERSPAN, 102, "hello"},
    {FRAME(erspan_3_platform), LINK_ETHERNET, INNER, HELLO, 12, TUNNEL_ERSPAN, 103, "hello"},
    {FRAME(erspan_3_ip), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_ERSPAN, 104, "hello"},
    {FRAME(vxlan), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_VXLAN, 0x123456, "hello"},
    {FRAME(vxlan_8472), LINK_ETHERNET, INNER6, BEAT, 8, TUNNEL_VXLAN, 42, "beat"},
    {FRAME(vxlan_not), LINK_ETHERNET, OUTER, PROTO_UDP, 55555, 4789, VLAN_NONE, 0, 0,
     "no vxlan at all"},
    {FRAME(geneve), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_GENEVE, 0xabcdef, "hello"},
    {FRAME(geneve_options), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_GENEVE, 5, "hello"},
    {FRAME(ipip), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_IPIP, 0, "hello"},
    {FRAME(ip6_in_ip4), LINK_ETHERNET, INNER6, HELLO, VLAN_NONE, TUNNEL_IPIP, 0, "hello"},
    {FRAME(ip4_in_ip6), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_IPIP, 0, "hello"},
    {FRAME(vxlan_in_gre), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_VXLAN, 9, "hello"},
    {FRAME(vxlan_six_deep), LINK_ETHERNET, INNER, HELLO, VLAN_NONE, TUNNEL_VXLAN, 9, "hello"},
};

enum { ROWS = sizeof table / sizeof *table };

/* Everything a test of decapsulation needs; counters start at 0. */
struct bench {
    struct budget budget;
    struct counters counters;
    struct decap *decap;
};

static void set_up(struct bench *bench)
{
    *bench = (struct bench){.budget = {.limit_bytes = 1 << 20}};
    bench->decap = decap_open(&limits, &bench->budget, &bench->counters);
}

static void tear_down(struct bench *bench)
{
    decap_close(bench->decap);
    CHECK(bench->budget.used_bytes == 0);
}

static enum decap_verdict see(struct bench *bench, const uint8_t *frame, size_t bytes,
                              size_t wire_bytes, uint16_t link, struct datagram *datagram)
{
    struct packet packet = {.data = frame,
                            .captured_bytes = (uint32_t)bytes,
                            .wire_bytes = (uint32_t)wire_bytes,
                            .time_ns = 1,
                            .link = link};
    return decap(bench->decap, &packet, datagram);
}

static bool is_address(const uint8_t *address, const char *text)
{
    uint8_t wanted[ADDRESS_BYTES] = {[10] = 0xff, [11] = 0xff};
    if (inet_pton(AF_INET, text, wanted + 12) != 1)
        inet_pton(AF_INET6, text, wanted);
    return memcmp(address, wanted, sizeof wanted) == 0;
}

static bool is_expected(const struct datagram *got, const struct expected *row)
{
    bool v4 = !strchr(row->source, ':');
    return got->ip_version == (v4 ? 4 : 6) && got->protocol == row->protocol &&
           is_address(got->source, row->source) &&
           is_address(got->destination, row->destination) &&
           got->source_port == row->source_port &&
           got->destination_port == row->destination_port && got->vlan == row->vlan &&
           got->tunnel == row->tunnel && got->tunnel_id == row->tunnel_id &&
           (!row->payload || (got->payload_bytes == strlen(row->payload) &&
                              memcmp(got->payload, row->payload, got->payload_bytes) == 0));
}

static void test_table(void)
{
    struct bench bench;
    set_up(&bench);
    for (size_t i = 0; i < ROWS; i++) {
        struct datagram got;
        const uint8_t *frame = guarded(table[i].frame, table[i].bytes);
        enum decap_verdict verdict =
            see(&bench, frame, table[i].bytes, table[i].bytes, table[i].link, &got);
        CHECK(verdict == DECAP_DATAGRAM && is_expected(&got, &table[i]));
        if (verdict != DECAP_DATAGRAM || !is_expected(&got, &table[i]))
            fprintf(stderr, "  row %s\n", table[i].name);
    }
    uint64_t rows[TUNNELS] = {0};
    for (size_t i = 0; i < ROWS; i++)
        rows[table[i].tunnel]++;
    for (int tunnel = TUNNEL_GRE; tunnel < TUNNELS; tunnel++) {
        CHECK(rows[tunnel] > 0);
        int which = COUNT_decap_tunnel_gre + tunnel - TUNNEL_GRE;
        CHECK(bench.counters.value[which] == rows[tunnel]);
    }
    CHECK(COUNT_decap_tunnel_ipip - COUNT_decap_tunnel_gre == TUNNEL_IPIP - TUNNEL_GRE);
    tear_down(&bench);
}

/* As guarded(), in one place that is used again and again. */
static uint8_t *placed(const uint8_t *data, size_t bytes)
{
    static uint8_t *end;
    if (!end) {
        static const uint8_t page[4096];
        end = guarded(page, sizeof page) + sizeof page;
    }
    if (bytes)
        memcpy(end - bytes, data, bytes);
    return end - bytes;
}

/* Every frame cut at every length: never read beyond, never a datagram longer than what is
 * there. */
static void test_cut(void)
{
    struct bench bench;
    set_up(&bench);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t bytes = 0; bytes < table[i].bytes; bytes++) {
            struct datagram got;
            const uint8_t *frame = placed(table[i].frame, bytes);
            enum decap_verdict verdict =
                see(&bench, frame, bytes, table[i].bytes, table[i].link, &got);
            if (verdict == DECAP_DATAGRAM)
                CHECK(got.payload_bytes <= got.payload_wire_bytes && got.payload >= frame &&
                      got.payload_bytes <= bytes - (size_t)(got.payload - frame));
            see(&bench, frame, bytes, bytes, table[i].link, &got);
        }
    CHECK(bench.counters.value[COUNT_decap_truncated] > 0);
    CHECK(bench.counters.value[COUNT_decap_malformed] > 0);
    tear_down(&bench);
}

static void test_snap_length(void)
{
    struct bench bench;
    struct datagram got;
    set_up(&bench);
    size_t bytes = sizeof frame_ethernet_tcp;
    CHECK(see(&bench, frame_ethernet_tcp, bytes - 3, bytes, LINK_ETHERNET, &got) ==
          DECAP_DATAGRAM);
    CHECK(got.payload_bytes == 2 && got.payload_wire_bytes == 5);
    CHECK(see(&bench, frame_ethernet_tcp, 14 + 20 + 20, bytes, LINK_ETHERNET, &got) ==
          DECAP_DATAGRAM);
    CHECK(got.payload_bytes == 0 && got.payload_wire_bytes == 5);
    /* a mirror cut the frame and did not say so; the IP header does */
    CHECK(see(&bench, frame_vxlan, sizeof frame_vxlan - 3, sizeof frame_vxlan - 3, LINK_ETHERNET,
              &got) == DECAP_DATAGRAM);
    CHECK(got.payload_bytes == 2 && got.payload_wire_bytes == 5);
    CHECK(see(&bench, frame_erspan_2, sizeof frame_erspan_2 - 3, sizeof frame_erspan_2 - 3,
              LINK_ETHERNET, &got) == DECAP_DATAGRAM);
    CHECK(got.payload_bytes == 2 && got.payload_wire_bytes == 5);
    tear_down(&bench);
}

static void test_tcp_fields(void)
{
    struct bench bench;
    struct datagram got;
    set_up(&bench);
    see(&bench, frame_ethernet_tcp, sizeof frame_ethernet_tcp, 0, LINK_ETHERNET, &got);
    CHECK(got.tcp_sequence == 0x01020304 && got.tcp_acknowledgement == 0x05060708);
    CHECK(got.tcp_flags == (TCP_PSH | TCP_ACK) && got.ip_id == 0x1234);
    CHECK(got.checksum == (frame_ethernet_tcp[50] << 8 | frame_ethernet_tcp[51]));
    see(&bench, frame_ethernet_udp6, sizeof frame_ethernet_udp6, 0, LINK_ETHERNET, &got);
    CHECK(got.ip_id == 0 && got.tcp_flags == 0 && got.tcp_sequence == 0 && got.checksum != 0);
    /* nothing of the tunnel's own UDP header is left in the datagram */
    see(&bench, frame_vxlan, sizeof frame_vxlan, 0, LINK_ETHERNET, &got);
    CHECK(got.tcp_sequence == 0x01020304 && got.ip_id == 0x1234);
    tear_down(&bench);
}

static void test_auxiliary_vlan(void)
{
    struct bench bench;
    struct datagram got;
    set_up(&bench);
    struct packet packet = {.data = frame_ethernet_tcp,
                            .captured_bytes = sizeof frame_ethernet_tcp,
                            .link = LINK_ETHERNET,
                            .has_vlan = true,
                            .vlan_tci = 0x6007,
                            .vlan_tpid = 0x8100};
    CHECK(decap(bench.decap, &packet, &got) == DECAP_DATAGRAM && got.vlan == 7);
    packet.data = frame_vlan; /* the outer tag was stripped by the kernel, the inner one stands */
    packet.captured_bytes = sizeof frame_vlan;
    CHECK(decap(bench.decap, &packet, &got) == DECAP_DATAGRAM && got.vlan == 100);
    tear_down(&bench);
}

static void test_skipped(void)
{
    struct bench bench;
    struct datagram got;
    set_up(&bench);
    const uint64_t *value = bench.counters.value;
    CHECK(see(&bench, frame_ethernet_arp, sizeof frame_ethernet_arp, 0, LINK_ETHERNET, &got) ==
          DECAP_SKIPPED);
    CHECK(see(&bench, frame_vxlan_arp, sizeof frame_vxlan_arp, 0, LINK_ETHERNET, &got) ==
          DECAP_SKIPPED);
    CHECK(value[COUNT_decap_not_ip] == 2);
    CHECK(see(&bench, frame_ipip_forty_deep, sizeof frame_ipip_forty_deep, 0, LINK_ETHERNET,
              &got) == DECAP_SKIPPED);
    CHECK(value[COUNT_decap_too_deep] == 1);
    CHECK(see(&bench, frame_ethernet_tcp, sizeof frame_ethernet_tcp, 0, 147, &got) ==
          DECAP_SKIPPED);
    CHECK(value[COUNT_decap_unknown_link] == 1);
    tear_down(&bench);
}

struct damage {
    size_t at;
    uint8_t value;
    uint8_t of_ipv6; /* of frame_ethernet_udp6 instead of frame_ethernet_tcp */
};

static void test_malformed(void)
{
    static const struct damage damages[] = {
        {14, 0x44, 0},      /* IPv4 header of 16 bytes */
        {14, 0x65, 0},      /* version 6 below the EtherType of IPv4 */
        {17, 19, 0},        /* total length shorter than the header */
        {46, 0x40, 0},      /* TCP header of 16 bytes */
        {46, 0xf0, 0},      /* TCP header longer than the datagram */
        {14 + 44 + 1, 7, 1},  /* UDP length shorter than its header */
        {14 + 44 + 1, 13, 1}, /* UDP length longer than the datagram */
    };
    struct bench bench;
    set_up(&bench);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        uint8_t frame[128];
        struct datagram got;
        size_t bytes = damages[i].of_ipv6 ? sizeof frame_ethernet_udp6 : sizeof frame_ethernet_tcp;
        memcpy(frame, damages[i].of_ipv6 ? frame_ethernet_udp6 : frame_ethernet_tcp, bytes);
        frame[damages[i].at] = damages[i].value;
        CHECK(see(&bench, frame, bytes, bytes, LINK_ETHERNET, &got) == DECAP_SKIPPED);
        CHECK(bench.counters.value[COUNT_decap_malformed] == i + 1);
    }
    tear_down(&bench);
}

/* Segmentation offload: lengths that do not fit 16 bits stand as 0. */
static void test_length_zero(void)
{
    struct bench bench;
    struct datagram got;
    uint8_t frame[128];
    set_up(&bench);
    memcpy(frame, frame_ethernet_tcp, sizeof frame_ethernet_tcp);
    frame[16] = frame[17] = 0;
    CHECK(see(&bench, frame, sizeof frame_ethernet_tcp, 0, LINK_ETHERNET, &got) ==
          DECAP_DATAGRAM);
    CHECK(got.payload_bytes == 5);
    memcpy(frame, frame_raw6, sizeof frame_raw6);
    frame[4] = frame[5] = 0;
    CHECK(see(&bench, frame, sizeof frame_raw6, 0, LINK_RAW, &got) == DECAP_DATAGRAM);
    CHECK(got.payload_bytes == 5);
    tear_down(&bench);
}

static void test_fragments_through_the_parser(void)
{
    struct bench bench;
    struct datagram got;
    set_up(&bench);
    CHECK(see(&bench, frame_udp_part_2, sizeof frame_udp_part_2, 0, LINK_ETHERNET, &got) ==
          DECAP_HELD);
    CHECK(see(&bench, frame_udp_part_0, sizeof frame_udp_part_0, 0, LINK_ETHERNET, &got) ==
          DECAP_HELD);
    CHECK(see(&bench, frame_udp_part_1, sizeof frame_udp_part_1, 0, LINK_ETHERNET, &got) ==
          DECAP_DATAGRAM);
    CHECK(got.source_port == 1000 && got.destination_port == 2000 && got.ip_id == 0x1234);
    CHECK(got.payload_bytes == 60 && got.payload[0] == 0 && got.payload[59] == 59);
    /* the outer datagram of a tunnel in parts */
    CHECK(see(&bench, frame_vxlan_part_0, sizeof frame_vxlan_part_0, 0, LINK_ETHERNET, &got) ==
          DECAP_HELD);
    CHECK(see(&bench, frame_vxlan_part_1, sizeof frame_vxlan_part_1, 0, LINK_ETHERNET, &got) ==
          DECAP_DATAGRAM);
    CHECK(got.tunnel == TUNNEL_VXLAN && got.tunnel_id == 9 && got.payload_bytes == 5 &&
          memcmp(got.payload, "hello", 5) == 0);
    /* a fragment that the capture cut is of no use */
    CHECK(see(&bench, frame_udp_part_1, sizeof frame_udp_part_1 - 1, sizeof frame_udp_part_1,
              LINK_ETHERNET, &got) == DECAP_SKIPPED);
    CHECK(bench.counters.value[COUNT_fragments] == 6);
    CHECK(bench.counters.value[COUNT_fragments_dropped] == 1);
    tear_down(&bench);
}

/* Random damage to every frame: whatever the verdict, nothing is read out of bounds. */
static void test_noise(void)
{
    struct bench bench;
    set_up(&bench);
    srandom(1);
    unsigned datagrams = 0, others = 0;
    for (int round = 0; round < 200; round++)
        for (size_t i = 0; i < ROWS; i++) {
            struct datagram got;
            uint8_t *frame = placed(table[i].frame, table[i].bytes);
            for (int hit = 0; hit < 3; hit++)
                frame[(size_t)random() % table[i].bytes] = (uint8_t)random();
            enum decap_verdict verdict =
                see(&bench, frame, table[i].bytes, table[i].bytes, table[i].link, &got);
            *(verdict == DECAP_DATAGRAM ? &datagrams : &others) += 1;
            if (verdict == DECAP_DATAGRAM && got.payload_bytes)
                others += got.payload[got.payload_bytes - 1] == 0xff;
        }
    CHECK(datagrams > 1000 && others > 1000);
    tear_down(&bench);
}

int main(void)
{
    test_table();
    test_cut();
    test_snap_length();
    test_tcp_fields();
    test_auxiliary_vlan();
    test_skipped();
    test_malformed();
    test_length_zero();
    test_fragments_through_the_parser();
    test_noise();
    return checks_report("decap");
}
