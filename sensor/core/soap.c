#include "soap.h"

#include <stdbool.h>
#include <string.h>

enum {
    STATE_START,
    STATE_TEXT,
    STATE_MARKUP,
    STATE_TAG,
    STATE_COMMENT,
    STATE_CDATA,
    STATE_INSTRUCTION
};
enum { SECTION_OTHER, SECTION_HEADER, SECTION_BODY };
enum { READING_NOTHING, READING_OPERATION_ID, READING_THIS };
/* Text is used when it is one run of characters, or one CDATA section; a mixture is SPOILT: half of
 * an id would be another id. */
enum { TEXT_PLAIN, TEXT_CDATA, TEXT_SPOILT };
enum { CDATA_OPEN_BYTES = 9, CDATA_CLOSE_BYTES = 3 };
/* Elements open where one of these begins. */
enum { DEPTH_ENVELOPE, DEPTH_SECTION, DEPTH_ENTRY, DEPTH_ARGUMENT };

struct text {
    const uint8_t *data;
    uint32_t bytes;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool span_is(const uint8_t *body, struct soap_span span, const char *word)
{
    return span.bytes == strlen(word) && memcmp(body + span.at, word, span.bytes) == 0;
}

static bool is_blank(const uint8_t *body, uint32_t at, uint32_t end)
{
    while (at < end && is_space(body[at]))
        at++;
    return at == end;
}

static struct soap_span trimmed(const uint8_t *body, uint32_t at, uint32_t end)
{
    while (at < end && is_space(body[at]))
        at++;
    while (end > at && is_space(body[end - 1]))
        end--;
    uint32_t bytes = end - at;
    return (struct soap_span){at, bytes <= SOAP_TEXT_BYTES_MAX ? bytes : 0};
}

/* Optional byte order mark and white space before the first markup. */
static enum soap_verdict scan_start(struct soap_scan *scan, struct text body)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    if (scan->at == 0 && body.bytes && body.data[0] == mark[0]) {
        uint32_t compared = body.bytes < sizeof mark ? body.bytes : sizeof mark;
        if (memcmp(body.data, mark, compared) != 0)
            return SOAP_NONE;
        if (compared < sizeof mark)
            return SOAP_MORE;
        scan->at = sizeof mark;
    }
    while (scan->at < body.bytes && is_space(body.data[scan->at]))
        scan->at++;
    if (scan->at == body.bytes)
        return SOAP_MORE;
    if (body.data[scan->at] != '<')
        return SOAP_NONE;
    scan->state = STATE_TEXT;
    return SOAP_FOUND;
}

/* Past the next `end` (2 or 3 characters), or as far as it cannot have begun yet. */
static bool skip_past(struct soap_scan *scan, struct text body, const char *end)
{
    size_t length = strlen(end);
    const uint8_t *found = memmem(body.data + scan->at, body.bytes - scan->at, end, length);
    if (found) {
        scan->at = (uint32_t)(found - body.data) + (uint32_t)length;
        return true;
    }
    if (body.bytes - scan->at >= length)
        scan->at = body.bytes - (uint32_t)length + 1;
    return false;
}

/* What the markup at scan->markup is. False: not enough bytes to tell. */
static bool scan_markup(struct soap_scan *scan, struct text body, bool *broken)
{
    const uint8_t *at = body.data + scan->markup + 1;
    uint32_t left = body.bytes - scan->markup - 1;
    if (!left)
        return false;
    scan->at = scan->markup + 1;
    if (*at == '?') {
        scan->state = STATE_INSTRUCTION;
        scan->at = scan->markup + 2;
    } else if (*at != '!') {
        scan->state = STATE_TAG;
    } else {
        uint32_t compared = left < 8 ? left : 8;
        bool comment = memcmp(at, "!--", compared < 3 ? compared : 3) == 0;
        bool cdata = memcmp(at, "![CDATA[", compared) == 0;
        if (comment && left >= 3) {
            scan->state = STATE_COMMENT;
            scan->at = scan->markup + 4;
        } else if (cdata && left >= 8) {
            scan->state = STATE_CDATA;
            scan->at = scan->markup + CDATA_OPEN_BYTES;
        } else {
            /* A document type is not allowed in SOAP, and its entities could rewrite the rest. */
            *broken = !comment && !cdata;
            return false;
        }
    }
    return true;
}

