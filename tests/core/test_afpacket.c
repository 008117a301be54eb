/* links: afpacket.c kernelfilter.c merge.c errorline.c */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "check.h"
#include "source.h"

/* A network namespace of our own with pairs of virtual Ethernet: frames sent on a0 arrive on a1. */

enum {
    SKIPPED = 77,
    BLOCK_BYTES = 128 << 10,
    BLOCK_TIMEOUT_MS = 10,
    SECOND_NS = 1000000000,
    HEADERS_BYTES = 14 + 20 + 8,
};

static int skip(const char *reason)
{
    printf("test_afpacket: skipped: %s\n", reason);
    return SKIPPED;
}

static bool run(const char *command)
{
    return system(command) == 0;
}

static void write_setting(const char *path, const char *value)
{
    FILE *file = fopen(path, "w");

    if (file) {
        fputs(value, file);
        fclose(file);
    }
}

/* NULL, or why there is no namespace with what we need. */
static const char *make_network(void)
{
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return "may not make a network namespace";
    /* No neighbour discovery among the packets we count. */
    write_setting("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    if (!run("ip link add a0 type veth peer name a1 2>/dev/null") ||
        !run("ip link add b0 type veth peer name b1 2>/dev/null"))
        return "cannot make a veth pair";
    run("for i in a0 a1 b0 b1; do ip link set $i up; done; ip link set lo up");
    return NULL;
}

static uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static int sender(const char *interface)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_ifindex = (int)if_nametoindex(interface),
    };
    int fd = socket(AF_PACKET, SOCK_RAW, 0);

    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static struct source *capture_with(struct afpacket_options options)
{
    char error[SOURCE_ERROR_BYTES] = "";
    struct source *source = afpacket_open(&options, error);

    if (!source) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return source;
}

static struct afpacket_options usual(const char *interface)
{
    return (struct afpacket_options){
        .interface = interface,
        .index = 7,
        .ring_bytes = 64 * BLOCK_BYTES,
        .block_bytes = BLOCK_BYTES,
        .block_timeout_ms = BLOCK_TIMEOUT_MS,
        .promiscuous = 1,
    };
}

struct datagram_spec {
    uint32_t number; /* in the first four bytes of payload */
    uint16_t source_port, destination_port;
    uint16_t payload_bytes; /* at least 4 */
    uint16_t fragment;      /* flags and offset; offset 0 has the UDP header */
    bool back;              /* addresses the other way round */
};

static size_t put_16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return 2;
}

static uint8_t byte_of(uint32_t number, size_t at)
{
    return (uint8_t)(number * 13 + at);
}

static void put_payload(uint8_t *at, const struct datagram_spec *spec)
{
    for (size_t i = 0; i < spec->payload_bytes; i++)
        at[i] = byte_of(spec->number, i);
    memcpy(at, &spec->number, 4);
}

