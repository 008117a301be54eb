/* links: afpacket.c cutter.c cutter_program.c kernelfilter.c merge.c errorline.c */
/* Interfaces of every kind, several at once, and those that go away or never were. */
#include "afpacket_network.h"

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
        printf("no tunnel device: %m\n");
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
                CHECK(false); /* neither a packet of a flow nor a whole datagram */
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
    test_interface_gone();
    test_raw_ip();
    test_fanout();
    test_merged();
    test_open_failures();
    return checks_report("afpacket_interfaces");
}
