/* A message head, parsed in place: start line, and of the header lines what framing, SOAP and
 * sessions need (RFC 9112 sections 2 to 6). */
#ifndef HOPTAP_HTTP1_HEAD_H
#define HOPTAP_HTTP1_HEAD_H

#include "body.h"
#include "interest.h"
#include "transaction.h"

enum head_verdict {
    HEAD_DONE,
    HEAD_MORE, /* the empty line is not there yet */
    HEAD_BAD,
};

/* A flow whose every message names more sessions than this is handed up whole. */
enum { HEAD_TOKENS_MAX = 16 };

struct http1_head {
    struct slice method, target; /* of a request */
    struct slice lines;          /* header lines with their line ends, without the empty line */
    uint64_t length;             /* Content-Length, when has_length */
    uint32_t bytes;              /* start line to empty line */
    uint16_t status;             /* of a response */
    struct codings content;      /* Content-Encoding */
    struct codings transfer;     /* Transfer-Encoding, without chunked */
    bool has_length;
    bool bad_length;     /* no number, or several that differ */
    bool transfer_coded; /* a Transfer-Encoding stands there */
    bool chunked;        /* and its last coding is chunked */
    bool expect_continue;
    bool soap;           /* SOAPAction, or an XML content type */
    uint8_t token_count; /* past HEAD_TOKENS_MAX: more_tokens */
    bool more_tokens;
    uint64_t token[HEAD_TOKENS_MAX]; /* hashes of token values; not zeroed */
};

/* `data` begins with a start line. Slices point into it. */
enum head_verdict http1_head_parse(struct http1_head *head, const struct interest *interest,
                                   enum direction direction, const uint8_t *data, uint32_t bytes);

/* False when a head that begins with these bytes cannot be one, as far as that can be told. */
bool http1_head_possible(enum direction direction, const uint8_t *data, uint32_t bytes);

#endif
