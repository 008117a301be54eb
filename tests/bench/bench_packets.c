/* links: decap.c tunnel.c ipfrag.c duplicates.c flow.c flow_key.c stream.c hole.c sequence.c held.c */

/* What a packet costs from its frame to the bytes of its stream: decap, duplicates, flow,
 * reassembly.
 *
 *   bench_packets              made-up traffic: 1000 connections, in bursts of some packets
 *
 *   bench_packets FILE.pcap    a classic capture file of Ethernet frames, read into memory first
 *
 * Prints ns per packet of five passes, each with fresh tables, and what a pass delivered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "decap.h"
#include "flow.h"

enum {
    PASSES = 5,
    CONNECTIONS = 1000,
    ROUNDS = 12,
    RESPONSE_SEGMENTS = 4,
    PER_ROUND = 1 + RESPONSE_SEGMENTS + RESPONSE_SEGMENTS / 2,
    FRAME_HEADERS = 14 + 20 + 32,
    SEGMENT_BYTES = 1448,
    REQUEST_BYTES = 700,
};

static const struct limits limits = {.flows_max = 65536,
                                     .flow_idle_timeout_ms = 300000,
                                     .flow_closed_timeout_ms = 5000,
                                     .memory_bytes_max = 256 << 20,
                                     .stream_buffer_bytes_max = 1 << 20,
                                     .stream_gap_timeout_ms = 2000,
                                     .fragment_timeout_ms = 30000,
                                     .fragment_datagrams_max = 4096,
                                     .duplicate_window_ms = 20};

struct input {
    struct packet *packets; /* owned, as memory; the program ends before it frees them */
    size_t count;
    uint8_t *memory;
};

struct totals {
    uint64_t bytes, gaps, closes;
};

static void on_data(void *context, struct flow *flow, enum direction direction,
                    const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    (void)flow, (void)direction, (void)data, (void)time_ns;
    ((struct totals *)context)->bytes += bytes;
}

static void on_gap(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                   uint64_t time_ns)
{
    (void)flow, (void)direction, (void)bytes, (void)time_ns;
    ((struct totals *)context)->gaps++;
}

static void on_close(void *context, struct flow *flow, enum direction direction, uint64_t time_ns)
{
    (void)flow, (void)direction, (void)time_ns;
    ((struct totals *)context)->closes++;
}

static void on_end(void *context, struct flow *flow, uint64_t time_ns)
{
    (void)context, (void)flow, (void)time_ns;
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

struct connection {
    uint32_t sequence[2];
    uint16_t ip_id[2];
};

static void add_packet(struct input *input, size_t *used, uint32_t number,
                       struct connection *connection, enum direction direction, uint8_t flags,
                       uint32_t payload)
{
    uint8_t *frame = input->memory + *used, *ip = frame + 14, *tcp = ip + 20;
    uint32_t client = 0x0a000000u + number / 50, server = 0x0a010000u + number % 7;
    uint32_t client_port = 30000 + number;
    memset(frame, 0, FRAME_HEADERS);
    put16(frame + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, 20 + 32 + payload);
    put16(ip + 4, ++connection->ip_id[direction]);
    ip[9] = PROTO_TCP;
    put32(ip + 12, direction == TO_SERVER ? client : server);
    put32(ip + 16, direction == TO_SERVER ? server : client);
    put16(tcp, direction == TO_SERVER ? client_port : 443);
    put16(tcp + 2, direction == TO_SERVER ? 443 : client_port);
    put32(tcp + 4, connection->sequence[direction]);
    put32(tcp + 8, connection->sequence[!direction]);
    tcp[12] = 0x80;
    tcp[13] = flags;
    put16(tcp + 16, number ^ connection->sequence[direction]);
    connection->sequence[direction] += payload + (flags & TCP_SYN ? 1 : 0);
    uint32_t bytes = FRAME_HEADERS + payload;
    input->packets[input->count] = (struct packet){.data = frame,
                                                   .captured_bytes = bytes,
                                                   .wire_bytes = bytes,
                                                   .time_ns = 1000000000u + input->count * 1000u,
                                                   .ordinal = input->count,
                                                   .link = LINK_ETHERNET};
    input->count++;
    *used += bytes;
}

static bool make_traffic(struct input *input)
{
    static struct connection connections[CONNECTIONS];
    size_t room = (size_t)CONNECTIONS * (3 + ROUNDS * PER_ROUND), used = 0;
    input->packets = calloc(room, sizeof *input->packets);
    input->memory = malloc(room * (FRAME_HEADERS + SEGMENT_BYTES));
    if (!input->packets || !input->memory)
        return false;
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        connections[i] = (struct connection){{i * 7919, i * 104729}, {0, 0}};
        add_packet(input, &used, i, &connections[i], TO_SERVER, TCP_SYN, 0);
        add_packet(input, &used, i, &connections[i], TO_CLIENT, TCP_SYN | TCP_ACK, 0);
        add_packet(input, &used, i, &connections[i], TO_SERVER, TCP_ACK, 0);
    }
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t step = 0; step < CONNECTIONS; step++) {
            uint32_t i = step * 389 % CONNECTIONS;
            struct connection *connection = &connections[i];
            add_packet(input, &used, i, connection, TO_SERVER, TCP_ACK | TCP_PSH, REQUEST_BYTES);
            for (int part = 0; part < RESPONSE_SEGMENTS; part++) {
                add_packet(input, &used, i, connection, TO_CLIENT, TCP_ACK, SEGMENT_BYTES);
                if (part % 2)
                    add_packet(input, &used, i, connection, TO_SERVER, TCP_ACK, 0);
            }
        }
    return true;
}

