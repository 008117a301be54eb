/* links: kernelfilter.c */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "check.h"
#include "kernelfilter.h"

/* The kernel itself runs the programs: on the datagrams of a UNIX socket pair. */
struct gate {
    int in, out;
};

static struct gate gate_open(const struct kernelfilter *filter)
{
    struct gate gate = {-1, -1};
    int ends[2] = {-1, -1};

    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends) == 0);
    gate.in = ends[0];
    gate.out = ends[1];
    CHECK(kernelfilter_attach(filter, gate.out));
    return gate;
}

static void gate_close(const struct gate *gate)
{
    close(gate->in);
    close(gate->out);
}

/* Whole or not at all. */
static bool passes(const struct gate *gate, const uint8_t *frame, size_t bytes)
{
    static uint8_t got[4096];

    if (send(gate->in, frame, bytes, 0) != (ssize_t)bytes)
        abort();
    ssize_t count = recv(gate->out, got, sizeof got, 0);
    CHECK(count < 0 ? errno == EAGAIN
                    : count == (ssize_t)bytes && memcmp(got, frame, bytes) == 0);
    return count >= 0;
}

enum { TCP = 6, UDP = 17, MAX_TAGS = 3 };

struct frame {
    uint16_t ethertype; /* 0x0800, 0x86dd, or another one over zeros */
    uint8_t protocol;
    uint16_t source_port, destination_port;
    uint16_t fragment;       /* IPv4 flags and offset */
    uint8_t option_words;    /* IPv4 options */
    uint16_t tags[MAX_TAGS]; /* in the frame, outermost first; 0: none */
};

static size_t put_16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return 2;
}

static size_t craft(uint8_t *out, const struct frame *frame, bool ethernet)
{
    size_t at = 0;

    memset(out, 0, 256);
    if (ethernet) {
        at = 12;
        for (size_t i = 0; i < MAX_TAGS && frame->tags[i]; i++) {
            at += put_16(out + at, frame->tags[i]);
            at += put_16(out + at, (uint16_t)(0x6000 + i)); /* a priority, and an id */
        }
        at += put_16(out + at, frame->ethertype);
    }
    if (frame->ethertype == 0x0800) {
        out[at] = (uint8_t)(0x45 + frame->option_words);
        put_16(out + at + 6, frame->fragment);
        out[at + 9] = frame->protocol;
        at += 20 + 4u * frame->option_words;
    } else {
        out[at] = 0x60;
        out[at + 6] = frame->protocol;
        at += 40;
    }
    at += put_16(out + at, frame->source_port);
    at += put_16(out + at, frame->destination_port);
    return at + 16;
}

static const uint16_t ports[] = {443, 80, 902, 5480, 5481, 5482, 8443, 65535, 443};
enum { PORTS = sizeof ports / sizeof *ports };

