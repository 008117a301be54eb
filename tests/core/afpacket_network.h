/* A network namespace of our own with pairs of virtual Ethernet: frames sent on a0 arrive on a1. */
#ifndef HOPTAP_AFPACKET_NETWORK_H
#define HOPTAP_AFPACKET_NETWORK_H

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

enum {
    SKIPPED = 77,
    BLOCK_BYTES = 128 << 10,
    BLOCK_TIMEOUT_MS = 10,
    SECOND_NS = 1000000000,
    HEADERS_BYTES = 14 + 20 + 8,
};

static inline int skip(const char *reason)
{
    printf("skipped: %s\n", reason);
    return SKIPPED;
}

static inline bool run(const char *command)
{
    return system(command) == 0;
}

static inline void write_setting(const char *path, const char *value)
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

static inline uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static inline int sender(const char *interface)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_ifindex = (int)if_nametoindex(interface),
    };
    int fd = socket(AF_PACKET, SOCK_RAW, 0);

    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static inline struct source *capture_with(struct afpacket_options options)
{
    char error[SOURCE_ERROR_BYTES] = "";
    struct source *source = afpacket_open(&options, error);

    if (!source) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return source;
}

static inline struct afpacket_options usual(const char *interface)
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

static inline size_t put_16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return 2;
}

static inline uint8_t byte_of(uint32_t number, size_t at)
{
    return (uint8_t)(number * 13 + at);
}

static inline void put_payload(uint8_t *at, const struct datagram_spec *spec)
{
    for (size_t i = 0; i < spec->payload_bytes; i++)
        at[i] = byte_of(spec->number, i);
    memcpy(at, &spec->number, 4);
}

static inline void put_ipv4(uint8_t *ip, const struct datagram_spec *spec, size_t bytes)
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
static inline size_t craft(uint8_t *frame, const struct datagram_spec *spec, const uint8_t *tags,
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

static inline void send_spec(int fd, struct datagram_spec spec)
{
    uint8_t frame[2048];
    size_t bytes = craft(frame, &spec, NULL, 0);

    if (send(fd, frame, bytes, 0) != (ssize_t)bytes)
        perror("send");
}

static inline uint32_t number_of(const struct packet *packet)
{
    uint32_t number = UINT32_MAX;

    if (packet->captured_bytes >= HEADERS_BYTES + 4)
        memcpy(&number, packet->data + HEADERS_BYTES, 4);
    return number;
}

static inline uint16_t payload_of(uint32_t number)
{
    return (uint16_t)(18 + number * 31 % 1400);
}

/* The next packet; SOURCE_IDLE when none came for a second, which is a hundred block timeouts. */
static inline enum source_verdict take(struct source *source, struct packet *packet)
{
    return source->ops->next(source, packet, 1000);
}

static inline void check_idle(struct source *source)
{
    struct packet packet;

    CHECK(source->ops->next(source, &packet, 5 * BLOCK_TIMEOUT_MS) == SOURCE_IDLE);
}

static inline void close_source(struct source *source)
{
    source->ops->close(source);
}

static inline bool is_numbered(const struct packet *packet, uint32_t number)
{
    struct datagram_spec spec = {number, 40000, 443, payload_of(number), 0, false};
    uint8_t frame[2048];
    size_t bytes = craft(frame, &spec, NULL, 0);

    return packet->captured_bytes == bytes && packet->wire_bytes == bytes &&
           memcmp(packet->data, frame, bytes) == 0 && packet->link == LINK_ETHERNET &&
           packet->source == 7 && !packet->has_vlan;
}

#endif