/* Moves past the '>' that ends a tag: not one inside an attribute value. Outside of values tags are
 * short, so bytes are looked at singly there; what is stored in scan is stored once, for speed. */
static bool scan_tag(struct soap_scan *scan, struct text body)
{
    const uint8_t *at = body.data + scan->at, *end = body.data + body.bytes;
    uint8_t quote = scan->quote;
    bool ended = false;
    while (at < end && !ended) {
        if (quote) {
            at = memchr(at, quote, (size_t)(end - at));
            if (!at)
                break;
            at++;
            quote = 0;
            continue;
        }
        uint8_t c = *at++;
        ended = c == '>';
        if (c == '"' || c == '\'')
            quote = c;
    }
    scan->at = at ? (uint32_t)(at - body.data) : body.bytes;
    scan->quote = quote;
    return ended;
}

/* The name that begins at `at`, without its prefix. */
static struct soap_span local_name(const uint8_t *body, uint32_t at, uint32_t end)
{
    uint32_t start = at;
    for (; at < end; at++) {
        uint8_t c = body[at];
        if (is_space(c) || c == '/' || c == '>' || c == '=')
            break;
        if (c == ':')
            start = at + 1;
    }
    uint32_t bytes = at - start;
    return (struct soap_span){start, bytes <= SOAP_TEXT_BYTES_MAX ? bytes : 0};
}

/* Value of the attribute `type` without a prefix, in the tag whose inside is [at, end). */
static struct soap_span type_attribute(const uint8_t *body, uint32_t at, uint32_t end)
{
    while (at < end && !is_space(body[at]))
        at++;
    while (at < end) {
        while (at < end && is_space(body[at]))
            at++;
        uint32_t name = at;
        while (at < end && body[at] != '=' && !is_space(body[at]))
            at++;
        struct soap_span span = {name, at - name};
        while (at < end && body[at] != '"' && body[at] != '\'')
            at++;
        if (at == end)
            break;
        uint8_t quote = body[at++];
        const uint8_t *close = memchr(body + at, quote, end - at);
        if (!close)
            break;
        uint32_t value_end = (uint32_t)(close - body);
        if (span_is(body, span, "type"))
            return trimmed(body, at, value_end);
        at = value_end + 1;
    }
    return (struct soap_span){0};
}

static void start_text(struct soap_scan *scan, uint8_t reading)
{
    scan->reading = reading;
    scan->text = TEXT_PLAIN;
    scan->text_at = scan->at;
}

static enum soap_verdict start_argument(struct soap_scan *scan, const uint8_t *body,
                                        struct soap_span name, bool empty)
{
    if (!span_is(body, name, "_this"))
        return SOAP_FOUND;
    scan->this_type = type_attribute(body, scan->markup + 1, scan->at - 1 - empty);
    if (empty)
        return SOAP_FOUND;
    start_text(scan, READING_THIS);
    return SOAP_MORE;
}

static enum soap_verdict start_entry(struct soap_scan *scan, const uint8_t *body,
                                     struct soap_span name, bool empty)
{
    if (scan->section == SECTION_BODY) {
        scan->operation = name;
        scan->operation_at = scan->markup;
        return empty ? SOAP_FOUND : SOAP_MORE;
    }
    if (scan->section == SECTION_HEADER && !empty && !scan->operation_id.bytes &&
        span_is(body, name, "operationID"))
        start_text(scan, READING_OPERATION_ID);
    return SOAP_MORE;
}

static enum soap_verdict start_element(struct soap_scan *scan, const uint8_t *body)
{
    bool empty = body[scan->at - 2] == '/';
    struct soap_span name = local_name(body, scan->markup + 1, scan->at);
    if (!name.bytes)
        return SOAP_NONE;
    scan->text = TEXT_SPOILT;
    enum soap_verdict verdict = SOAP_MORE;
    if (scan->depth == DEPTH_ENVELOPE) {
        verdict = span_is(body, name, "Envelope") && !empty ? SOAP_MORE : SOAP_NONE;
    } else if (scan->depth == DEPTH_SECTION) {
        scan->section = span_is(body, name, "Header") ? SECTION_HEADER
                        : span_is(body, name, "Body") ? SECTION_BODY
                                                      : SECTION_OTHER;
        if (empty && scan->section == SECTION_BODY)
            verdict = SOAP_NONE;
    } else if (scan->depth == DEPTH_ENTRY) {
        verdict = start_entry(scan, body, name, empty);
    } else if (scan->depth == DEPTH_ARGUMENT && scan->section == SECTION_BODY) {
        verdict = start_argument(scan, body, name, empty);
    }
    if (!empty && ++scan->depth == UINT16_MAX)
        return SOAP_NONE;
    return verdict;
}

