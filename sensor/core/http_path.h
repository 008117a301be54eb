/* The path of a request target. */
#ifndef HOPTAP_HTTP_PATH_H
#define HOPTAP_HTTP_PATH_H

#include <string.h>

#include "transaction.h"

/* RFC 9112 section 3.2: of origin, absolute, authority or asterisk form; without scheme and
 * authority, without query. */
static inline struct slice http_path(struct slice target)
{
    const uint8_t *at = target.data, *end = at + target.bytes;
    if (target.bytes && *at != '/') {
        const uint8_t *scheme = memmem(at, target.bytes, "://", 3);
        const uint8_t *query = memchr(at, '?', target.bytes);
        if (scheme && (!query || scheme < query)) {
            const uint8_t *slash = memchr(scheme + 3, '/', (size_t)(end - scheme - 3));
            if (!slash || (query && query < slash))
                return (struct slice){(const uint8_t *)"/", 1};
            at = slash;
        }
    }
    const uint8_t *stop = at < end ? memchr(at, '?', (size_t)(end - at)) : NULL;
    return (struct slice){at, (uint32_t)((stop ? stop : end) - at)};
}

#endif
