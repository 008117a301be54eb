/* HTTP/1 of one flow: framing of both directions, push-fed (http1.c), and which response belongs to
 * which request (http1_pair.c). Private to the protocol code. */
#ifndef HOPTAP_HTTP1_H
#define HOPTAP_HTTP1_H

#include "choice.h"
#include "http1_head.h"
#include "http1_start.h"
#include "kept.h"

enum http1_state {
    HTTP1_HEAD, /* between messages, or in a head */
    HTTP1_LENGTH,
    HTTP1_CHUNK_SIZE,
    HTTP1_CHUNK_EXTENSION,
    HTTP1_CHUNK_DATA,
    HTTP1_CHUNK_END,
    HTTP1_TRAILERS,
    HTTP1_UNTIL_CLOSE,
    HTTP1_LOST, /* silent until a chunk begins with a message */
    HTTP1_WAIT, /* after CONNECT: the answer says what these bytes are */
};

/* Framing of one direction. */
struct http1_side {
    struct kept
        held;      /* a start or head that straddles chunks; owned, freed when the head is parsed */
    uint64_t left; /* of the body or the chunk; in HTTP1_CHUNK_SIZE the number so far */
    uint64_t start_ns;      /* first byte of the message at hand, or of what is held */
    uint64_t missing_bytes; /* HTTP1_WAIT: a gap behind what is held */
    uint32_t seen; /* HTTP1_CHUNK_*: digits and extension so far; HTTP1_TRAILERS: bytes so far */
    uint8_t state; /* enum http1_state */
    uint8_t line;  /* how the line at hand began: enum http1_line */
    bool begun;    /* HTTP1_HEAD: inside a head */
    bool line_checked; /* the start line in held is well formed */
    bool body_begun;
    bool doubt;  /* what should be a body may turn out to be the next message */
    bool replay; /* held is to be fed once more, as a chunk of its own */
    bool met;    /* bytes or gaps of this direction went by before HTTP was found */
    bool ended;
};

/* Responses that requests we gave up on may still get. While there are any, a response after them
 * is not told apart from one of theirs. */
enum { OWED_UNKNOWN = UINT32_MAX };

struct http1 {
    struct http1_side side[2];
    struct pending *first, *last; /* requests in order, whose responses can be told; owned */
    struct pending
        *receiving; /* the request being received: in the queue, or abandoned and owned here */
    struct pending *answering; /* whose response is being received; NULL: nobody's */
    uint32_t queued;
    uint32_t owed;
    bool shedding;      /* what is owed was shed for want of room, not lost */
    bool pipelines;     /* the client has sent a request before it had the answer to the last */
    bool lost_requests; /* bytes to the server were lost, or before our time */
};

enum layer { LAYER_DETECT, LAYER_HTTP1, LAYER_HTTP2, LAYER_OPAQUE, LAYER_TLS, LAYER_FRAMED };
enum inner { INNER_NONE, INNER_CONNECT, INNER_UPGRADE, INNER_HTTP2 };

/* Of vmware-authd, the door of TCP 902: has it been met, and has it let the flow through? */
enum authd_stage { AUTHD_NONE, AUTHD_TALKS, AUTHD_PASSED };

struct protocol {
    const struct protocol_shared *shared;
    struct flow *flow;
    struct http_flow http;
    struct http1 http1;
    uint64_t handed_bytes[2]; /* of the opaque stream */
    uint8_t layer;            /* enum layer */
    uint8_t inner;            /* what to become now: enum inner */
    uint8_t first;            /* LAYER_DETECT: the direction that spoke first */
    bool no_proxy_header;     /* it has come, or can come no more */
    bool port_wanted;
    bool settled;   /* opaque for certain: HTTP is not looked for */
    bool http2_unseen; /* frames of HTTP/2 were seen, but not its beginning */
    bool tls_first; /* no byte was seen before the TLS */
    bool decrypted; /* the inner of another: its bytes came out of TLS */
    bool in_clear[2];       /* LAYER_TLS: the direction went back to clear */
    uint8_t authd;          /* enum authd_stage */
    uint32_t session;       /* of TLS, that these bytes came out of; 0: in clear */
    struct framing *framing; /* LAYER_FRAMED; owned */
    struct http2 *http2;    /* LAYER_HTTP2; owned */
    struct tls *tls;        /* LAYER_TLS; owned */
    struct protocol *plain; /* what the TLS carries, once something was decrypted; owned */
    struct protocol *bare;  /* what follows the TLS in clear; owned */
    uint32_t tls_session;   /* as struct tls_info counts them */
};

/* Bytes taken; less than given when protocol->inner or a side's replay asks for attention. */
uint32_t http1_data(struct protocol *protocol, enum direction direction, const uint8_t *data,
                    uint32_t bytes, uint64_t time_ns);
void http1_gap(struct protocol *protocol, enum direction direction, uint64_t bytes,
               uint64_t time_ns);
void http1_end(struct protocol *protocol, enum direction direction, uint64_t time_ns);
void http1_close(struct protocol *protocol, uint64_t time_ns);

/* Looks for a message at the beginning of a chunk. START_YES: the side stands before a head, which
 * begins with what it holds, to be replayed, if anything, and goes on with this chunk. */
enum start_verdict http1_seek(struct protocol *protocol, enum direction direction,
                              const uint8_t *data, uint32_t bytes, uint64_t time_ns);

/* Joins a chunk to what the side holds, if it holds anything, and says where the whole stands; NULL
 * when memory is short. */
const uint8_t *http1_joined(struct protocol *protocol, enum direction direction,
                            const uint8_t *data, uint32_t *bytes);
/* It is known now what the held bytes are: they are to be fed again, without the `joined_bytes` of
 * the chunk at hand, which follow by themselves and in their own time. */
void http1_replay(struct protocol *protocol, enum direction direction, uint32_t joined_bytes);
/* Holds a chunk that http1_joined() has not put there already. */
bool http1_hold(struct protocol *protocol, enum direction direction, const uint8_t *data,
                uint32_t bytes, uint64_t time_ns);

/* http1_pair.c: called where a message begins, is known by its head, and ends. */
void pair_request_begins(struct protocol *protocol, uint64_t time_ns);
void pair_response_begins(struct protocol *protocol, uint64_t time_ns);
void pair_request(struct protocol *protocol, const struct http_head *head, uint64_t start_ns);
/* False when the response belongs to no request that we know. */
bool pair_response(struct protocol *protocol, const struct http_head *head, uint64_t start_ns);
void pair_request_done(struct protocol *protocol, uint64_t time_ns);
void pair_response_done(struct protocol *protocol, uint64_t time_ns);
/* The rest of what a direction says is unknown until it is found again. */
void pair_requests_lost(struct protocol *protocol, uint64_t time_ns);
void pair_responses_lost(struct protocol *protocol, uint64_t time_ns);
/* Takes the request at hand from the queue, with all that is known of it; NULL when there is none. */
struct pending *pair_take(struct protocol *protocol);
void pair_close(struct protocol *protocol, uint64_t time_ns);

#endif
