/* The field blocks of one direction: HPACK (RFC 7541) undone as the bytes come, and the head that a
 * block amounts to, in the form of HTTP/1. Every block has to go through here, since each changes
 * the table that later ones refer to; only those that are wanted leave anything behind. */
#ifndef HOPTAP_HTTP2_FIELDS_H
#define HOPTAP_HTTP2_FIELDS_H

#include <nghttp2/nghttp2.h>

#include "choice.h"
#include "kept.h"

enum fields_verdict {
    FIELDS_FINE,
    FIELDS_BROKEN, /* no HPACK: nothing that follows can be read */
    FIELDS_SHORT,  /* memory is, with the same consequence */
};

enum http2_pseudo {
    PSEUDO_METHOD,
    PSEUDO_PATH,
    PSEUDO_AUTHORITY,
    PSEUDO_SCHEME,
    PSEUDO_PROTOCOL,
    PSEUDO_STATUS,
    PSEUDOS
};

struct http2_fields {
    const struct protocol_shared *shared;
    nghttp2_mem memory;              /* the inflater's, out of the budget */
    nghttp2_hd_inflater *inflater;   /* owned, as all below; freed in http2_fields_close */
    struct kept lines;               /* header lines with their line ends */
    struct kept cookies;             /* "a=b; c=d" */
    struct kept pseudo;              /* values, one behind the other */
    struct slice at_pseudo[PSEUDOS]; /* data: set in http2_fields_head, from pseudo_at */
    uint32_t pseudo_at[PSEUDOS];
    uint64_t bytes; /* of names and values, with 4 for each field, as HTTP/1 writes them */
    struct http_head head;
    uint8_t direction;   /* enum direction */
    uint8_t seen_pseudo; /* bit of enum http2_pseudo */
    bool wanted;         /* the block at hand is to become a head */
    bool regular;        /* a field that is no pseudo one has come */
    bool bad;            /* no message, RFC 9113 section 8.1.1, or one that is too long */
    bool tunnel;         /* a request that makes the stream a tunnel: CONNECT */
};

/* False when memory is short (counted); close it all the same. */
bool http2_fields_open(struct http2_fields *fields, const struct protocol_shared *shared,
                       enum direction direction);
void http2_fields_begin(struct http2_fields *fields, bool wanted);
enum fields_verdict http2_fields_add(struct http2_fields *fields, const uint8_t *data,
                                     uint32_t bytes);
/* The block is complete. */
enum fields_verdict http2_fields_end(struct http2_fields *fields);
/* What the block amounts to, valid until http2_fields_forget(); NULL: no head of a message
 * (counted). */
const struct http_head *http2_fields_head(struct http2_fields *fields);
/* The text of the block; its effect on later ones stays. */
void http2_fields_forget(struct http2_fields *fields);
void http2_fields_close(struct http2_fields *fields);

#endif
