/* Whether bytes begin an HTTP/1 message: how a flow is recognised, and found again after a loss. */
#ifndef HOPTAP_HTTP1_START_H
#define HOPTAP_HTTP1_START_H

#include "packet.h"

enum start_verdict {
    START_NO,
    START_MORE, /* so far it could be */
    START_YES,
};

/* RFC 9112 section 3 recommends to support request lines of at least 8000 octets. */
enum { START_BYTES_MAX = 8192 };

/* To the server: a whole request line of a known method and HTTP/1.x. To the client: a status line
 * up to its code. */
enum start_verdict http1_start(enum direction direction, const uint8_t *data, uint32_t bytes);

#endif
