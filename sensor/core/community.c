/* Community ID v1: SHA-1 of the ordered tuple, in base64. SHA-1 is written out here because the
 * input is one block, and nothing rests on its strength. */
#include <string.h>

#include "flow.h"

enum { BLOCK_BYTES = 64, DIGEST_BYTES = 20 };

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* FIPS 180-4 section 6.1.2. */
static void sha1_block(uint32_t state[5], const uint8_t block[BLOCK_BYTES])
{
    uint32_t schedule[80];
    for (int i = 0; i < 16; i++)
        schedule[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                      (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        schedule[i] =
            rotate(schedule[i - 3] ^ schedule[i - 8] ^ schedule[i - 14] ^ schedule[i - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        uint32_t mixed = i < 20 ? ((b & c) | (~b & d)) + 0x5a827999u
                       : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1u
                       : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu
                                : (b ^ c ^ d) + 0xca62c1d6u;
        uint32_t next = rotate(a, 5) + mixed + e + schedule[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* Of a message that fits one block with its padding: at most 55 bytes. */
static void sha1_short(const uint8_t *message, size_t bytes, uint8_t digest[DIGEST_BYTES])
{
    uint32_t state[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    uint8_t block[BLOCK_BYTES] = {0};
    memcpy(block, message, bytes);
    block[bytes] = 0x80;
    block[BLOCK_BYTES - 2] = (uint8_t)(bytes * 8 >> 8);
    block[BLOCK_BYTES - 1] = (uint8_t)(bytes * 8);
    sha1_block(state, block);
    for (int i = 0; i < DIGEST_BYTES; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t digest[DIGEST_BYTES], char *text)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < DIGEST_BYTES; i += 3) {
        uint32_t three = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8;
        if (i + 2 < DIGEST_BYTES)
            three |= digest[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *text++ = digits[three >> shift & 63];
    }
    text[-1] = '='; /* 20 bytes are one short of a multiple of three */
    *text = 0;
}

static bool has_ports(uint8_t protocol)
{
    return protocol == PROTO_TCP || protocol == PROTO_UDP || protocol == PROTO_SCTP ||
           protocol == PROTO_ICMP || protocol == PROTO_ICMPV6;
}

/* decap() puts type and code in place of the ports where no type answers the message, else the
 * two types: those of a pair are next to each other, but for echo in IPv4, 8 and 0. */
static bool is_one_way(const struct flow *flow)
{
    uint16_t type = flow->port[TO_CLIENT], answer = flow->port[TO_SERVER];
    uint16_t low = type < answer ? type : answer, high = type < answer ? answer : type;
    if (flow->protocol == PROTO_ICMP)
        return !((low == 0 && high == 8) || (low == 9 && high == 10) ||
                 (low == 13 && high == 14) || (low == 15 && high == 16) ||
                 (low == 17 && high == 18));
    if (flow->protocol == PROTO_ICMPV6)
        return !(high == low + 1 && (low == 128 || low == 130 || low == 133 || low == 135 ||
                                     low == 139 || low == 144));
    return false;
}

/* The endpoint that comes first, named by the direction that goes to it. */
static enum direction first_endpoint(const struct flow *flow)
{
    int order = memcmp(flow->address[TO_CLIENT], flow->address[TO_SERVER], ADDRESS_BYTES);
    if (order == 0)
        order = (int)flow->port[TO_CLIENT] - (int)flow->port[TO_SERVER];
    return order < 0 || is_one_way(flow) ? TO_CLIENT : TO_SERVER;
}

void community_id(const struct flow *flow, uint16_t seed, char id[COMMUNITY_ID_CHARS + 1])
{
    uint8_t message[2 + 2 * ADDRESS_BYTES + 2 + 4], digest[DIGEST_BYTES];
    size_t bytes = 0, skip = flow->ip_version == 4 ? 12 : 0; /* the prefix of a mapped address */
    enum direction first = first_endpoint(flow);
    message[bytes++] = (uint8_t)(seed >> 8);
    message[bytes++] = (uint8_t)seed;
    for (int i = 0; i < 2; i++) {
        memcpy(message + bytes, flow->address[i ? !first : first] + skip, ADDRESS_BYTES - skip);
        bytes += ADDRESS_BYTES - skip;
    }
    message[bytes++] = flow->protocol;
    message[bytes++] = 0;
    for (int i = 0; i < 2 && has_ports(flow->protocol); i++) {
        uint16_t port = flow->port[i ? !first : first];
        message[bytes++] = (uint8_t)(port >> 8);
        message[bytes++] = (uint8_t)port;
    }
    sha1_short(message, bytes, digest);
    memcpy(id, "1:", 2);
    base64(digest, id + 2);
}
