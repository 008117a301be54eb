/* links: afpacket.c cutter.c cutter_program.c kernelfilter.c merge.c errorline.c */
/* One ring: what comes in comes out, once and in order, and what is dropped is counted. */
#include "afpacket_network.h"

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
    return checks_report("afpacket");
}
