#include "http1_head.h"

#include <string.h>
#include <strings.h>

#include "hash64.h"
#include "interest_match.h"

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* White space, and the line ends of folded lines (RFC 9112 section 5.2). */
static struct slice trim(const uint8_t *at, const uint8_t *end)
{
    while (at < end && is_space(*at))
        at++;
    while (end > at && is_space(end[-1]))
        end--;
    return (struct slice){at, (uint32_t)(end - at)};
}

static bool slice_is(struct slice slice, const char *word)
{
    return slice.bytes == strlen(word) &&
           strncasecmp((const char *)slice.data, word, slice.bytes) == 0;
}

/* Takes the first member off a comma-separated list; false at the end. */
static bool next_member(struct slice *list, struct slice *member)
{
    if (!list->bytes)
        return false;
    const uint8_t *end = list->data + list->bytes;
    const uint8_t *comma = memchr(list->data, ',', list->bytes);
    *member = trim(list->data, comma ? comma : end);
    list->bytes = comma ? (uint32_t)(end - comma - 1) : 0;
    list->data = comma ? comma + 1 : end;
    return true;
}

static void add_coding(struct codings *codings, struct slice name)
{
    enum coding coding = CODING_OTHER;
    if (slice_is(name, "gzip") || slice_is(name, "x-gzip"))
        coding = CODING_GZIP;
    else if (slice_is(name, "deflate"))
        coding = CODING_DEFLATE;
    else if (!name.bytes || slice_is(name, "identity"))
        return;
    if (codings->count < CODINGS_MAX)
        codings->coding[codings->count++] = (uint8_t)coding;
    else
        codings->coding[CODINGS_MAX - 1] = CODING_OTHER;
}

static void content_encoding(struct http1_head *head, struct slice value)
{
    struct slice member;
    while (next_member(&value, &member))
        add_coding(&head->content, member);
}

static void transfer_encoding(struct http1_head *head, struct slice value)
{
    struct slice member;
    while (next_member(&value, &member)) {
        if (!member.bytes || slice_is(member, "identity"))
            continue;
        head->transfer_coded = true;
        head->chunked = slice_is(member, "chunked");
        if (!head->chunked)
            add_coding(&head->transfer, member);
    }
}

/* RFC 9112 section 6.3, rule 5: a list of equal numbers is one number; anything else is an error.
 */
static void content_length(struct http1_head *head, struct slice value)
{
    struct slice member;
    head->bad_length |= !value.bytes;
    while (next_member(&value, &member)) {
        uint64_t length = 0;
        bool bad = !member.bytes;
        for (uint32_t i = 0; i < member.bytes && !bad; i++) {
            uint8_t c = member.data[i];
            bad = c < '0' || c > '9' || length > (INT64_MAX - 9) / 10;
            length = length * 10 + (uint64_t)(c - '0');
        }
        head->bad_length |= bad || (head->has_length && head->length != length);
        head->has_length = true;
        head->length = length;
    }
}

static void add_token(struct http1_head *head, struct slice value)
{
    if (!value.bytes)
        return;
    if (head->token_count == HEAD_TOKENS_MAX)
        head->more_tokens = true;
    else
        head->token[head->token_count++] = hash64(0, value.data, value.bytes);
}

/* RFC 6265 sections 4.1 and 5.2: name=value pairs; in Set-Cookie all but the first are attributes.
 * Some clients send the whole Set-Cookie text back, so attributes are looked at as if they were
 * cookies there. */
static void cookies(struct http1_head *head, const struct interest *interest, struct slice value,
                    bool only_first)
{
    const uint8_t *at = value.data, *end = at + value.bytes;
    while (at < end) {
        const uint8_t *semicolon = memchr(at, ';', (size_t)(end - at));
        const uint8_t *stop = semicolon ? semicolon : end;
        const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
        if (equals) {
            struct slice name = trim(at, equals), content = trim(equals + 1, stop);
            if (content.bytes >= 2 && content.data[0] == '"' &&
                content.data[content.bytes - 1] == '"')
                content = (struct slice){content.data + 1, content.bytes - 2};
            if (interest_is_token_cookie(interest, name.data, name.bytes))
                add_token(head, content);
        }
        if (only_first || !semicolon)
            return;
        at = semicolon + 1;
    }
}

/* text/xml, application/soap+xml and their kin. */
static bool is_xml(struct slice value)
{
    const uint8_t *semicolon = memchr(value.data, ';', value.bytes);
    const uint8_t *end = semicolon ? semicolon : value.data + value.bytes;
    struct slice type = trim(value.data, end);
    return type.bytes >= 3 && strncasecmp((const char *)type.data + type.bytes - 3, "xml", 3) == 0;
}

/* Most lines are told apart by length and first letter, without comparing the name. */
static void header(struct http1_head *head, const struct interest *interest,
                   enum direction direction, struct slice name, struct slice value)
{
    switch (name.bytes << 8 | (name.data[0] | 0x20)) {
    case 6 << 8 | 'c':
        if (direction == TO_SERVER && slice_is(name, "cookie"))
            cookies(head, interest, value, false);
        break;
    case 6 << 8 | 'e':
        if (slice_is(name, "expect"))
            head->expect_continue |= slice_is(value, "100-continue");
        break;
    case 10 << 8 | 's':
        if (slice_is(name, "soapaction"))
            head->soap = true;
        else if (direction == TO_CLIENT && slice_is(name, "set-cookie"))
            cookies(head, interest, value, true);
        break;
    case 12 << 8 | 'c':
        if (slice_is(name, "content-type"))
            head->soap |= is_xml(value);
        break;
    case 14 << 8 | 'c':
        if (slice_is(name, "content-length"))
            content_length(head, value);
        break;
    case 16 << 8 | 'c':
        if (slice_is(name, "content-encoding"))
            content_encoding(head, value);
        break;
    case 17 << 8 | 't':
        if (slice_is(name, "transfer-encoding"))
            transfer_encoding(head, value);
        break;
    default:
        break;
    }
    if (interest_is_token_header(interest, name.data, name.bytes))
        add_token(head, value);
}

static void header_line(struct http1_head *head, const struct interest *interest,
                        enum direction direction, const uint8_t *line, const uint8_t *end)
{
    const uint8_t *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon)
        return;
    const uint8_t *name_end = colon;
    while (name_end > line && is_space(name_end[-1]))
        name_end--;
    struct slice name = {line, (uint32_t)(name_end - line)};
    if (name.bytes)
        header(head, interest, direction, name, trim(colon + 1, end));
}

static bool version(const uint8_t *at)
{
    return memcmp(at, "HTTP/1.", 7) == 0 && at[7] >= '0' && at[7] <= '9';
}

enum { VERSION_BYTES = 8, STATUS_CODE_AT = VERSION_BYTES + 1, STATUS_LINE_BYTES_MIN = 12 };

/* The target is what stands between the first and the last space: some clients leave spaces in it.
 */
static bool request_line(struct http1_head *head, const uint8_t *line, uint32_t bytes)
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

static bool status_line(struct http1_head *head, const uint8_t *line, uint32_t bytes)
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

enum head_verdict http1_head_parse(struct http1_head *head, const struct interest *interest,
                                   enum direction direction, const uint8_t *data, uint32_t bytes)
{
    memset(head, 0, offsetof(struct http1_head, token));
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
    struct http1_head line = {0};
    uint32_t end = line_end(data, 0, bytes);
    if (!end)
        return true;
    uint32_t length = without_line_end(data, 0, end);
    return direction == TO_SERVER ? request_line(&line, data, length)
                                  : status_line(&line, data, length);
}
