/* Datagrams seen a moment ago, by a hash of the header fields that no device on the way changes.
 *
 * A copy and a retransmission differ in the IP id. Where there is none (IPv6, and IPv4 senders
 * that follow RFC 6864 and send 0) only time tells them apart, so the window is then at most 1
 * ms: copies of two span ports come within microseconds, a retransmission after a round trip at
 * least. A mistake costs little: equal sequence number, length and checksum mean equal bytes,
 * which reassembly would have ignored as well. */
#include "decap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hash64.h"

enum {
    WAYS = 8, /* one cache line */
    /* 32,768 datagrams: 20 ms of 1.6 million packets a second. 256 KiB stay in the second-level
     * cache. */
    BUCKETS = 1 << 12,
    TIME_BITS = 24, /* of units of 16 us: they wrap after four minutes, longer than any window */
    TIME_UNIT_SHIFT = 14,
};

static const uint64_t MS = 1000000;
static const uint64_t NO_ID_WINDOW_MS = 1;

struct duplicates {
    /* BUCKETS times WAYS: 40 bits of hash above 24 of time, the newest first; owned, freed in
     * duplicates_close */
    uint64_t *table;
    uint64_t window, no_id_window; /* in units of time */
    uint64_t seed; /* secret, so that nobody can make two datagrams look like one */
};

struct duplicates *duplicates_open(const struct limits *limits)
{
    struct duplicates *duplicates = calloc(1, sizeof *duplicates);
    if (!duplicates)
        return NULL;
    uint64_t window_ms = limits->duplicate_window_ms;
    uint64_t no_id_window_ms = window_ms < NO_ID_WINDOW_MS ? window_ms : NO_ID_WINDOW_MS;
    /* one more, because both times lost a part of a unit */
    duplicates->window = window_ms ? (window_ms * MS >> TIME_UNIT_SHIFT) + 1 : 0;
    duplicates->no_id_window = (no_id_window_ms * MS >> TIME_UNIT_SHIFT) + 1;
    if (getrandom(&duplicates->seed, sizeof duplicates->seed, GRND_NONBLOCK) < 0)
        duplicates->seed = (uint64_t)(uintptr_t)duplicates;
    size_t bytes = (size_t)BUCKETS * WAYS * sizeof *duplicates->table;
    duplicates->table = aligned_alloc(WAYS * sizeof *duplicates->table, bytes);
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
    return hash64_mix(hash ^ k3, rest ^ payload_ends(datagram) ^ seed);
}

/* How far apart two times are, on the circle of TIME_BITS. */
static uint64_t apart(uint64_t one, uint64_t other)
{
    const uint64_t mask = (1u << TIME_BITS) - 1;
    uint64_t there = (one - other) & mask, back = (other - one) & mask;
    return there < back ? there : back;
}

bool duplicate_seen(struct duplicates *duplicates, const struct datagram *datagram,
                    uint64_t time_ns)
{
    if (duplicates->window == 0)
        return false;
    uint64_t window = datagram->ip_id == 0 ? duplicates->no_id_window : duplicates->window;
    uint64_t hash = hash_of(datagram, duplicates->seed);
    uint64_t *bucket = duplicates->table + hash % BUCKETS * WAYS;
    uint64_t now = time_ns >> TIME_UNIT_SHIFT & ((1u << TIME_BITS) - 1);
    uint64_t tag = hash >> TIME_BITS | 1; /* never that of an entry not used yet */
    for (unsigned i = 0; i < WAYS; i++)
        if (bucket[i] >> TIME_BITS == tag && apart(now, bucket[i]) <= window)
            return true;
    memmove(bucket + 1, bucket, (WAYS - 1) * sizeof *bucket); /* the oldest falls out */
    bucket[0] = tag << TIME_BITS | now;
    return false;
}
