/* links: afpacket.c cutter.c cutter_program.c kernelfilter.c errorline.c */

/* Reads an interface as the sensor does, headers alone, until its standard input ends.
 *
 *   listen INTERFACE classic|ebpf|cut RING_BYTES [STALL_MS [PORT...]]
 *
 * `cut`: the connections of burst.c are marked. STALL_MS: reads nothing for so long at first. Says
 * `ready`, then: packets, bytes in the ring, packets that the ring had no room for, nanoseconds of
 * CPU per packet. */
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cutter.h"
#include "source.h"

enum { FLOWS = 16, PORTS_MAX = 1024, CLIENT_PORT = 30000, HEADER_BYTES = 54, LOOK_EVERY = 4096 };

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void mark_all(struct cutter *cutter, uint16_t port)
{
    for (int i = 0; i < FLOWS; i++) {
        struct datagram datagram = {
            .source = "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\1\0\1",
            .destination = "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\2\0\2",
            .source_port = (uint16_t)(CLIENT_PORT + i),
            .destination_port = port,
            .ip_version = 4,
        };
        cutter_mark(cutter, &datagram);
    }
}

static bool told_to_end(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

static void read_all(struct source *source)
{
    uint64_t packets = 0, bytes = 0, start_ns = cpu_ns();
    volatile uint8_t seen = 0;
    for (bool more = true; more;) {
        struct packet packet;
        enum source_verdict verdict = source->ops->next(source, &packet, 50);
        if (verdict == SOURCE_PACKET) {
            packets++;
            bytes += packet.captured_bytes;
            for (uint32_t at = 0; at < HEADER_BYTES && at < packet.captured_bytes; at += 8)
                seen = (uint8_t)(seen + packet.data[at]);
        }
        if (verdict == SOURCE_IDLE || (verdict == SOURCE_PACKET && packets % LOOK_EVERY == 0))
            more = verdict == SOURCE_PACKET || !told_to_end();
        else if (verdict != SOURCE_PACKET)
            more = false;
    }
    struct source_stats stats;
    source->ops->stats(source, &stats);
    printf("%llu %llu %llu %.1f\n", (unsigned long long)packets, (unsigned long long)bytes,
           (unsigned long long)stats.dropped,
           packets ? (double)(cpu_ns() - start_ns) / (double)packets : 0.0);
}

int main(int count, char **arguments)
{
    static uint16_t ports[PORTS_MAX];
    char error[SOURCE_ERROR_BYTES] = "";
    if (count < 4)
        return 2;
    struct afpacket_options options = {
        .interface = arguments[1],
        .ring_bytes = (uint32_t)strtoul(arguments[3], NULL, 10),
        .block_bytes = 256 << 10,
        .block_timeout_ms = 20,
        .promiscuous = 1,
        .ports = ports,
    };
    long stall_ms = count > 4 ? strtol(arguments[4], NULL, 10) : 0;
    for (int i = 5; i < count && options.port_count < PORTS_MAX; i++)
        ports[options.port_count++] = (uint16_t)strtoul(arguments[i], NULL, 10);
    cpu_set_t last;
    CPU_ZERO(&last);
    CPU_SET((int)sysconf(_SC_NPROCESSORS_ONLN) - 1, &last);
    sched_setaffinity(0, sizeof last, &last);
    if (strcmp(arguments[2], "classic") != 0)
        options.cutter = cutter_open(1, error);
    struct source *source = *error ? NULL : afpacket_open(&options, error);
    if (!source) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    if (!strcmp(arguments[2], "cut"))
        mark_all(options.cutter, ports[0] ? ports[0] : 902);
    printf("ready\n");
    fflush(stdout);
    nanosleep(&(struct timespec){stall_ms / 1000, stall_ms % 1000 * 1000000}, NULL);
    read_all(source);
    source->ops->close(source);
    cutter_close(options.cutter);
    return 0;
}
