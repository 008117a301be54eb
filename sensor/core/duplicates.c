/* Datagrams seen a moment ago, by a hash of the header fields that no device on the way changes.
 *
 * A copy and a retransmission differ in the IP id. Where there is none (IPv6, and IPv4 senders that follow
 * RFC 6864 and send 0) only time tells them apart, so the window is then at most 1 ms: copies of
 * two span ports come within microseconds, a retransmission after a round trip at least. A
 * mistake costs little: equal sequence number, length and checksum mean equal bytes, which
 * reassembly would have ignored as well. */
#include "decap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hash64.h"

enum {
    WAYS = 4,           /* one cache line */
    BUCKETS = 1 << 14,  /* 65,536 datagrams in 1 MiB: 65 ms of a million packets a second */
};

static const uint64_t MS = 1000000;
static const uint64_t NO_ID_WINDOW_MS = 1;

struct entry {
    uint64_t hash; /* 0: never used */
    uint64_t time_ns;
};

struct duplicates {
    struct entry *table; /* BUCKETS times WAYS; owned, freed in duplicates_close */
    uint64_t window_ns, no_id_window_ns;
    uint64_t seed; /* secret, so that nobody can make two datagrams look like one */
};

struct duplicates *duplicates_open(const struct limits *limits)
{
    struct duplicates *duplicates = calloc(1, sizeof *duplicates);
    if (!duplicates)
        return NULL;
    uint64_t window_ms = limits->duplicate_window_ms;
    duplicates->window_ns = window_ms * MS;
    duplicates->no_id_window_ns = (window_ms < NO_ID_WINDOW_MS ? window_ms : NO_ID_WINDOW_MS) * MS;
    if (getrandom(&duplicates->seed, sizeof duplicates->seed, GRND_NONBLOCK) < 0)
        duplicates->seed = (uint64_t)(uintptr_t)duplicates;
    size_t bytes = (size_t)BUCKETS * WAYS * sizeof(struct entry);
    duplicates->table = aligned_alloc(WAYS * sizeof(struct entry), bytes);
    if (!duplicates->table) {
        duplicates_close(duplicates);
        return NULL;
    }
    memset(duplicates->table, 0, bytes);
    return duplicates;
}

void duplicates_close(struct duplicates *duplicates)
{
    if (!duplicates)
        return;
    free(duplicates->table);
    free(duplicates);
}

/* A protocol without a checksum that we know is told apart by the ends of its payload. */
static uint64_t payload_ends(const struct datagram *datagram)
{
    if (datagram->checksum != 0 || datagram->payload_bytes < 8)
        return 0;
    const uint8_t *end = datagram->payload + datagram->payload_bytes;
    return hash64_mix(hash64_word(datagram->payload, 8) | 1, hash64_word(end - 8, 8) | 1);
}

static uint64_t hash_of(const struct datagram *datagram, uint64_t seed)
{
    const uint64_t k0 = 0xa0761d6478bd642fu, k1 = 0xe7037ed1a0b428dbu;
    const uint64_t k2 = 0x8ebc6af09c88c6e3u, k3 = 0x589965cc75374cc3u;
    uint64_t source = hash64_mix(hash64_word(datagram->source, 8) ^ k0 ^ seed,
                                 hash64_word(datagram->source + 8, 8) ^ k1);
    uint64_t destination = hash64_mix(hash64_word(datagram->destination, 8) ^ k2 ^ seed,
                                      hash64_word(datagram->destination + 8, 8) ^ k3);
    uint64_t numbers = (uint64_t)datagram->tcp_sequence << 32 | datagram->tcp_acknowledgement;
    uint64_t ports = (uint64_t)datagram->source_port << 48 |
                     (uint64_t)datagram->destination_port << 32 |
                     (uint64_t)datagram->ip_id << 16 | datagram->checksum;
    uint64_t rest = (uint64_t)datagram->payload_wire_bytes << 32 |
                    (uint64_t)datagram->protocol << 16 | (uint64_t)datagram->tcp_flags << 8 |
                    datagram->ip_version;
    uint64_t hash = hash64_mix(numbers ^ k1 ^ source, ports ^ k2 ^ destination);
    hash = hash64_mix(hash ^ k3, rest ^ payload_ends(datagram) ^ seed);
    return hash ? hash : 1;
}

bool duplicate_seen(struct duplicates *duplicates, const struct datagram *datagram,
                    uint64_t time_ns)
{
    if (duplicates->window_ns == 0)
        return false;
    uint64_t window_ns =
        datagram->ip_id == 0 ? duplicates->no_id_window_ns : duplicates->window_ns;
    uint64_t hash = hash_of(datagram, duplicates->seed);
    struct entry *way = duplicates->table + (hash >> 32) % BUCKETS * WAYS;
    struct entry *oldest = way;
    for (unsigned i = 0; i < WAYS; i++) {
        if (way[i].hash == hash) {
            uint64_t apart = time_ns > way[i].time_ns ? time_ns - way[i].time_ns
                                                      : way[i].time_ns - time_ns;
            if (apart <= window_ns)
                return true;
            oldest = &way[i];
            break;
        }
        if (way[i].time_ns < oldest->time_ns)
            oldest = &way[i];
    }
    *oldest = (struct entry){hash, time_ns};
    return false;
}
