/* Reading the presentation language of RFC 8446 section 3. A read past the end gives zeros and an
 * empty slice and sets `bad`, so that a parser looks once, at its end. */
#ifndef HOPTAP_TLS_WIRE_H
#define HOPTAP_TLS_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "transaction.h"

struct wire {
    const uint8_t *at;
    uint32_t left;
    bool bad;
};

static inline struct wire wire_of(struct slice slice)
{
    return (struct wire){slice.data, slice.bytes, false};
}

static inline struct slice wire_bytes(struct wire *wire, uint32_t bytes)
{
    struct slice slice = {wire->at, bytes};
    if (bytes > wire->left) {
        wire->bad = true;
        wire->left = 0;
        return (struct slice){wire->at, 0};
    }
    if (bytes)
        wire->at += bytes;
    wire->left -= bytes;
    return slice;
}

/* Big-endian, of 1 to 4 bytes. */
static inline uint32_t wire_number(struct wire *wire, uint32_t bytes)
{
    struct slice slice = wire_bytes(wire, bytes);
    uint32_t number = 0;
    for (uint32_t i = 0; i < slice.bytes; i++)
        number = number << 8 | slice.data[i];
    return number;
}

/* A vector whose length is told in length_bytes bytes before it. */
static inline struct slice wire_vector(struct wire *wire, uint32_t length_bytes)
{
    return wire_bytes(wire, wire_number(wire, length_bytes));
}

static inline uint16_t wire_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t wire_u24(const uint8_t *at)
{
    return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

#endif