static uint32_t little32(const uint8_t *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static bool read_file(struct input *input, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        return false;
    size_t bytes = (size_t)ftell(file);
    rewind(file);
    input->memory = malloc(bytes);
    if (!input->memory || fread(input->memory, 1, bytes, file) != bytes || bytes < 24)
        return false;
    fclose(file);
    uint32_t magic = little32(input->memory);
    uint64_t unit_ns = magic == 0xa1b23c4du ? 1 : 1000;
    if (magic != 0xa1b2c3d4u && magic != 0xa1b23c4du)
        return false;
    input->packets = calloc(bytes / 16, sizeof *input->packets);
    if (!input->packets)
        return false;
    for (size_t at = 24; bytes - at >= 16;) {
        const uint8_t *record = input->memory + at;
        uint32_t captured = little32(record + 8);
        if (captured > bytes - at - 16)
            break;
        input->packets[input->count++] =
            (struct packet){.data = record + 16,
                            .captured_bytes = captured,
                            .wire_bytes = little32(record + 12),
                            .time_ns = little32(record) * 1000000000ull +
                                       little32(record + 4) * unit_ns,
                            .link = (uint16_t)little32(input->memory + 20)};
        at += 16 + captured;
    }
    return input->count > 0;
}

/* CPU time: other work on the machine counts only by the caches it takes. */
static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What fetching the headers from memory costs, before anything is done with them. */
static double touch(const struct input *input, uint64_t *sum)
{
    uint64_t start_ns = now_ns();
    for (size_t i = 0; i < input->count; i++)
        for (uint32_t at = 0; at < FRAME_HEADERS && at < input->packets[i].captured_bytes; at += 8)
            *sum += input->packets[i].data[at];
    return (double)(now_ns() - start_ns) / (double)input->count;
}

/* `depth` says how far each packet goes: 1 decap, 2 duplicates, 3 flow, 4 reassembly. */
static double pass(const struct input *input, int depth, struct totals *totals,
                   struct counters *counters)
{
    struct budget budget = {.limit_bytes = limits.memory_bytes_max};
    struct stream_sink sink = {totals, on_data, on_gap, on_close};
    struct decap *decap_state = decap_open(&limits, &budget, counters);
    struct duplicates *duplicates = duplicates_open(&limits);
    struct flow_table *table =
        flow_table_open(&limits, &budget, counters, &sink, on_end, NULL);
    uint64_t start_ns = now_ns();
    for (size_t i = 0; i < input->count; i++) {
        const struct packet *packet = &input->packets[i];
        struct datagram datagram;
        enum direction direction;
        if (decap(decap_state, packet, &datagram) != DECAP_DATAGRAM || depth < 2)
            continue;
        if (duplicate_seen(duplicates, &datagram, packet->time_ns)) {
            count(counters, COUNT_duplicates, 1);
            continue;
        }
        if (depth < 3)
            continue;
        flow_table_advance(table, packet->time_ns);
        struct flow *flow = flow_of(table, &datagram, packet, &direction);
        if (flow && depth > 3 && datagram.protocol == PROTO_TCP)
            flow_table_segment(table, flow, direction, &datagram, packet->time_ns);
    }
    uint64_t took_ns = now_ns() - start_ns;
    flow_table_close(table);
    duplicates_close(duplicates);
    decap_close(decap_state);
    return (double)took_ns / (double)input->count;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"", "decap", "+ duplicates", "+ flow", "+ reassembly"};
    struct input input = {0};
    struct totals totals = {0};
    struct counters counters = {0};
    if (!(argc > 1 ? read_file(&input, argv[1]) : make_traffic(&input))) {
        fprintf(stderr, "bench_packets: no packets\n");
        return 1;
    }
    uint64_t sum = 0;
    printf("%-13s ns per packet:", "headers read");
    for (int i = 0; i < PASSES; i++)
        printf(" %.1f", touch(&input, &sum));
    printf("%s\n", sum ? "" : " (empty)");
    for (int depth = 1; depth <= 4; depth++) {
        printf("%-13s ns per packet:", names[depth]);
        for (int i = 0; i < PASSES; i++) {
            totals = (struct totals){0};
            counters = (struct counters){0};
            printf(" %.1f", pass(&input, depth, &totals, &counters));
        }
        printf("\n");
    }
    const uint64_t *value = counters.value;
    printf("%zu packets, %llu flows, %llu bytes delivered, %llu gaps, %llu duplicates, "
           "%llu retransmitted bytes, %llu out of order\n",
           input.count, (unsigned long long)value[COUNT_flows], (unsigned long long)totals.bytes,
           (unsigned long long)totals.gaps, (unsigned long long)value[COUNT_duplicates],
           (unsigned long long)value[COUNT_tcp_retransmitted_bytes],
           (unsigned long long)value[COUNT_tcp_out_of_order]);
    return 0;
}
