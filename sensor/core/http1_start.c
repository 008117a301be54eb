#include "http1_start.h"

#include <string.h>

/* RFC 9110 section 9.3, RFC 5789, and WebDAV (RFC 4918, 3253, 5323), which datastore access uses.
 */
static const char *const methods[] = {
    "GET",   "POST",     "HEAD",      "PUT",  "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE",
    "MKCOL", "PROPFIND", "PROPPATCH", "MOVE", "COPY",   "LOCK",  "UNLOCK",  "REPORT",  "SEARCH",
};

enum { METHODS = sizeof methods / sizeof *methods };

/* Bytes of the method and the space after it; 0: none fits; UINT32_MAX: one may, with more bytes.
 */
static uint32_t method_bytes(const uint8_t *data, uint32_t bytes)
{
    for (uint32_t i = 0; i < METHODS; i++) {
        uint32_t length = (uint32_t)strlen(methods[i]);
        uint32_t compared = bytes < length ? bytes : length;
        if (memcmp(data, methods[i], compared) != 0)
            continue;
        if (bytes <= length)
            return UINT32_MAX;
        if (data[length] == ' ')
            return length + 1;
    }
    return 0;
}

/* RFC 9112 section 3.2: a path, a URI, host:port or '*'. */
static bool begins_target(uint8_t c)
{
    return c == '/' || c == '*' || c == '[' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* " HTTP/1.x" at the end of a line without its line end. */
static bool ends_in_version(const uint8_t *line, uint32_t bytes)
{
    static const char version[] = " HTTP/1.";
    enum { VERSION_BYTES = sizeof version - 1 };
    if (bytes < VERSION_BYTES + 1)
        return false;
    const uint8_t *at = line + bytes - VERSION_BYTES - 1;
    return memcmp(at, version, VERSION_BYTES) == 0 && at[VERSION_BYTES] >= '0' &&
           at[VERSION_BYTES] <= '9';
}

static enum start_verdict request_start(const uint8_t *data, uint32_t bytes)
{
    uint32_t at = method_bytes(data, bytes);
    if (at == 0)
        return START_NO;
    if (at == UINT32_MAX || at == bytes)
        return START_MORE;
    if (!begins_target(data[at]))
        return START_NO;
    uint32_t limit = bytes < START_BYTES_MAX ? bytes : START_BYTES_MAX;
    const uint8_t *end = memchr(data + at, '\n', limit - at);
    if (!end)
        return bytes < START_BYTES_MAX ? START_MORE : START_NO;
    uint32_t line = (uint32_t)(end - data);
    line -= data[line - 1] == '\r';
    for (uint32_t i = at; i < line; i++) {
        if (data[i] < ' ' || data[i] == 0x7f)
            return START_NO;
    }
    return ends_in_version(data + at, line - at) ? START_YES : START_NO;
}

static enum start_verdict status_start(const uint8_t *data, uint32_t bytes)
{
    static const char shape[] = "HTTP/1.d ddd";
    enum { SHAPE_BYTES = sizeof shape - 1 };
    for (uint32_t i = 0; i < bytes && i < SHAPE_BYTES; i++) {
        bool digit = data[i] >= '0' && data[i] <= '9';
        if (shape[i] == 'd' ? !digit : data[i] != (uint8_t)shape[i])
            return START_NO;
    }
    if (bytes <= SHAPE_BYTES)
        return START_MORE;
    uint8_t next = data[SHAPE_BYTES];
    return next == ' ' || next == '\r' || next == '\n' ? START_YES : START_NO;
}

enum start_verdict http1_start(enum direction direction, const uint8_t *data, uint32_t bytes)
{
    return direction == TO_SERVER ? request_start(data, bytes) : status_start(data, bytes);
}
