/* Sends TCP segments on an interface in bursts at a rate, and says what that cost.
 *
 *   burst INTERFACE PACKETS RATE PAYLOAD_BYTES PORT
 *
 * Of FLOWS connections in turn, all at sequence number 0; payloads beyond the interface's MTU go as
 * one super-packet, as GRO makes them. On a veth pair the other end receives within send(), so the
 * CPU time of this thread is that of sending, of the softirq and of every listener's filter and
 * copy. Prints nanoseconds of it per packet, and the rate that was reached. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "sending.h"

enum { FLOWS = 16, BATCH = 32, BURST = 512, HEADERS = 14 + 20 + 20, SEGMENT_BYTES = 1448 };

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void craft(uint8_t *at, uint32_t payload_bytes, uint16_t client_port, uint16_t port)
{
    memset(at, 2, 12);
    put16(at + 12, 0x0800);
    uint8_t *ip = at + 14, *tcp = ip + 20;
    ip[0] = 0x45;
    put16(ip + 2, 40 + payload_bytes);
    ip[8] = 64;
    ip[9] = 6;
    memcpy(ip + 12, "\x0a\1\0\1\x0a\2\0\2", 8);
    put16(tcp, client_port);
    put16(tcp + 2, port);
    tcp[12] = 0x50;
    tcp[13] = 0x10;
    memset(tcp + 20, 'x', payload_bytes);
}

static void await(uint64_t due_ns)
{
    struct timespec due = {(time_t)(due_ns / 1000000000), (long)(due_ns % 1000000000)};
    while (now_ns(CLOCK_MONOTONIC) < due_ns)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

int main(int count, char **arguments)
{
    if (count != 6) {
        fprintf(stderr, "usage: burst INTERFACE PACKETS RATE PAYLOAD_BYTES PORT\n");
        return 2;
    }
    uint64_t packets = strtoull(arguments[2], NULL, 10), rate = strtoull(arguments[3], NULL, 10);
    uint32_t payload_bytes = (uint32_t)strtoul(arguments[4], NULL, 10);
    uint16_t port = (uint16_t)strtoul(arguments[5], NULL, 10);
    bool super = payload_bytes > SEGMENT_BYTES;
    struct virtio_net_hdr offload = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                     .hdr_len = HEADERS,
                                     .gso_size = SEGMENT_BYTES,
                                     .csum_start = HEADERS - 20,
                                     .csum_offset = 16};
    uint8_t *frames = malloc((size_t)FLOWS * (HEADERS + payload_bytes));
    struct iovec parts[BATCH][2];
    struct mmsghdr messages[BATCH] = {0};
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    if (!frames || sched_setaffinity(0, sizeof first, &first) != 0)
        fail("burst");
    for (uint32_t i = 0; i < BATCH; i++) {
        uint8_t *frame = frames + (size_t)(i % FLOWS) * (HEADERS + payload_bytes);
        craft(frame, payload_bytes, (uint16_t)(30000 + i % FLOWS), port);
        parts[i][0] = (struct iovec){&offload, super ? sizeof offload : 0};
        parts[i][1] = (struct iovec){frame, HEADERS + payload_bytes};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = parts[i], .msg_iovlen = 2};
    }
    int wire = open_interface(arguments[1], htons(ETH_P_IP)), yes = 1;
    if (super && setsockopt(wire, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof yes) != 0)
        fail(arguments[1]);
    uint64_t burst = super ? BATCH : BURST, sent = 0, start_ns = now_ns(CLOCK_MONOTONIC);
    uint64_t cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
    while (sent < packets) {
        await(start_ns + sent * 1000000000u / rate);
        for (uint64_t each = 0; each < burst; each += BATCH, sent += BATCH)
            send_all(wire, messages, BATCH);
    }
    cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
    double seconds = (double)(now_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
    printf("%.1f %.0f\n", (double)cpu_ns / (double)sent, (double)sent / seconds);
    return 0;
}