static const struct row {
    struct frame frame;
    bool kept;
} rows[] = {
    /* ports: either side, both protocols, edges of a range */
    {{0x0800, TCP, 40000, 443, 0, 0, {0}}, true},
    {{0x0800, TCP, 443, 40000, 0, 0, {0}}, true},
    {{0x0800, UDP, 40000, 902, 0, 0, {0}}, true},
    {{0x0800, UDP, 902, 40000, 0, 0, {0}}, true},
    {{0x0800, TCP, 40000, 444, 0, 0, {0}}, false},
    {{0x0800, TCP, 22, 40000, 0, 0, {0}}, false},
    {{0x0800, UDP, 53, 53, 0, 0, {0}}, false},
    {{0x0800, TCP, 0, 0, 0, 0, {0}}, false},
    {{0x0800, TCP, 40000, 5479, 0, 0, {0}}, false},
    {{0x0800, TCP, 40000, 5480, 0, 0, {0}}, true},
    {{0x0800, TCP, 40000, 5481, 0, 0, {0}}, true},
    {{0x0800, TCP, 5482, 40000, 0, 0, {0}}, true},
    {{0x0800, TCP, 40000, 5483, 0, 0, {0}}, false},
    {{0x0800, TCP, 40000, 65535, 0, 0, {0}}, true},
    {{0x0800, TCP, 40000, 65534, 0, 0, {0}}, false},
    /* the header's length is looked at */
    {{0x0800, TCP, 40000, 80, 0, 10, {0}}, true},
    {{0x0800, TCP, 40000, 81, 0, 10, {0}}, false},
    {{0x0800, TCP, 80, 40000, 0, 1, {0}}, true},
    /* fragments: any; a packet that must not be fragmented is none */
    {{0x0800, TCP, 1, 1, 0x2000, 0, {0}}, true},
    {{0x0800, UDP, 1, 1, 0x0001, 0, {0}}, true},
    {{0x0800, 1, 1, 1, 0x3fff, 0, {0}}, true},
    {{0x0800, TCP, 1, 1, 0x4000, 0, {0}}, false},
    {{0x0800, TCP, 1, 1, 0x8000, 0, {0}}, false},
    /* tunnels */
    {{0x0800, 47, 1, 1, 0, 0, {0}}, true},
    {{0x0800, 4, 1, 1, 0, 0, {0}}, true},
    {{0x0800, 41, 1, 1, 0, 0, {0}}, true},
    {{0x0800, UDP, 40000, 4789, 0, 0, {0}}, true},
    {{0x0800, UDP, 40000, 6081, 0, 3, {0}}, true},
    {{0x0800, UDP, 40000, 8472, 0, 0, {0}}, true},
    {{0x0800, 51, 1, 1, 0, 0, {0}}, true}, /* authentication header */
    {{0x0800, UDP, 4789, 40000, 0, 0, {0}}, false}, /* tunnels go to their port */
    {{0x0800, TCP, 40000, 4789, 0, 0, {0}}, false},
    {{0x0800, TCP, 40000, 6081, 0, 0, {0}}, false},
    {{0x86dd, 47, 1, 1, 0, 0, {0}}, true},
    {{0x86dd, 4, 1, 1, 0, 0, {0}}, true},
    {{0x86dd, 41, 1, 1, 0, 0, {0}}, true},
    {{0x86dd, UDP, 40000, 4789, 0, 0, {0}}, true},
    {{0x86dd, TCP, 40000, 4789, 0, 0, {0}}, false},
    /* other protocols: ICMP, ESP, OSPF, SCTP, ICMPv6 */
    {{0x0800, 1, 443, 443, 0, 0, {0}}, false},
    {{0x0800, 50, 443, 443, 0, 0, {0}}, false},
    {{0x0800, 89, 443, 443, 0, 0, {0}}, false},
    {{0x0800, 132, 443, 443, 0, 0, {0}}, false},
    {{0x86dd, 58, 443, 443, 0, 0, {0}}, false},
    /* IPv6 */
    {{0x86dd, TCP, 40000, 8443, 0, 0, {0}}, true},
    {{0x86dd, UDP, 902, 40000, 0, 0, {0}}, true},
    {{0x86dd, TCP, 40000, 8444, 0, 0, {0}}, false},
    {{0x86dd, 0, 1, 1, 0, 0, {0}}, true},
    {{0x86dd, 43, 1, 1, 0, 0, {0}}, true},
    {{0x86dd, 44, 1, 1, 0, 0, {0}}, true},
    {{0x86dd, 51, 1, 1, 0, 0, {0}}, true},
    {{0x86dd, 60, 1, 1, 0, 0, {0}}, true},
    {{0x86dd, 135, 1, 1, 0, 0, {0}}, true},
    {{0x86dd, 59, 443, 443, 0, 0, {0}}, false}, /* no next header */
};

static const struct row ethernet_rows[] = {
    {{0x0800, TCP, 40000, 443, 0, 0, {0x8100}}, true},
    {{0x0800, TCP, 40000, 444, 0, 0, {0x8100}}, false},
    {{0x0800, UDP, 40000, 4789, 0, 2, {0x88a8}}, true},
    {{0x0800, TCP, 1, 1, 0x2000, 0, {0x9100}}, true},
    {{0x86dd, TCP, 443, 40000, 0, 0, {0x8100}}, true},
    {{0x86dd, TCP, 444, 40000, 0, 0, {0x88a8}}, false},
    {{0x0800, TCP, 40000, 443, 0, 1, {0x88a8, 0x8100}}, true},
    {{0x0800, TCP, 40000, 444, 0, 1, {0x88a8, 0x8100}}, false},
    {{0x86dd, UDP, 40000, 902, 0, 0, {0x8100, 0x8100}}, true},
    {{0x86dd, UDP, 40000, 903, 0, 0, {0x8100, 0x8100}}, false},
    {{0x86dd, 44, 1, 1, 0, 0, {0x88a8, 0x9100}}, true},
    {{0x0806, 0, 443, 443, 0, 0, {0x8100, 0x8100}}, false},
    {{0x0800, TCP, 1, 1, 0, 0, {0x88a8, 0x8100, 0x8100}}, true}, /* too deep to tell */
    {{0x0800, TCP, 1, 1, 0, 0, {0x88a8, 0x8100, 0x9100}}, true},
    {{0x0800, TCP, 1, 443, 0, 0, {0x9200}}, true},
    {{0x8847, 0, 1, 1, 0, 0, {0}}, true}, /* MPLS */
    {{0x8848, 0, 1, 1, 0, 0, {0x8100}}, true},
    {{0x0806, 0, 443, 443, 0, 0, {0}}, false}, /* ARP */
    {{0x88cc, 0, 443, 443, 0, 0, {0}}, false}, /* LLDP */
    {{0x0026, 0, 443, 443, 0, 0, {0}}, false}, /* 802.3 length: spanning tree */
};

