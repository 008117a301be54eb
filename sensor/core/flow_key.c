#include "flow_key.h"

#include "hash64.h"
#include "sequence.h"

enum {
    /* How far the numbers of a packet may be from those of a flow seen on another VLAN: a large
     * window. Two numbers that fit by chance: once in 260,000. */
    NEAR_BYTES = 1 << 22,
};

static const uint64_t k0 = 0xa0761d6478bd642fu, k1 = 0xe7037ed1a0b428dbu;
static const uint64_t k2 = 0x8ebc6af09c88c6e3u, k3 = 0x589965cc75374cc3u;

static uint64_t endpoint(const uint8_t *address, uint16_t port, uint64_t seed)
{
    return hash64_mix(hash64_word(address, 8) ^ k0 ^ seed, hash64_word(address + 8, 8) ^ k1) +
           port * k2;
}

uint64_t flow_hash_seeded(const struct datagram *datagram, uint64_t seed)
{
    uint64_t one = endpoint(datagram->source, datagram->source_port, seed);
    uint64_t other = endpoint(datagram->destination, datagram->destination_port, seed);
    /* symmetric in the two, and not 0 where they are equal */
    return hash64_mix((one + other) ^ k3 ^ seed, (one ^ other) ^ k1 ^ datagram->protocol);
}

uint64_t flow_hash(const struct datagram *datagram)
{
    return flow_hash_seeded(datagram, 0);
}

static bool is_near(uint32_t number, uint32_t expected)
{
    int32_t ahead = sequence_ahead(number, expected);
    return ahead > -NEAR_BYTES && ahead < NEAR_BYTES;
}

bool flow_fits(const struct flow *flow, const struct datagram *datagram, enum direction direction)
{
    if (datagram->protocol != PROTO_TCP)
        return flow->packets[direction] == 0;
    const struct stream *stream = &flow->tcp.stream[direction];
    const struct stream *other = &flow->tcp.stream[!direction];
    bool syn = datagram->tcp_flags & TCP_SYN, acknowledges = datagram->tcp_flags & TCP_ACK;
    uint32_t first = datagram->tcp_sequence + syn;
    if (syn && !acknowledges)
        return (stream->syn_seen && stream->initial_sequence == datagram->tcp_sequence) ||
               (stream->anchored && stream->next_sequence == first);
    if (stream->started && !is_near(first, stream->next_sequence))
        return false;
    if (other->started && acknowledges)
        return is_near(datagram->tcp_acknowledgement, other->next_sequence);
    return stream->started;
}

bool flow_begins_anew(const struct flow *flow, const struct datagram *datagram,
                      enum direction direction)
{
    const struct stream *stream = &flow->tcp.stream[direction];
    const struct stream *other = &flow->tcp.stream[!direction];
    bool answer = datagram->tcp_flags & TCP_ACK;
    uint32_t first = datagram->tcp_sequence + 1;
    if (stream->syn_seen) {
        if (stream->initial_sequence != datagram->tcp_sequence)
            return !answer || stream->delivered; /* SYN cookies: two answers to one SYN */
        return flow->is_closed && !answer && !other->syn_seen; /* refused, and tried again */
    }
    if (flow->is_closed)
        return true;
    if (!stream->started && !stream->acknowledged_seen)
        return false;
    int32_t gone = sequence_ahead(
        stream->started ? stream->next_sequence : stream->acknowledged, first);
    return gone < 0 || gone >= SEQUENCE_BELIEF;
}

uint64_t flow_uid_of(const struct flow *flow, const struct datagram *datagram, uint64_t first_ns)
{
    uint8_t key[2 * ADDRESS_BYTES + 6] = {0};
    uint64_t first = first_ns;
    memcpy(key, flow->address, 2 * ADDRESS_BYTES);
    memcpy(key + 2 * ADDRESS_BYTES, flow->port, sizeof flow->port);
    key[2 * ADDRESS_BYTES + 4] = flow->protocol;
    if (datagram->protocol == PROTO_TCP && datagram->tcp_flags & TCP_SYN) {
        key[2 * ADDRESS_BYTES + 5] = 1;
        first = datagram->tcp_flags & TCP_ACK ? datagram->tcp_acknowledgement - 1
                                              : datagram->tcp_sequence;
    }
    return hash64(first, key, sizeof key);
}

void flow_uid(const struct flow *flow, char uid[FLOW_UID_CHARS + 1])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    /* 62^17 is a little more than 2^101: 37 more bits, drawn from the same 64, fill the digits */
    unsigned __int128 rest = hash64_mix(flow->uid ^ k0, k1) >> 27;
    rest = rest << 64 | flow->uid;
    uid[0] = 'C';
    for (int at = FLOW_UID_CHARS - 1; at > 0; at--) {
        uid[at] = digits[(unsigned)(rest % 62)];
        rest /= 62;
    }
    uid[FLOW_UID_CHARS] = 0;
}