static void put_ipv4(uint8_t *ip, const struct datagram_spec *spec, size_t bytes)
{
    uint32_t sum = 0;

    memset(ip, 0, 20);
    ip[0] = 0x45;
    put_16(ip + 2, (unsigned)bytes);
    put_16(ip + 4, spec->number);
    put_16(ip + 6, spec->fragment);
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + (spec->back ? 16 : 12), "\x0a\x4d\x01\x0b", 4);
    memcpy(ip + (spec->back ? 12 : 16), "\x0a\x4d\x03\x0a", 4);
    for (size_t i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    put_16(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
}

/* An Ethernet frame with `tags` bytes of VLAN tags before its type. */
static size_t craft(uint8_t *frame, const struct datagram_spec *spec, const uint8_t *tags,
                    size_t tag_bytes)
{
    size_t at = 12;

    memcpy(frame, "\x02\0\0\0\0\1\x02\0\0\0\0\2", 12);
    if (tag_bytes)
        memcpy(frame + at, tags, tag_bytes);
    at += tag_bytes;
    at += put_16(frame + at, ETH_P_IP);
    put_ipv4(frame + at, spec, 28u + spec->payload_bytes);
    at += 20;
    at += put_16(frame + at, spec->source_port);
    at += put_16(frame + at, spec->destination_port);
    at += put_16(frame + at, 8u + spec->payload_bytes);
    at += put_16(frame + at, 0);
    put_payload(frame + at, spec);
    return at + spec->payload_bytes;
}

static void send_spec(int fd, struct datagram_spec spec)
{
    uint8_t frame[2048];
    size_t bytes = craft(frame, &spec, NULL, 0);

    if (send(fd, frame, bytes, 0) != (ssize_t)bytes)
        perror("send");
}

static uint32_t number_of(const struct packet *packet)
{
    uint32_t number = UINT32_MAX;

    if (packet->captured_bytes >= HEADERS_BYTES + 4)
        memcpy(&number, packet->data + HEADERS_BYTES, 4);
    return number;
}

static uint16_t payload_of(uint32_t number)
{
    return (uint16_t)(18 + number * 31 % 1400);
}

/* The next packet; SOURCE_IDLE when none came for a second, which is a hundred block timeouts. */
static enum source_verdict take(struct source *source, struct packet *packet)
{
    return source->ops->next(source, packet, 1000);
}

static void check_idle(struct source *source)
{
    struct packet packet;

    CHECK(source->ops->next(source, &packet, 5 * BLOCK_TIMEOUT_MS) == SOURCE_IDLE);
}

static void close_source(struct source *source)
{
    source->ops->close(source);
}

static bool is_numbered(const struct packet *packet, uint32_t number)
{
    struct datagram_spec spec = {number, 40000, 443, payload_of(number), 0, false};
    uint8_t frame[2048];
    size_t bytes = craft(frame, &spec, NULL, 0);

    return packet->captured_bytes == bytes && packet->wire_bytes == bytes &&
           memcmp(packet->data, frame, bytes) == 0 && packet->link == LINK_ETHERNET &&
           packet->source == 7 && !packet->has_vlan;
}

/* Many times round the ring: every packet, whole, once, in order, with a time that fits. */
static void test_order(void)
{
    enum { BURSTS = 120, BURST = 100 };
    struct source *source = capture_with(usual("a1"));
    int fd = sender("a0");
    uint32_t expected = 0;
    uint64_t last_ns = realtime_ns();
    struct packet packet;

    for (uint32_t burst = 0; burst < BURSTS; burst++) {
        for (uint32_t number = burst * BURST; number < (burst + 1) * BURST; number++)
            send_spec(fd, (struct datagram_spec){number, 40000, 443, payload_of(number), 0, false});
        for (int i = 0; i < BURST && take(source, &packet) == SOURCE_PACKET; i++) {
            CHECK(is_numbered(&packet, expected));
            CHECK(packet.ordinal == expected);
            CHECK(packet.time_ns >= last_ns);
            last_ns = packet.time_ns;
            expected++;
        }
    }
    CHECK(expected == BURSTS * BURST);
    CHECK(last_ns <= realtime_ns());
    struct source_stats stats;
    source->ops->stats(source, &stats);
    CHECK(stats.received == BURSTS * BURST && stats.dropped == 0);
    CHECK(stats.frozen == 0 && stats.truncated == 0);
    check_idle(source);
    close(fd);
    close_source(source);
}

static void test_vlan(void)
{
    static const struct {
        const char *tags;
        size_t bytes;
        uint16_t tpid, tci;
    } rows[] = {
        {"\x81\x00\x60\x64", 4, 0x8100, 0x6064},
        {"\x81\x00\x00\x00", 4, 0x8100, 0x0000}, /* a priority tag: it is there, and 0 */
        {"\x88\xa8\x0f\xff", 4, 0x88a8, 0x0fff},
        {"\x88\xa8\x21\x2c\x81\x00\x00\x05", 8, 0x88a8, 0x212c}, /* the inner one stays */
    };
    struct source *source = capture_with(usual("a1"));
    int fd = sender("a0");
    struct packet packet;

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct datagram_spec spec = {1, 40000, 443, 64, 0, false};
        uint8_t frame[256], rest[256];
        size_t bytes = craft(frame, &spec, (const uint8_t *)rows[row].tags, rows[row].bytes);
        CHECK(send(fd, frame, bytes, 0) == (ssize_t)bytes);
        CHECK(take(source, &packet) == SOURCE_PACKET);
        CHECK(packet.has_vlan && packet.vlan_tci == rows[row].tci);
        CHECK(packet.vlan_tpid == rows[row].tpid);
        bytes = craft(rest, &spec, (const uint8_t *)rows[row].tags + 4, rows[row].bytes - 4);
        CHECK(packet.captured_bytes == bytes && memcmp(packet.data, rest, bytes) == 0);
    }
    close(fd);
    close_source(source);
}

