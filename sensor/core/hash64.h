/* A fast 64-bit hash: multiply and fold, eight bytes a step (the mixing of wyhash, public domain).
 * Not keyed: for tables and for telling values apart, never for anything that leaves the sensor. */
#ifndef HOPTAP_HASH64_H
#define HOPTAP_HASH64_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash64_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash64_word(const uint8_t *at, size_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, at, bytes);
    return word;
}

/* The odd constants are those of wyhash: balanced bits, so that no common input makes a factor 0.
 * Four lanes, since a multiplication takes longer than it takes to start another. */
static inline uint64_t hash64(uint64_t seed, const uint8_t *data, size_t bytes)
{
    const uint64_t k0 = 0xa0761d6478bd642fu, k1 = 0xe7037ed1a0b428dbu, k2 = 0x8ebc6af09c88c6e3u;
    uint64_t hash = hash64_mix(seed ^ k0, bytes ^ k1);
    size_t at = 0;
    if (bytes >= 64) {
        uint64_t lane[4] = {hash, hash ^ k0, hash ^ k1, hash ^ k2};
        for (; bytes - at >= 64; at += 64) {
            for (size_t i = 0; i < 4; i++) {
                const uint8_t *part = data + at + i * 16;
                lane[i] = hash64_mix(hash64_word(part, 8) ^ k1 ^ lane[i],
                                     hash64_word(part + 8, 8) ^ k2);
            }
        }
        hash = hash64_mix(lane[0] ^ k0, lane[1] ^ k1) ^ hash64_mix(lane[2] ^ k2, lane[3] ^ k0);
    }
    for (; bytes - at >= 16; at += 16)
        hash = hash64_mix(hash64_word(data + at, 8) ^ k1 ^ hash,
                          hash64_word(data + at + 8, 8) ^ k2);
    if (bytes - at >= 8) {
        hash = hash64_mix(hash64_word(data + at, 8) ^ k2 ^ hash, k1);
        at += 8;
    }
    if (bytes > at)
        hash = hash64_mix(hash64_word(data + at, bytes - at) ^ k0 ^ hash, k2);
    return hash64_mix(hash ^ k0, k1);
}

#endif
