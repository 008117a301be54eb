/* links: cutter.c cutter_program.c kernelfilter.c errorline.c */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "check.h"
#include "cutter.h"
#include "cutter_program.h"
#include "kernelfilter.h"

/* The kernel itself runs the programs: on the datagrams of a UNIX socket pair. */
struct gate {
    int in, out;
};

enum { ETHERNET_BYTES = 14, PAYLOAD_BYTES = 1400, PORT = 443 };

struct frame {
    uint8_t version, flags, option_words; /* of TCP */
    uint16_t tags, source_port, destination_port;
    uint32_t sequence;
    uint32_t payload_bytes;
    uint16_t fragment;
    uint8_t protocol;
};

static size_t put_16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return 2;
}

static void put_32(uint8_t *at, uint32_t value)
{
    put_16(at, value >> 16);
    put_16(at + 2, value);
}

/* Returns the bytes of the frame; *headers_bytes is what a cut one has. */
static size_t craft(uint8_t *out, const struct frame *frame, bool ethernet, size_t *headers_bytes)
{
    size_t at = 0;
    memset(out, 0, 4096);
    if (ethernet) {
        at = 12;
        for (int i = 0; i < frame->tags; i++) {
            at += put_16(out + at, i ? 0x8100 : 0x88a8);
            at += put_16(out + at, 7);
        }
        at += put_16(out + at, frame->version == 4 ? 0x0800 : 0x86dd);
    }
    uint8_t *ip = out + at;
    uint32_t tcp_bytes = 20 + 4u * frame->option_words;
    if (frame->version == 4) {
        ip[0] = 0x45;
        put_16(ip + 2, 20 + tcp_bytes + frame->payload_bytes);
        put_16(ip + 6, frame->fragment);
        ip[9] = frame->protocol ? frame->protocol : PROTO_TCP;
        memcpy(ip + 12, "\x0a\1\0\1\x0a\2\0\2", 8);
        at += 20;
    } else {
        ip[0] = 0x60;
        put_16(ip + 4, tcp_bytes + frame->payload_bytes);
        ip[6] = frame->protocol ? frame->protocol : PROTO_TCP;
        memcpy(ip + 8, "\xfd\0\0\1\0\0\0\0\0\0\0\0\0\0\0\1\xfd\0\0\2\0\0\0\0\0\0\0\0\0\0\0\2", 32);
        at += 40;
    }
    put_16(out + at, frame->source_port);
    put_16(out + at + 2, frame->destination_port);
    put_32(out + at + 4, frame->sequence);
    out[at + 12] = (uint8_t)(tcp_bytes / 4 << 4);
    out[at + 13] = frame->flags;
    *headers_bytes = at + tcp_bytes;
    memset(out + *headers_bytes, 'x', frame->payload_bytes);
    return *headers_bytes + frame->payload_bytes;
}

