/* What the writers of bench captures share: numbers in network order, and the Internet checksum. */
#ifndef HOPTAP_BENCH_FRAME_H
#define HOPTAP_BENCH_FRAME_H

#include <stdint.h>

enum {
    SEGMENT_BYTES = 1448,
    ETHERNET_BYTES = 14,
    IP_BYTES = 20,
    TCP_BYTES = 32, /* with time stamps */
    HEADERS_BYTES = ETHERNET_BYTES + IP_BYTES + TCP_BYTES,
    FIN = 0x01,
    SYN = 0x02,
    PUSH = 0x08,
    ACK = 0x10,
};

static inline void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

/* RFC 1071; `sum` carries a part already added. */
static inline uint16_t checksum(const uint8_t *data, uint32_t bytes, uint64_t sum)
{
    for (uint32_t at = 0; at + 1 < bytes; at += 2)
        sum += (uint32_t)(data[at] << 8 | data[at + 1]);
    if (bytes & 1)
        sum += (uint32_t)(data[bytes - 1] << 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Lengths and checksums of a frame whose other fields and `bytes` of payload are in place. */
static inline void finish_frame(uint8_t *frame, uint32_t bytes)
{
    uint8_t *ip = frame + ETHERNET_BYTES, *tcp = ip + IP_BYTES;
    put16(ip + 2, IP_BYTES + TCP_BYTES + bytes);
    put16(ip + 10, 0);
    put16(ip + 10, checksum(ip, IP_BYTES, 0));
    uint64_t pseudo = 6 + TCP_BYTES + bytes;
    for (int at = 12; at < 20; at += 2)
        pseudo += (uint32_t)(ip[at] << 8 | ip[at + 1]);
    put16(tcp + 16, 0);
    put16(tcp + 16, checksum(tcp, TCP_BYTES + bytes, pseudo));
}

#endif
