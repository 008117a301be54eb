#include "http1_head.h"

#include <string.h>

static void header_line(struct http_head *head, const struct interest *interest,
                        enum direction direction, const uint8_t *line, const uint8_t *end)
{
    const uint8_t *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon)
        return;
    struct slice trimmed = http_head_trim(line, colon);
    struct slice name = {line, (uint32_t)(trimmed.data + trimmed.bytes - line)};
    if (trimmed.bytes)
        http_head_field(head, interest, direction, name, http_head_trim(colon + 1, end));
}

static bool version(const uint8_t *at)
{
    return memcmp(at, "HTTP/1.", 7) == 0 && at[7] >= '0' && at[7] <= '9';
}

enum { VERSION_BYTES = 8, STATUS_CODE_AT = VERSION_BYTES + 1, STATUS_LINE_BYTES_MIN = 12 };

/* The target is what stands between the first and the last space: some clients leave spaces in it.
 */
static bool request_line(struct http_head *head, const uint8_t *line, uint32_t bytes)
{
    const uint8_t *space = memchr(line, ' ', bytes);
    if (!space || space == line || bytes < VERSION_BYTES + 1)
        return false;
    const uint8_t *last = line + bytes - VERSION_BYTES - 1;
    if (last <= space + 1 || *last != ' ' || !version(last + 1))
        return false;
    head->method = (struct slice){line, (uint32_t)(space - line)};
    head->target = (struct slice){space + 1, (uint32_t)(last - space - 1)};
    return true;
}

static bool status_line(struct http_head *head, const uint8_t *line, uint32_t bytes)
{
    if (bytes < STATUS_LINE_BYTES_MIN || !version(line) || line[VERSION_BYTES] != ' ')
        return false;
    uint16_t status = 0;
    for (uint32_t i = STATUS_CODE_AT; i < STATUS_LINE_BYTES_MIN; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        status = (uint16_t)(status * 10 + (line[i] - '0'));
    }
    if (bytes > STATUS_LINE_BYTES_MIN && line[STATUS_LINE_BYTES_MIN] != ' ')
        return false;
    head->status = status;
    return status >= 100;
}

/* End of the line that begins at `at`, past its LF; 0: not there. A lone LF ends a line too (RFC
 * 9112 section 2.2). */
static uint32_t line_end(const uint8_t *data, uint32_t at, uint32_t bytes)
{
    const uint8_t *found = memchr(data + at, '\n', bytes - at);
    return found ? (uint32_t)(found - data) + 1 : 0;
}

static uint32_t without_line_end(const uint8_t *data, uint32_t at, uint32_t end)
{
    end--;
    return end - (end > at && data[end - 1] == '\r');
}

enum head_verdict http1_head_parse(struct http_head *head, const struct interest *interest,
                                   enum direction direction, const uint8_t *data, uint32_t bytes)
{
    http_head_clear(head);
    uint32_t at = line_end(data, 0, bytes);
    if (!at)
        return HEAD_MORE;
    uint32_t line = without_line_end(data, 0, at);
    if (!(direction == TO_SERVER ? request_line(head, data, line) : status_line(head, data, line)))
        return HEAD_BAD;
    head->lines.data = data + at;
    for (;;) {
        uint32_t end = line_end(data, at, bytes);
        if (!end)
            return HEAD_MORE;
        if (without_line_end(data, at, end) == at) {
            head->lines.bytes = (uint32_t)(data + at - head->lines.data);
            head->bytes = end;
            return HEAD_DONE;
        }
        while (end < bytes && (data[end] == ' ' || data[end] == '\t')) {
            end = line_end(data, end, bytes);
            if (!end)
                return HEAD_MORE;
        }
        if (end == bytes)
            return HEAD_MORE;
        header_line(head, interest, direction, data + at, data + end);
        at = end;
    }
}

/* RFC 9110 section 5.6.2. */
static bool is_token_char(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http1_head_possible(enum direction direction, const uint8_t *data, uint32_t bytes)
{
    if (direction == TO_SERVER && bytes && !is_token_char(data[0]))
        return false;
    if (direction == TO_CLIENT && memcmp(data, "HTTP/1.", bytes < 7 ? bytes : 7) != 0)
        return false;
    struct http_head line = {0};
    uint32_t end = line_end(data, 0, bytes);
    if (!end)
        return true;
    uint32_t length = without_line_end(data, 0, end);
    return direction == TO_SERVER ? request_line(&line, data, length)
                                  : status_line(&line, data, length);
}
