/* An HTTP/1 message head, parsed in place: start line and header lines (RFC 9112 sections 2 to 6). */
#ifndef HOPTAP_HTTP1_HEAD_H
#define HOPTAP_HTTP1_HEAD_H

#include "http_head.h"

enum head_verdict {
    HEAD_DONE,
    HEAD_MORE, /* the empty line is not there yet */
    HEAD_BAD,
};

/* `data` begins with a start line. Slices point into it. */
enum head_verdict http1_head_parse(struct http_head *head, const struct interest *interest,
                                   enum direction direction, const uint8_t *data, uint32_t bytes);

/* False when a head that begins with these bytes cannot be one, as far as that can be told. */
bool http1_head_possible(enum direction direction, const uint8_t *data, uint32_t bytes);

#endif