/* A ring that nobody reads: what is dropped is counted to the packet, and it goes on afterwards. */
static void test_drops(void)
{
    enum { SENT = 2000, MORE = 50 };
    struct afpacket_options options = usual("a1");
    struct source_stats stats;
    struct packet packet;
    uint64_t delivered = 0;
    int fd = sender("a0");

    options.ring_bytes = 2 * BLOCK_BYTES;
    struct source *source = capture_with(options);
    for (uint32_t number = 0; number < SENT; number++)
        send_spec(fd, (struct datagram_spec){number, 40000, 443, 1200, 0, false});
    while (source->ops->next(source, &packet, 5 * BLOCK_TIMEOUT_MS) == SOURCE_PACKET)
        CHECK(number_of(&packet) == delivered++); /* the first ones: a full ring takes no more */
    source->ops->stats(source, &stats);
    CHECK(stats.received == SENT);
    CHECK(stats.dropped > 0 && stats.dropped == SENT - delivered);
    CHECK(stats.frozen > 0);
    for (uint32_t number = 0; number < MORE; number++)
        send_spec(fd, (struct datagram_spec){number, 40000, 443, 100, 0, false});
    for (uint32_t number = 0; number < MORE; number++)
        CHECK(take(source, &packet) == SOURCE_PACKET && number_of(&packet) == number);
    uint64_t dropped = stats.dropped;
    source->ops->stats(source, &stats);
    CHECK(stats.received == SENT + MORE && stats.dropped == dropped);
    close(fd);
    close_source(source);
}

static atomic_bool flooding;

static void *flood(void *context)
{
    int fd = *(int *)context;

    while (atomic_load(&flooding))
        send_spec(fd, (struct datagram_spec){1, 53, 53, 60, 0, false});
    return NULL;
}

/* The filter holds from the first packet, whatever passes while the socket is being opened. */
static void test_filter(void)
{
    static const uint16_t ports[] = {443, 902};
    struct afpacket_options options = usual("a1");
    struct source_stats stats;
    struct packet packet;
    pthread_t flooder;
    int fd = sender("a0");

    options.ports = ports;
    options.port_count = 2;
    options.fanout_group = 9;
    atomic_store(&flooding, true);
    CHECK(pthread_create(&flooder, NULL, flood, &fd) == 0);
    for (int i = 0; i < 5; i++) {
        struct source *source = capture_with(options);
        check_idle(source);
        source->ops->stats(source, &stats);
        CHECK(stats.received == 0);
        send_spec(fd, (struct datagram_spec){5, 40000, 902, 60, 0, false});
        CHECK(take(source, &packet) == SOURCE_PACKET && number_of(&packet) == 5);
        source->ops->stats(source, &stats);
        CHECK(stats.received == 1 && stats.dropped == 0);
        close_source(source);
    }
    atomic_store(&flooding, false);
    pthread_join(flooder, NULL);
    close(fd);
}

static void test_idle(void)
{
    struct source *source = capture_with(usual("a1"));
    struct pollfd ready = {.fd = source->ops->descriptor(source), .events = POLLIN};
    struct packet packet;
    int fd = sender("a0");

    for (int timeout_ms = 0; timeout_ms <= 30; timeout_ms += 30) {
        uint64_t before_ns = realtime_ns();
        CHECK(source->ops->next(source, &packet, timeout_ms) == SOURCE_IDLE);
        uint64_t after_ns = realtime_ns();
        CHECK(packet.time_ns <= after_ns - BLOCK_TIMEOUT_MS * 1000000);
        CHECK(packet.time_ns >= before_ns - 100ull * 1000000);
        CHECK(after_ns - before_ns >= (uint64_t)(timeout_ms ? timeout_ms - 1 : 0) * 1000000);
    }
    CHECK(poll(&ready, 1, 0) == 0);
    send_spec(fd, (struct datagram_spec){1, 40000, 443, 60, 0, false});
    CHECK(poll(&ready, 1, 5000) == 1 && ready.revents == POLLIN);
    CHECK(source->ops->next(source, &packet, 0) == SOURCE_PACKET && number_of(&packet) == 1);
    CHECK(source->ops->next(source, &packet, 0) == SOURCE_IDLE);
    CHECK(poll(&ready, 1, 0) == 0); /* the block has been given back */
    close(fd);
    close_source(source);
}