/* What decap makes of it. */
static struct datagram datagram_of(const struct frame *frame)
{
    struct datagram datagram = {
        .source_port = frame->source_port,
        .destination_port = frame->destination_port,
        .ip_version = frame->version,
        .protocol = PROTO_TCP,
        .tcp_sequence = frame->sequence,
        .payload_wire_bytes = frame->payload_bytes,
    };
    if (frame->version == 4) {
        memcpy(datagram.source, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\1\0\1", 16);
        memcpy(datagram.destination, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\2\0\2", 16);
    } else {
        memcpy(datagram.source, "\xfd\0\0\1\0\0\0\0\0\0\0\0\0\0\0\1", 16);
        memcpy(datagram.destination, "\xfd\0\0\2\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    }
    return datagram;
}

/* -1: dropped */
static ssize_t through(const struct gate *gate, const struct frame *frame, bool ethernet,
                       size_t *headers_bytes, size_t *whole_bytes)
{
    static uint8_t sent[4096], got[4096];
    *whole_bytes = craft(sent, frame, ethernet, headers_bytes);
    if (send(gate->in, sent, *whole_bytes, 0) != (ssize_t)*whole_bytes)
        abort();
    ssize_t count = recv(gate->out, got, sizeof got, 0);
    CHECK(count < 0 ? errno == EAGAIN : memcmp(got, sent, (size_t)count) == 0);
    return count;
}

enum { DROPPED, CUT, WHOLE };

static void check_one(const struct gate *gate, const struct frame *frame, bool ethernet,
                      int expected, int line)
{
    size_t headers_bytes, whole_bytes;
    ssize_t got = through(gate, frame, ethernet, &headers_bytes, &whole_bytes);
    ssize_t wanted = expected == DROPPED ? -1 : (ssize_t)(expected == CUT ? headers_bytes
                                                                          : whole_bytes);
    if (got != wanted)
        fprintf(stderr, "line %d: %zd bytes, not %zd\n", line, got, wanted);
    CHECK(got == wanted);
}

#define EXPECT(frame, expected) check_one(&gate, &(frame), ethernet, expected, __LINE__)

static struct gate gate_open(struct cutter *cutter, const struct kernelfilter *ports,
                             bool ethernet)
{
    struct gate gate = {-1, -1};
    int ends[2] = {-1, -1};
    char error[SOURCE_ERROR_BYTES] = "";
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends) == 0);
    gate.in = ends[0];
    gate.out = ends[1];
    bool attached = cutter_attach(cutter, 1, ports, ethernet, gate.out, error);
    if (!attached)
        fprintf(stderr, "%s\n", error);
    CHECK(attached);
    return gate;
}

static void gate_close(const struct gate *gate)
{
    close(gate->in);
    close(gate->out);
}

static void mark(struct cutter *cutter, const struct frame *frame)
{
    struct datagram datagram = datagram_of(frame);
    cutter_mark(cutter, &datagram);
}

static struct cutter *opened(void)
{
    char error[SOURCE_ERROR_BYTES] = "";
    struct cutter *cutter = cutter_open(2, error);
    if (!cutter)
        abort();
    return cutter;
}

static struct frame bulk(uint8_t version)
{
    return (struct frame){.version = version, .flags = TCP_ACK, .option_words = 3,
                          .source_port = 40000, .destination_port = PORT,
                          .sequence = 0xfffffff0, .payload_bytes = PAYLOAD_BYTES};
}

/* One thing is other than in a frame that is cut. */
static void test_what_is_cut(const struct kernelfilter *ports, bool ethernet, uint8_t version)
{
    struct cutter *cutter = opened();
    struct gate gate = gate_open(cutter, ports, ethernet);
    struct frame first = bulk(version), next = first, other;
    next.sequence += PAYLOAD_BYTES; /* wraps */
    EXPECT(first, WHOLE);
    mark(cutter, &first);
    EXPECT(next, CUT);
    other = next, other.option_words = 10;
    EXPECT(other, CUT);
    other = next, other.flags = TCP_ACK | TCP_PSH;
    EXPECT(other, CUT);
    other = next, other.sequence += CUTTER_WINDOW - 1;
    EXPECT(other, CUT);
    other = next, other.sequence += CUTTER_WINDOW;
    EXPECT(other, WHOLE);
    EXPECT(first, WHOLE); /* sent again: before the mark */
    other = next, other.payload_bytes = 100;
    EXPECT(other, WHOLE);
    other = next, other.flags = TCP_ACK | TCP_FIN;
    EXPECT(other, WHOLE);
    other = next, other.flags = TCP_ACK | TCP_RST;
    EXPECT(other, WHOLE);
    other = next, other.source_port = 40001;
    EXPECT(other, WHOLE);
    other = next, other.source_port = PORT, other.destination_port = 40000;
    EXPECT(other, WHOLE); /* the other direction */
    other = next, other.protocol = PROTO_UDP;
    EXPECT(other, WHOLE);
    if (version == 4) {
        other = next, other.fragment = 0x2000;
        EXPECT(other, WHOLE);
        other = next, other.fragment = 0x0010;
        EXPECT(other, WHOLE);
        other = next, other.fragment = 0x4000; /* must not be fragmented */
        EXPECT(other, CUT);
    }
    for (uint16_t tags = 1; ethernet && tags <= 3; tags++) {
        other = next, other.tags = tags;
        EXPECT(other, tags <= 2 ? CUT : WHOLE);
    }
    EXPECT(next, CUT);
    gate_close(&gate);
    cutter_close(cutter);
}

/* Whether long or short, with data or without; of this direction and of no other. */
static void test_syn_unmarks(bool ethernet, uint8_t version)
{
    struct cutter *cutter = opened();
    struct gate gate = gate_open(cutter, NULL, ethernet);
    struct frame data = bulk(version), back = data, syn = data;
    back.source_port = PORT, back.destination_port = 40000;
    for (uint32_t payload_bytes = 0; payload_bytes < 2000; payload_bytes += 1000) {
        mark(cutter, &data);
        mark(cutter, &back);
        struct frame next = data, next_back = back;
        next.sequence += PAYLOAD_BYTES, next_back.sequence += PAYLOAD_BYTES;
        EXPECT(next, CUT);
        syn.flags = TCP_SYN, syn.option_words = 5, syn.payload_bytes = payload_bytes;
        syn.sequence = data.sequence + 2 * PAYLOAD_BYTES;
        EXPECT(syn, WHOLE);
        EXPECT(next, WHOLE);
        EXPECT(next_back, CUT);
        mark(cutter, &next); /* read only now: of the connection before */
        EXPECT(next, WHOLE);
        struct frame begun = next;
        begun.sequence = syn.sequence + 1;
        mark(cutter, &begun);
        begun.sequence += PAYLOAD_BYTES;
        EXPECT(begun, CUT);
    }
    gate_close(&gate);
    cutter_close(cutter);
}

static void test_counts(struct cutter *cutter, const struct kernelfilter *ports)
{
    const bool ethernet = true;
    struct gate gate = gate_open(cutter, ports, ethernet);
    struct frame frame = bulk(4), foreign = bulk(4);
    struct cutter_counts before, after, elsewhere;
    mark(cutter, &frame);
    frame.sequence += PAYLOAD_BYTES;
    foreign.destination_port = 5000;
    cutter_count(cutter, 1, &before);
    for (int i = 0; i < 3; i++)
        EXPECT(frame, CUT);
    EXPECT(foreign, DROPPED);
    EXPECT(foreign, DROPPED);
    cutter_count(cutter, 1, &after);
    CHECK(after.cut - before.cut == 3);
    CHECK(after.cut_bytes - before.cut_bytes == 3 * PAYLOAD_BYTES);
    CHECK(after.filtered - before.filtered == 2);
    CHECK(after.filtered_bytes - before.filtered_bytes ==
          2 * (ETHERNET_BYTES + 20 + 32 + PAYLOAD_BYTES));
    cutter_count(cutter, 0, &elsewhere);
    CHECK(elsewhere.cut == 0 && elsewhere.filtered == 0);
    gate_close(&gate);
}

/* The translation keeps and drops what the classic program does, whatever the frame holds. */
static void test_translation(struct cutter *cutter, const struct kernelfilter *ports,
                             bool ethernet)
{
    static uint8_t frame[4096], got[4096];
    struct gate classic = {-1, -1}, ours = gate_open(cutter, ports, ethernet);
    int ends[2] = {-1, -1}, kept = 0;
    enum { FRAMES = 20000 };
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends) == 0);
    classic = (struct gate){ends[0], ends[1]};
    CHECK(kernelfilter_attach(ports, classic.out));
    srand(7);
    for (int i = 0; i < FRAMES; i++) {
        struct frame likely = bulk(rand() % 3 ? 4 : 6);
        size_t ignored;
        likely.tags = (uint16_t)(rand() % 3);
        likely.destination_port = (uint16_t)(440 + rand() % 6);
        likely.payload_bytes = 64;
        size_t bytes = craft(frame, &likely, ethernet, &ignored);
        for (int changes = rand() % 4; changes > 0; changes--)
            frame[(size_t)rand() % 60] = (uint8_t)rand();
        if (rand() % 4 == 0)
            bytes = 1 + (size_t)rand() % bytes;
        if (send(classic.in, frame, bytes, 0) < 0 || send(ours.in, frame, bytes, 0) < 0)
            abort();
        ssize_t theirs = recv(classic.out, got, sizeof got, 0);
        CHECK(recv(ours.out, got, sizeof got, 0) == theirs);
        kept += theirs > 0;
    }
    CHECK(kept > FRAMES / 10 && kept < FRAMES - FRAMES / 10);
    gate_close(&classic);
    gate_close(&ours);
}

