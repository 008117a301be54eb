/* The requests of an HTTP/2 connection that are under way, by the number of their stream, and what
 * frames do to them. */
#ifndef HOPTAP_HTTP2_STREAMS_H
#define HOPTAP_HTTP2_STREAMS_H

#include "choice.h"

struct http2_stream {
    struct pending *pending; /* owned */
    uint32_t id;
    bool tunnel;
    bool body_begun; /* of the request */
};

struct http2_streams {
    struct http_flow *http;
    struct http2_stream *open; /* in order of id; owned; freed in streams_close */
    uint32_t count, room;
    uint32_t last_id;   /* the highest that the client has opened */
    bool lost[2];       /* nothing more is to be expected of this direction */
};

/* Is a head that begins on this stream one of a message, and not trailers, or of a stream that is
 * over or nobody's? */
bool streams_want_head(const struct http2_streams *streams, enum direction direction, uint32_t id);
/* The head is borrowed. NULL: it could not be read. */
void streams_request(struct http2_streams *streams, uint32_t id, const struct http_head *head,
                     bool tunnel, bool ends, uint64_t start_ns);
void streams_response(struct http2_streams *streams, uint32_t id, const struct http_head *head,
                      uint64_t start_ns, uint64_t time_ns);
/* A request whose beginning was in HTTP/1. Takes it over. */
void streams_adopt(struct http2_streams *streams, uint32_t id, struct pending *pending,
                   uint64_t time_ns);
void streams_body(struct http2_streams *streams, enum direction direction, uint32_t id,
                  const uint8_t *data, uint32_t bytes);
void streams_body_gap(struct http2_streams *streams, enum direction direction, uint32_t id);
/* END_STREAM. */
void streams_message_end(struct http2_streams *streams, enum direction direction, uint32_t id,
                         uint64_t time_ns);
void streams_reset(struct http2_streams *streams, uint32_t id, uint64_t time_ns);
/* The server processes none above this one. */
void streams_go_away(struct http2_streams *streams, uint32_t last_id, uint64_t time_ns);
/* Nothing of what this direction goes on to say can be read. */
void streams_lost(struct http2_streams *streams, enum direction direction, uint64_t time_ns);
void streams_ended(struct http2_streams *streams, enum direction direction, uint64_t time_ns);
void streams_close(struct http2_streams *streams, uint64_t time_ns);

#endif