/* On loopback each packet passes twice, out and in; it is one packet. */
static void test_loopback(void)
{
    enum { SENT = 40 };
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(5000),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    struct source *source = capture_with(usual("lo"));
    struct source_stats stats;
    struct packet packet;
    int to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0);

    CHECK(bind(to, (struct sockaddr *)&address, sizeof address) == 0);
    for (uint32_t number = 0; number < SENT; number++)
        CHECK(sendto(from, &number, 4, 0, (struct sockaddr *)&address, sizeof address) == 4);
    for (uint32_t number = 0; number < SENT; number++)
        CHECK(take(source, &packet) == SOURCE_PACKET && number_of(&packet) == number &&
              packet.link == LINK_ETHERNET);
    check_idle(source);
    source->ops->stats(source, &stats);
    CHECK(stats.received == SENT && stats.dropped == 0);
    close(to);
    close(from);
    close_source(source);
}

/* Going down or away: what was received comes first, then one line. */
static void test_interface_gone(void)
{
    static const char *const ways[] = {"ip link set c1 down", "ip link del c1"};
    struct afpacket_options options = usual("c1");

    options.block_timeout_ms = 300; /* the interface is gone before its block is handed over */
    for (int way = 0; way < 2; way++) {
        CHECK(run("ip link add c0 type veth peer name c1"));
        CHECK(run("ip link set c0 up; ip link set c1 up"));
        struct source *source = capture_with(options);
        struct packet packet;
        int fd = sender("c0");
        for (uint32_t number = 0; number < 10; number++)
            send_spec(fd, (struct datagram_spec){number, 40000, 443, 60, 0, false});
        CHECK(run(ways[way]));
        for (uint32_t number = 0; number < 10; number++)
            CHECK(take(source, &packet) == SOURCE_PACKET && number_of(&packet) == number);
        CHECK(take(source, &packet) == SOURCE_ERROR);
        CHECK(strcmp(source->error, "c1: Network is down") == 0);
        CHECK(source->ops->next(source, &packet, 0) == SOURCE_ERROR);
        close(fd);
        close_source(source);
        if (way == 0)
            CHECK(run("ip link del c1"));
    }
}

/* A tunnel device has no link header. */
static void test_raw_ip(void)
{
    static const uint16_t ports[] = {443};
    struct ifreq request = {.ifr_name = "t0", .ifr_flags = IFF_TUN | IFF_NO_PI};
    struct afpacket_options options = usual("t0");
    struct packet packet;
    int fd = open("/dev/net/tun", O_RDWR);

    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
        printf("test_afpacket: no tunnel device: %m\n");
        return;
    }
    CHECK(run("ip link set t0 up"));
    options.ports = ports;
    options.port_count = 1;
    struct source *source = capture_with(options);
    for (uint16_t port = 442; port <= 444; port++) {
        struct datagram_spec spec = {port, 40000, port, 60, 0, false};
        uint8_t frame[256];
        size_t bytes = craft(frame, &spec, NULL, 0) - ETH_HLEN;
        CHECK(write(fd, frame + ETH_HLEN, bytes) == (ssize_t)bytes);
    }
    struct datagram_spec spec = {443, 40000, 443, 60, 0, false};
    uint8_t frame[256];
    size_t bytes = craft(frame, &spec, NULL, 0) - ETH_HLEN;
    CHECK(take(source, &packet) == SOURCE_PACKET && packet.link == LINK_RAW);
    CHECK(packet.captured_bytes == bytes && memcmp(packet.data, frame + ETH_HLEN, bytes) == 0);
    check_idle(source);
    close_source(source);
    close(fd);
}

enum { FLOWS = 64, EACH = 6 };

/* A datagram in three fragments, of the flow 1000 + flow -> 443. */
static void send_fragmented(int fd, uint16_t flow)
{
    static const uint16_t offsets[] = {0x2000, 0x2000 | 64 / 8, 128 / 8};
    struct datagram_spec spec = {5000u + flow, (uint16_t)(1000 + flow), 443, 184, 0, false};
    uint8_t whole[512], piece[512];

    craft(whole, &spec, NULL, 0);
    for (size_t i = 0; i < 3; i++) {
        memcpy(piece, whole, 14);
        spec.fragment = offsets[i];
        put_ipv4(piece + 14, &spec, 20 + 64);
        memcpy(piece + 34, whole + 34 + i * 64, 64);
        CHECK(send(fd, piece, 34 + 64, 0) == 34 + 64);
    }
}

