/* HTTP/2 of one flow (RFC 9113), from the connection preface on. Frames and their field blocks are
 * followed as they come; flow control, priorities and settings change nothing of what is said. The
 * state of header compression cannot be found again: a direction that lost anything but the content
 * of a DATA frame stays silent. */
#ifndef HOPTAP_HTTP2_H
#define HOPTAP_HTTP2_H

#include "choice.h"
#include "http1_start.h"

struct http2;

/* To the server: the connection preface. To the client: a SETTINGS frame, with which a server may
 * begin before it has seen the preface. */
enum start_verdict http2_start(enum direction direction, const uint8_t *data, uint32_t bytes);
/* Is a chunk from the middle of a stream a row of frames, up to its last byte? */
bool http2_likely(const uint8_t *data, uint32_t bytes);

/* NULL when memory is short (counted). */
struct http2 *http2_open(struct http_flow *http);
/* The request that asked for the upgrade (RFC 7540 section 3.2) becomes stream 1; owned from here
 * on. */
void http2_upgraded(struct http2 *http2, struct pending *pending, uint64_t time_ns);
void http2_data(struct http2 *http2, enum direction direction, const uint8_t *data, uint32_t bytes,
                uint64_t time_ns);
void http2_gap(struct http2 *http2, enum direction direction, uint64_t bytes, uint64_t time_ns);
void http2_end(struct http2 *http2, enum direction direction, uint64_t time_ns);
/* Reports requests still without a response, then frees; accepts NULL. */
void http2_close(struct http2 *http2, uint64_t time_ns);

#endif