static void end_text(struct soap_scan *scan, const uint8_t *body)
{
    struct soap_span text = {0};
    if (scan->text == TEXT_PLAIN)
        text = trimmed(body, scan->text_at, scan->markup);
    else if (scan->text == TEXT_CDATA && is_blank(body, scan->text_at, scan->markup))
        text = scan->cdata;
    if (scan->reading == READING_OPERATION_ID)
        scan->operation_id = text;
    else if (scan->reading == READING_THIS)
        scan->this_id = text;
    scan->reading = READING_NOTHING;
}

/* The end of the operation, or of its first argument, decides. */
static enum soap_verdict end_element(struct soap_scan *scan, const uint8_t *body)
{
    if (scan->depth == 0)
        return SOAP_NONE;
    scan->depth--;
    if (scan->depth == DEPTH_ENTRY || scan->depth == DEPTH_ARGUMENT)
        end_text(scan, body);
    if (scan->section == SECTION_BODY && scan->depth >= DEPTH_ENTRY)
        return scan->depth <= DEPTH_ARGUMENT ? SOAP_FOUND : SOAP_MORE;
    if (scan->section == SECTION_BODY)
        return SOAP_NONE;
    return scan->depth == DEPTH_ENVELOPE ? SOAP_NONE : SOAP_MORE;
}

static enum soap_verdict end_tag(struct soap_scan *scan, const uint8_t *body)
{
    scan->state = STATE_TEXT;
    if (body[scan->markup + 1] == '/')
        return end_element(scan, body);
    return start_element(scan, body);
}

static void end_cdata(struct soap_scan *scan, const uint8_t *body)
{
    bool first = scan->text == TEXT_PLAIN && is_blank(body, scan->text_at, scan->markup);
    scan->text = first ? TEXT_CDATA : TEXT_SPOILT;
    scan->cdata = trimmed(body, scan->markup + CDATA_OPEN_BYTES, scan->at - CDATA_CLOSE_BYTES);
    scan->text_at = scan->at;
}

static const char *terminator(uint8_t state)
{
    return state == STATE_COMMENT ? "-->" : state == STATE_CDATA ? "]]>" : "?>";
}

static enum soap_verdict scan_step(struct soap_scan *scan, struct text body, bool *stuck)
{
    bool broken = false;
    switch (scan->state) {
    case STATE_START: {
        enum soap_verdict verdict = scan_start(scan, body);
        *stuck = verdict == SOAP_MORE;
        return verdict == SOAP_NONE ? SOAP_NONE : SOAP_MORE;
    }
    case STATE_TEXT: {
        const uint8_t *found = memchr(body.data + scan->at, '<', body.bytes - scan->at);
        *stuck = !found;
        scan->at = found ? (uint32_t)(found - body.data) : body.bytes;
        scan->markup = scan->at;
        scan->state = found ? STATE_MARKUP : STATE_TEXT;
        return SOAP_MORE;
    }
    case STATE_MARKUP:
        *stuck = !scan_markup(scan, body, &broken);
        return broken ? SOAP_NONE : SOAP_MORE;
    case STATE_TAG:
        *stuck = !scan_tag(scan, body);
        return *stuck ? SOAP_MORE : end_tag(scan, body.data);
    default:
        *stuck = !skip_past(scan, body, terminator(scan->state));
        if (*stuck)
            return SOAP_MORE;
        if (scan->state == STATE_CDATA)
            end_cdata(scan, body.data);
        else
            scan->text = TEXT_SPOILT;
        scan->state = STATE_TEXT;
        return SOAP_MORE;
    }
}

enum soap_verdict soap_scan(struct soap_scan *scan, const uint8_t *body, uint32_t bytes)
{
    struct text text = {body, bytes < SOAP_SCAN_BYTES_MAX ? bytes : SOAP_SCAN_BYTES_MAX};
    for (;;) {
        bool stuck = false;
        enum soap_verdict verdict = scan_step(scan, text, &stuck);
        if (verdict != SOAP_MORE)
            return verdict;
        if (stuck)
            return bytes >= SOAP_SCAN_BYTES_MAX ? SOAP_NONE : SOAP_MORE;
    }
}