/* Both directions of a flow go to one ring, its fragmented datagram with them, in one piece. */
static void test_fanout(void)
{
    struct afpacket_options options = usual("a1");
    struct packet packet;
    uint32_t seen[2][FLOWS] = {{0}}, whole[2][FLOWS] = {{0}};
    int fd = sender("a0");

    options.fanout_group = 5;
    struct source *sources[] = {capture_with(options), capture_with(options)};
    for (uint16_t flow = 0; flow < FLOWS; flow++) {
        for (uint16_t i = 0; i < EACH; i++) {
            uint16_t port = (uint16_t)(1000 + flow);
            send_spec(fd, (struct datagram_spec){flow, i % 2 ? 443 : port, i % 2 ? port : 443, 60,
                                                 0, i % 2});
        }
        send_fragmented(fd, flow);
    }
    for (int ring = 0; ring < 2; ring++)
        while (sources[ring]->ops->next(sources[ring], &packet, 10 * BLOCK_TIMEOUT_MS) ==
               SOURCE_PACKET) {
            uint32_t number = number_of(&packet);
            if (number < FLOWS)
                seen[ring][number]++;
            else if (number - 5000 < FLOWS && packet.captured_bytes == HEADERS_BYTES + 184)
                whole[ring][number - 5000]++;
            else
                CHECK(!"neither a packet of a flow nor a whole datagram");
        }
    uint32_t used[2] = {0, 0};
    for (int flow = 0; flow < FLOWS; flow++) {
        int ring = seen[0][flow] ? 0 : 1;
        used[ring]++;
        CHECK(seen[ring][flow] == EACH && seen[!ring][flow] == 0);
        CHECK(whole[ring][flow] == 1 && whole[!ring][flow] == 0);
    }
    CHECK(used[0] > 0 && used[1] > 0);
    close(fd);
    close_source(sources[0]);
    close_source(sources[1]);
}

/* Two interfaces as one, in order of time, although each hands its packets over block by block. */
static void test_merged(void)
{
    enum { SENT = 60 };
    struct afpacket_options options[2] = {usual("a1"), usual("b1")};
    struct source *sources[2];
    char error[SOURCE_ERROR_BYTES];
    struct packet packet;
    int fds[2] = {sender("a0"), sender("b0")};
    uint64_t last_ns = 0;

    for (int i = 0; i < 2; i++) {
        options[i].index = (uint16_t)i;
        sources[i] = capture_with(options[i]);
    }
    struct source *merged = merge_open(sources, 2, error);
    CHECK(merged);
    for (uint32_t number = 0; number < SENT; number++) {
        send_spec(fds[number % 3 == 0], (struct datagram_spec){number, 1, 2, 60, 0, false});
        usleep(500); /* over several blocks */
    }
    for (uint32_t number = 0; number < SENT; number++) {
        CHECK(take(merged, &packet) == SOURCE_PACKET);
        CHECK(number_of(&packet) == number && packet.ordinal == number);
        CHECK(packet.source == (number % 3 == 0) && packet.time_ns >= last_ns);
        last_ns = packet.time_ns;
    }
    check_idle(merged);
    close(fds[0]);
    close(fds[1]);
    close_source(merged);
}

static void fails(struct afpacket_options options, const char *says)
{
    char error[SOURCE_ERROR_BYTES] = "";

    CHECK(!afpacket_open(&options, error));
    if (strcmp(error, says) != 0)
        fprintf(stderr, "%s\n", error);
    CHECK(strcmp(error, says) == 0);
}

static void test_open_failures(void)
{
    static uint16_t many[1500];
    struct afpacket_options options = usual("nowhere");

    fails(options, "nowhere: No such device");
    fails(usual("a_name_too_long_for_any"), "a_name_too_long_for_any: no such interface");
    CHECK(run("ip link add d0 type veth peer name d1"));
    fails(usual("d0"), "d0: Network is down");
    options = usual("a1");
    options.block_bytes = 64 << 10;
    fails(options, "a1: a ring needs two blocks of at least 131072 bytes, not 8388608 of 65536");
    options.block_bytes = options.ring_bytes;
    fails(options, "a1: a ring needs two blocks of at least 131072 bytes, not 8388608 of 8388608");
    options = usual("a1");
    for (uint16_t i = 0; i < 1500; i++)
        many[i] = (uint16_t)(i * 2);
    options.ports = many;
    options.port_count = 1500;
    fails(options, "a1: no filter for 1500 ports: Argument list too long");
}

int main(void)
{
    const char *reason = make_network();

    if (reason)
        return skip(reason);
    test_order();
    test_vlan();
    test_drops();
    test_filter();
    test_idle();
    test_loopback();
    test_interface_gone();
    test_raw_ip();
    test_fanout();
    test_merged();
    test_open_failures();
    return checks_report("afpacket");
}