static void check_rows(const struct gate *gate, bool ethernet, const struct row *row, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t frame[256];
        size_t bytes = craft(frame, &row[i].frame, ethernet);
        bool kept = passes(gate, frame, bytes);
        if (kept != row[i].kept)
            fprintf(stderr, "%s row %zu: %s\n", ethernet ? "ethernet" : "raw", i,
                    kept ? "kept" : "dropped");
        CHECK(kept == row[i].kept);
    }
}

static void test_rows(void)
{
    struct kernelfilter *filter = calloc(1, sizeof *filter);
    struct gate gate;

    for (int ethernet = 0; ethernet < 2; ethernet++) {
        CHECK(filter && kernelfilter_build(filter, ethernet, ports, PORTS));
        gate = gate_open(filter);
        check_rows(&gate, ethernet, rows, sizeof rows / sizeof *rows);
        if (ethernet)
            check_rows(&gate, true, ethernet_rows, sizeof ethernet_rows / sizeof *ethernet_rows);
        gate_close(&gate);
    }
    free(filter);
}

/* Cut at every length: kept as soon as what decides is there, never a frame that would not be. */
static void test_short_frames(void)
{
    static const struct {
        struct frame frame;
        size_t decides; /* bytes needed */
    } cuts[] = {
        {{0x0800, TCP, 443, 40000, 0, 0, {0}}, 14 + 20 + 2},
        {{0x0800, TCP, 40000, 443, 0, 2, {0}}, 14 + 28 + 4},
        {{0x0800, TCP, 1, 1, 0x2000, 0, {0}}, 14 + 8},
        {{0x0800, 47, 1, 1, 0, 0, {0}}, 14 + 10},
        {{0x86dd, TCP, 40000, 443, 0, 0, {0x8100}}, 18 + 40 + 4},
        {{0x86dd, 44, 1, 1, 0, 0, {0}}, 14 + 7},
        {{0x0800, UDP, 1, 4789, 0, 0, {0}}, 14 + 20 + 4},
        {{0x0800, TCP, 1, 1, 0, 0, {0x88a8, 0x8100, 0x8100}}, 22},
    };
    struct kernelfilter *filter = calloc(1, sizeof *filter);

    CHECK(filter && kernelfilter_build(filter, true, ports, PORTS));
    struct gate gate = gate_open(filter);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        uint8_t frame[256];
        size_t whole = craft(frame, &cuts[i].frame, true);
        for (size_t bytes = 1; bytes <= whole; bytes++)
            CHECK(passes(&gate, frame, bytes) == (bytes >= cuts[i].decides));
    }
    gate_close(&gate);
    free(filter);
}

static void test_closed(void)
{
    struct kernelfilter *filter = calloc(1, sizeof *filter);
    uint8_t frame[256];
    size_t bytes = craft(frame, &rows[0].frame, true);

    kernelfilter_build_closed(filter);
    struct gate gate = gate_open(filter);
    CHECK(!passes(&gate, frame, bytes));
    CHECK(kernelfilter_build(filter, true, ports, PORTS));
    CHECK(kernelfilter_attach(filter, gate.out)); /* replaces, in one step */
    CHECK(passes(&gate, frame, bytes));
    gate_close(&gate);
    free(filter);
}

/* Every port at once is one range; too many apart from each other are refused. */
static void test_many_ports(void)
{
    static uint16_t many[65536];
    struct kernelfilter *filter = calloc(1, sizeof *filter);
    struct frame wanted = {0x0800, TCP, 1, 0, 0, 0, {0}};
    uint8_t frame[256];

    for (size_t i = 0; i < 65536; i++)
        many[i] = (uint16_t)(65535 - i);
    CHECK(kernelfilter_build(filter, true, many, 65536));
    struct gate gate = gate_open(filter);
    CHECK(passes(&gate, frame, craft(frame, &wanted, true)));
    gate_close(&gate);

    for (size_t i = 0; i < 65536; i++)
        many[i] = (uint16_t)(i * 2);
    CHECK(!kernelfilter_build(filter, true, many, 1000));
    CHECK(filter->count <= BPF_MAXINSNS);
    CHECK(kernelfilter_build(filter, true, many, 256));
    gate = gate_open(filter);
    for (uint16_t port = 2; port < 600; port++) {
        wanted.source_port = 601;
        wanted.destination_port = port;
        CHECK(passes(&gate, frame, craft(frame, &wanted, true)) == (port < 512 && port % 2 == 0));
    }
    gate_close(&gate);

    CHECK(kernelfilter_build(filter, true, NULL, 0)); /* none: tunnels and fragments only */
    gate = gate_open(filter);
    CHECK(!passes(&gate, frame, craft(frame, &wanted, true)));
    wanted.protocol = 47;
    CHECK(passes(&gate, frame, craft(frame, &wanted, true)));
    gate_close(&gate);
    free(filter);
}

int main(void)
{
    test_rows();
    test_short_frames();
    test_closed();
    test_many_ports();
    return checks_report("kernelfilter");
}