static void test_other_programs(struct cutter_code *code)
{
    static struct kernelfilter filter;
    struct cutter_program program = {.ports = &filter, .ethernet = true, .cpus = 1, .factor = 1};
    filter = (struct kernelfilter){.code = {{BPF_RET | BPF_A, 0, 0, 0}}, .count = 1};
    CHECK(!cutter_assemble(code, &program));
    kernelfilter_build_closed(&filter);
    CHECK(cutter_assemble(code, &program));
}

int main(void)
{
    static struct kernelfilter ports;
    static struct cutter_code code;
    static const uint16_t wanted[] = {80, PORT, 902, 5480, 5481};
    char error[SOURCE_ERROR_BYTES] = "";
    test_other_programs(&code);
    struct cutter *cutter = cutter_open(2, error);
    if (!cutter) {
        fprintf(stderr, "not tested in the kernel: %s\n", error);
        return checks_report("cutter");
    }
    for (int ethernet = 0; ethernet < 2; ethernet++) {
        CHECK(kernelfilter_build(&ports, ethernet, wanted, sizeof wanted / sizeof *wanted));
        for (uint8_t version = 4; version <= 6; version += 2) {
            test_what_is_cut(NULL, ethernet, version);
            test_what_is_cut(&ports, ethernet, version);
            test_syn_unmarks(ethernet, version);
        }
        test_translation(cutter, &ports, ethernet);
    }
    CHECK(kernelfilter_build(&ports, true, wanted, sizeof wanted / sizeof *wanted));
    test_counts(cutter, &ports);
    cutter_close(cutter);
    return checks_report("cutter");
}
