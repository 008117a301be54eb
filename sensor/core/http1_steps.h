/* The steps of HTTP/1 framing: each takes some of the bytes given, at least one unless it changed
 * the state, and says how many. Private to http1*.c. */
#ifndef HOPTAP_HTTP1_STEPS_H
#define HOPTAP_HTTP1_STEPS_H

#include "http1.h"

/* How the line at hand began: what is looked for is a line without content. */
enum http1_line { HTTP1_LINE_EMPTY, HTTP1_LINE_CR, HTTP1_LINE_CONTENT };

/* Past the line end of the next empty line, 0 when it is not there. Goes on where it stopped. */
uint32_t http1_past_empty_line(struct http1_side *side, const uint8_t *data, uint32_t bytes);

/* What follows of this direction means nothing until a chunk begins with a message. */
void http1_lose(struct protocol *protocol, enum direction direction, uint64_t time_ns);
void http1_malformed(struct protocol *protocol, enum direction direction, uint64_t time_ns);
void http1_message_end(struct protocol *protocol, enum direction direction, uint64_t time_ns);

/* http1_chunked.c */
uint32_t http1_chunk_size(struct protocol *protocol, enum direction direction, const uint8_t *data,
                          uint32_t bytes, uint64_t time_ns);
uint32_t http1_chunk_extension(struct protocol *protocol, enum direction direction,
                               const uint8_t *data, uint32_t bytes, uint64_t time_ns);
uint32_t http1_chunk_end(struct protocol *protocol, enum direction direction, const uint8_t *data,
                         uint32_t bytes, uint64_t time_ns);
uint32_t http1_trailers(struct protocol *protocol, enum direction direction, const uint8_t *data,
                        uint32_t bytes, uint64_t time_ns);

/* http1_seek.c */
uint32_t http1_doubt(struct protocol *protocol, enum direction direction, const uint8_t *data,
                     uint32_t bytes, uint64_t time_ns);
uint32_t http1_lost(struct protocol *protocol, enum direction direction, const uint8_t *data,
                    uint32_t bytes, uint64_t time_ns);
uint32_t http1_wait(struct protocol *protocol, const uint8_t *data, uint32_t bytes,
                    uint64_t time_ns);

#endif
