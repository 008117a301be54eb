#include "http_head.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "hash64.h"
#include "interest_match.h"

void http_head_clear(struct http_head *head)
{
    memset(head, 0, offsetof(struct http_head, token));
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice http_head_trim(const uint8_t *at, const uint8_t *end)
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
    *member = http_head_trim(list->data, comma ? comma : end);
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

static void content_encoding(struct http_head *head, struct slice value)
{
    struct slice member;
    while (next_member(&value, &member))
        add_coding(&head->content, member);
}

static void transfer_encoding(struct http_head *head, struct slice value)
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
static void content_length(struct http_head *head, struct slice value)
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

static void add_token(struct http_head *head, struct slice value)
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
static void cookies(struct http_head *head, const struct interest *interest, struct slice value,
                    bool only_first)
{
    const uint8_t *at = value.data, *end = at + value.bytes;
    while (at < end) {
        const uint8_t *semicolon = memchr(at, ';', (size_t)(end - at));
        const uint8_t *stop = semicolon ? semicolon : end;
        const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
        if (equals) {
            struct slice name = http_head_trim(at, equals);
            struct slice content = http_head_trim(equals + 1, stop);
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
    struct slice type = http_head_trim(value.data, end);
    return type.bytes >= 3 && strncasecmp((const char *)type.data + type.bytes - 3, "xml", 3) == 0;
}

/* Most lines are told apart by length and first letter, without comparing the name. */
void http_head_field(struct http_head *head, const struct interest *interest,
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
    case 7 << 8 | 'u':
        if (slice_is(name, "upgrade"))
            head->h2c = slice_is(value, "h2c");
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
