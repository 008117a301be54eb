/* Crafted pcap files whose packets follow from their number: length, time and bytes. */
#ifndef HOPTAP_CRAFT_PCAP_H
#define HOPTAP_CRAFT_PCAP_H

#include "craft.h"

enum { FILE_HEADER_BYTES = 24, RECORD_BYTES = 16 };

static inline uint32_t length_of(size_t number)
{
    return (uint32_t)(number * 37 % 211);
}

static inline uint8_t byte_of(size_t number, size_t at)
{
    return (uint8_t)(number * 7 + at);
}

struct expected {
    uint64_t tick_ns;
    uint16_t link;
};

static inline bool as_crafted(const struct packet *packet, size_t number, const void *context)
{
    const struct expected *expected = context;

    if (packet->captured_bytes != length_of(number) ||
        packet->wire_bytes != length_of(number) + number % 2 || packet->ordinal != number ||
        packet->link != expected->link || packet->source != 3 || packet->has_vlan ||
        packet->time_ns != (1700000000 + number) * 1000000000 + (number + 5) * expected->tick_ns)
        return false;
    for (uint32_t at = 0; at < packet->captured_bytes; at++)
        if (packet->data[at] != byte_of(number, at))
            return false;
    return true;
}

static const struct expected usual = {1000, LINK_ETHERNET};

static inline void file_header(struct bytes *file, uint32_t magic, uint16_t minor, uint32_t link)
{
    bytes_32(file, magic);
    bytes_16(file, 2);
    bytes_16(file, minor);
    bytes_32(file, 0);
    bytes_32(file, 0);
    bytes_32(file, 65535);
    bytes_32(file, link);
}

static inline void record(struct bytes *file, size_t number, size_t extra_bytes)
{
    bytes_32(file, (uint32_t)(1700000000 + number));
    bytes_32(file, (uint32_t)(number + 5));
    bytes_32(file, length_of(number));
    bytes_32(file, (uint32_t)(length_of(number) + number % 2));
    bytes_fill(file, 0xee, extra_bytes);
    for (uint32_t at = 0; at < length_of(number); at++) {
        uint8_t byte = byte_of(number, at);
        bytes_add(file, &byte, 1);
    }
}

static inline struct bytes craft(size_t packets)
{
    struct bytes file = {0};

    file_header(&file, 0xa1b2c3d4, 4, 1);
    for (size_t i = 0; i < packets; i++)
        record(&file, i, 0);
    return file;
}

/* How many packets are whole in the first `bytes` of a crafted file, and where the next begins. */
static inline size_t whole_packets(size_t bytes, size_t packets, size_t *at)
{
    size_t whole = 0;

    *at = FILE_HEADER_BYTES;
    while (whole < packets && *at + RECORD_BYTES + length_of(whole) <= bytes)
        *at += RECORD_BYTES + length_of(whole++);
    return whole;
}

#endif
