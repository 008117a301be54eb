/* Of a message head what framing, SOAP and sessions need, whatever the version of HTTP: filled
 * field by field (RFC 9110 section 6.3). */
#ifndef HOPTAP_HTTP_HEAD_H
#define HOPTAP_HTTP_HEAD_H

#include "body.h"
#include "interest.h"
#include "transaction.h"

/* A flow whose every message names more sessions than this is handed up whole. */
enum { HEAD_TOKENS_MAX = 16 };

struct http_head {
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
    bool h2c;            /* Upgrade: h2c */
    bool soap;           /* SOAPAction, or an XML content type */
    uint8_t token_count; /* past HEAD_TOKENS_MAX: more_tokens */
    bool more_tokens;
    uint64_t token[HEAD_TOKENS_MAX]; /* hashes of token values; not zeroed */
};

/* All but the tokens, which are behind their count. */
void http_head_clear(struct http_head *head);
/* Takes note of a field; the name is not empty, the value without white space around it. */
void http_head_field(struct http_head *head, const struct interest *interest,
                     enum direction direction, struct slice name, struct slice value);
/* Without white space, and the line ends of folded lines (RFC 9112 section 5.2). */
struct slice http_head_trim(const uint8_t *at, const uint8_t *end);

#endif
