/* The chunked transfer coding (RFC 9112 section 7.1) around its data. */
#include <string.h>

#include "http1_steps.h"

/* Beyond this a chunk size would overflow with the next digit. */
enum { CHUNK_DIGITS_SHIFT = 59 };

/* RFC 9112 section 7.1: the size in hexadecimal, perhaps extensions, the line end. */
uint32_t http1_chunk_size(struct protocol *protocol, enum direction direction, const uint8_t *data,
                          uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    side->body_begun = true;
    for (uint32_t at = 0; at < bytes;) {
        uint8_t c = data[at++], digit = 16;
        if (c >= '0' && c <= '9')
            digit = (uint8_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (uint8_t)((c | 0x20) - 'a' + 10);
        if (digit < 16 && side->left >> CHUNK_DIGITS_SHIFT == 0) {
            side->left = side->left << 4 | digit;
            side->seen++;
            continue;
        }
        if (digit < 16 || !side->seen ||
            (c != '\r' && c != '\n' && c != ';' && c != ' ' && c != '\t')) {
            http1_malformed(protocol, direction, time_ns);
            return bytes;
        }
        side->state = HTTP1_CHUNK_EXTENSION;
        return at - (c == '\n');
    }
    return bytes;
}

uint32_t http1_chunk_extension(struct protocol *protocol, enum direction direction,
                               const uint8_t *data, uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    const uint8_t *end = memchr(data, '\n', bytes);
    uint32_t taken = end ? (uint32_t)(end - data) + 1 : bytes;
    side->seen += taken < UINT32_MAX - side->seen ? taken : UINT32_MAX - side->seen;
    if (side->seen > protocol->shared->limits->http_head_bytes_max) {
        http1_malformed(protocol, direction, time_ns);
        return bytes;
    }
    if (end) {
        side->state = side->left ? HTTP1_CHUNK_DATA : HTTP1_TRAILERS;
        side->line = HTTP1_LINE_EMPTY;
        side->seen = 0;
    }
    return taken;
}

uint32_t http1_chunk_end(struct protocol *protocol, enum direction direction, const uint8_t *data,
                         uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    if (data[0] == '\r' && side->line == HTTP1_LINE_EMPTY) {
        side->line = HTTP1_LINE_CR;
    } else if (data[0] == '\n') {
        side->state = HTTP1_CHUNK_SIZE;
        side->seen = 0;
    } else {
        http1_malformed(protocol, direction, time_ns);
        return bytes;
    }
    return 1;
}

uint32_t http1_trailers(struct protocol *protocol, enum direction direction, const uint8_t *data,
                        uint32_t bytes, uint64_t time_ns)
{
    struct http1_side *side = &protocol->http1.side[direction];
    uint32_t end = http1_past_empty_line(side, data, bytes);
    uint32_t taken = end ? end : bytes;
    side->seen += taken < UINT32_MAX - side->seen ? taken : UINT32_MAX - side->seen;
    if (side->seen > protocol->shared->limits->http_head_bytes_max) {
        http1_malformed(protocol, direction, time_ns);
        return bytes;
    }
    if (end)
        http1_message_end(protocol, direction, time_ns);
    return taken;
}
