/* links: duplicates.c */
#include "check.h"
#include "decap.h"

static const uint64_t MS = 1000000;
static const uint64_t START = 1000000000;
static const uint64_t GRAIN = 40000; /* ns; times are kept in coarser units */

static struct duplicates *open_with(uint64_t window_ms)
{
    struct limits limits = {.duplicate_window_ms = window_ms};
    return duplicates_open(&limits);
}

static struct datagram example(void)
{
    return (struct datagram){.source = {[15] = 1},
                             .destination = {[15] = 2},
                             .source_port = 40000,
                             .destination_port = 443,
                             .ip_version = 4,
                             .protocol = PROTO_TCP,
                             .tcp_flags = TCP_ACK | TCP_PSH,
                             .vlan = 100,
                             .ip_id = 77,
                             .checksum = 0xabcd,
                             .tcp_sequence = 1000,
                             .tcp_acknowledgement = 2000,
                             .payload_bytes = 10,
                             .payload_wire_bytes = 10};
}

static void test_window(void)
{
    struct duplicates *duplicates = open_with(20);
    struct datagram datagram = example();
    CHECK(!duplicate_seen(duplicates, &datagram, START));
    CHECK(duplicate_seen(duplicates, &datagram, START));
    CHECK(duplicate_seen(duplicates, &datagram, START + 20 * MS));
    CHECK(duplicate_seen(duplicates, &datagram, START - 20 * MS)); /* clocks of two sources */
    CHECK(!duplicate_seen(duplicates, &datagram, START + 20 * MS + GRAIN));
    CHECK(duplicate_seen(duplicates, &datagram, START + 30 * MS));
    duplicates_close(duplicates);
}

static void test_off(void)
{
    struct duplicates *duplicates = open_with(0);
    struct datagram datagram = example();
    CHECK(!duplicate_seen(duplicates, &datagram, START));
    CHECK(!duplicate_seen(duplicates, &datagram, START));
    duplicates_close(duplicates);
    duplicates_close(NULL);
}

/* What the way of a copy changes. */
static void test_no_difference(void)
{
    struct duplicates *duplicates = open_with(20);
    struct datagram datagram = example();
    CHECK(!duplicate_seen(duplicates, &datagram, START));
    datagram.vlan = VLAN_NONE;
    datagram.tunnel = TUNNEL_ERSPAN;
    datagram.tunnel_id = 9;
    datagram.payload_bytes = 3; /* cut by the mirror */
    CHECK(duplicate_seen(duplicates, &datagram, START));
    duplicates_close(duplicates);
}

#define DIFFERS(field)                                                                         \
    do {                                                                                       \
        struct duplicates *duplicates = open_with(20);                                         \
        struct datagram datagram = example();                                                  \
        CHECK(!duplicate_seen(duplicates, &datagram, START));                                  \
        datagram.field++;                                                                      \
        CHECK(!duplicate_seen(duplicates, &datagram, START));                                  \
        duplicates_close(duplicates);                                                          \
    } while (0)

static void test_differences(void)
{
    DIFFERS(source[15]);
    DIFFERS(source[0]);
    DIFFERS(destination[15]);
    DIFFERS(destination[0]);
    DIFFERS(source_port);
    DIFFERS(destination_port);
    DIFFERS(ip_version);
    DIFFERS(protocol);
    DIFFERS(tcp_flags);
    DIFFERS(ip_id); /* a retransmission */
    DIFFERS(checksum);
    DIFFERS(tcp_sequence);
    DIFFERS(tcp_acknowledgement);
    DIFFERS(payload_wire_bytes);
}

/* Both directions of one connection with equal numbers are not copies of each other. */
static void test_direction(void)
{
    struct duplicates *duplicates = open_with(20);
    struct datagram there = example(), back = example();
    back.source[15] = 2;
    back.destination[15] = 1;
    back.source_port = there.destination_port;
    back.destination_port = there.source_port;
    CHECK(!duplicate_seen(duplicates, &there, START));
    CHECK(!duplicate_seen(duplicates, &back, START));
    duplicates_close(duplicates);
}

/* Without an IP id only what comes within 1 ms is a copy. */
static void test_no_id(void)
{
    struct duplicates *duplicates = open_with(20);
    struct datagram datagram = example();
    datagram.ip_version = 6;
    datagram.ip_id = 0;
    CHECK(!duplicate_seen(duplicates, &datagram, START));
    CHECK(duplicate_seen(duplicates, &datagram, START + MS));
    CHECK(!duplicate_seen(duplicates, &datagram, START + MS + GRAIN));
    datagram.ip_version = 4; /* RFC 6864: 0 where a datagram is never cut in fragments */
    CHECK(!duplicate_seen(duplicates, &datagram, START));
    CHECK(!duplicate_seen(duplicates, &datagram, START + 2 * MS));
    duplicates_close(duplicates);
}

static void test_no_checksum(void)
{
    struct duplicates *duplicates = open_with(20);
    struct datagram datagram = example();
    datagram.protocol = PROTO_UDP;
    datagram.checksum = 0;
    datagram.payload = guarded("0123456789", 10);
    CHECK(!duplicate_seen(duplicates, &datagram, START));
    CHECK(duplicate_seen(duplicates, &datagram, START));
    datagram.payload = guarded("0123456780", 10);
    CHECK(!duplicate_seen(duplicates, &datagram, START));
    datagram.payload = guarded("x", 1);
    datagram.payload_bytes = 1;
    CHECK(!duplicate_seen(duplicates, &datagram, START));
    duplicates_close(duplicates);
}

/* A burst from one source and then all its copies, within the window. */
static void test_burst(void)
{
    struct duplicates *duplicates = open_with(20);
    struct datagram datagram = example();
    unsigned copies = 0, mistakes = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        datagram.tcp_sequence = i * 1460;
        mistakes += duplicate_seen(duplicates, &datagram, START + i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        datagram.tcp_sequence = i * 1460;
        copies += duplicate_seen(duplicates, &datagram, START + MS + i);
    }
    CHECK(mistakes == 0);
    CHECK(copies > 4950); /* a bucket may overflow */
    duplicates_close(duplicates);
}

int main(void)
{
    test_window();
    test_off();
    test_no_difference();
    test_differences();
    test_direction();
    test_no_id();
    test_no_checksum();
    test_burst();
    return checks_report("duplicates");
}
