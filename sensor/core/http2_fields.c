#include "http2_fields.h"

#include <stdio.h>
#include <string.h>

#include "block.h"

enum {
    /* Browsers allow their peers 64 KiB; what an encoder takes beyond this is not followed. */
    TABLE_BYTES_MAX = 1024 * 1024,
    LINE_MARKS_BYTES = 4, /* ": " and the line end */
};

static void *take(size_t bytes, void *budget)
{
    return block_take(budget, bytes);
}

static void *take_zeroed(size_t items, size_t size, void *budget)
{
    if (size && items > SIZE_MAX / size)
        return NULL;
    void *taken = block_take(budget, items * size);
    if (taken)
        memset(taken, 0, items * size);
    return taken;
}

static void *resize(void *taken, size_t bytes, void *budget)
{
    return block_resize(budget, taken, bytes);
}

static void give(void *taken, void *budget)
{
    block_give(budget, taken);
}

/* How large the table is, the encoder says in its blocks (RFC 7541 section 6.3): what its peer
 * allowed it in SETTINGS bounds it and is not needed to follow it. */
bool http2_fields_open(struct http2_fields *fields, const struct protocol_shared *shared,
                       enum direction direction)
{
    fields->shared = shared;
    fields->direction = (uint8_t)direction;
    fields->memory = (nghttp2_mem){shared->budget, take, give, take_zeroed, resize};
    if (nghttp2_hd_inflate_new2(&fields->inflater, &fields->memory) == 0 &&
        nghttp2_hd_inflate_change_table_size(fields->inflater, TABLE_BYTES_MAX) == 0)
        return true;
    count(shared->counters, COUNT_memory_shed, 1);
    return false;
}

void http2_fields_forget(struct http2_fields *fields)
{
    struct budget *budget = fields->shared->budget;
    kept_free(&fields->lines, budget);
    kept_free(&fields->cookies, budget);
    kept_free(&fields->pseudo, budget);
}

void http2_fields_begin(struct http2_fields *fields, bool wanted)
{
    http_head_clear(&fields->head);
    fields->bytes = 0;
    fields->seen_pseudo = 0;
    fields->wanted = wanted;
    fields->regular = fields->bad = fields->tunnel = false;
}

static void add_text(struct http2_fields *fields, struct kept *kept, const void *text,
                     size_t bytes)
{
    if (fields->bad || kept_append(kept, fields->shared->budget, text, (uint32_t)bytes))
        return;
    count(fields->shared->counters, COUNT_memory_shed, 1);
    fields->bad = true;
}

static void add_line(struct http2_fields *fields, struct slice name, struct slice value)
{
    add_text(fields, &fields->lines, name.data, name.bytes);
    add_text(fields, &fields->lines, ": ", 2);
    add_text(fields, &fields->lines, value.data, value.bytes);
    add_text(fields, &fields->lines, "\r\n", 2);
}

static bool is_word(struct slice slice, const char *word)
{
    return slice.bytes == strlen(word) && memcmp(slice.data, word, slice.bytes) == 0;
}

static struct slice slice_of(const char *text)
{
    return (struct slice){(const uint8_t *)text, (uint32_t)strlen(text)};
}

/* RFC 9113 section 8.3: before all other fields, each once. */
static void add_pseudo(struct http2_fields *fields, struct slice name, struct slice value)
{
    static const char *const names[PSEUDOS] = {":method", ":path",     ":authority",
                                               ":scheme", ":protocol", ":status"};
    uint8_t which = 0;
    while (which < PSEUDOS && !is_word(name, names[which]))
        which++;
    bool of_response = which == PSEUDO_STATUS;
    if (which == PSEUDOS || fields->regular || (fields->seen_pseudo & 1u << which) ||
        of_response != (fields->direction == TO_CLIENT)) {
        fields->bad = true;
        return;
    }
    fields->seen_pseudo |= (uint8_t)(1u << which);
    fields->pseudo_at[which] = fields->pseudo.bytes;
    fields->at_pseudo[which].bytes = value.bytes;
    add_text(fields, &fields->pseudo, value.data, value.bytes);
    if (which == PSEUDO_AUTHORITY)
        add_line(fields, slice_of("host"), value);
    if (which == PSEUDO_PROTOCOL)
        add_line(fields, slice_of("upgrade"), value);
}

/* RFC 9113 section 8.2.1: neither may hold what would end a line in HTTP/1. */
static bool is_plain(struct slice name, struct slice value)
{
    for (uint32_t i = 0; i < name.bytes; i++) {
        uint8_t c = name.data[i];
        if (c <= ' ' || c >= 0x7f || (c == ':' && i))
            return false;
    }
    for (uint32_t i = 0; i < value.bytes; i++) {
        uint8_t c = value.data[i];
        if (c == '\r' || c == '\n' || c == '\0')
            return false;
    }
    return name.bytes != 0;
}

/* RFC 9113 section 8.2.3: crumbs of one header. */
static void add_cookie(struct http2_fields *fields, struct slice value)
{
    if (fields->cookies.bytes)
        add_text(fields, &fields->cookies, "; ", 2);
    add_text(fields, &fields->cookies, value.data, value.bytes);
}

static void add_field(struct http2_fields *fields, struct slice name, struct slice value)
{
    const struct protocol_shared *shared = fields->shared;
    enum direction direction = fields->direction;
    fields->bytes += (uint64_t)name.bytes + value.bytes + LINE_MARKS_BYTES;
    value = http_head_trim(value.data, value.data + value.bytes);
    if (fields->bytes > shared->limits->http_head_bytes_max || !is_plain(name, value)) {
        fields->bad = true;
        return;
    }
    if (name.data[0] == ':') {
        add_pseudo(fields, name, value);
        return;
    }
    fields->regular = true;
    if (direction == TO_SERVER && is_word(name, "cookie"))
        add_cookie(fields, value);
    else
        add_line(fields, name, value);
    /* RFC 9113 section 8.2.2: means nothing here. */
    if (!is_word(name, "transfer-encoding"))
        http_head_field(&fields->head, shared->interest, direction, name, value);
}

static enum fields_verdict inflate(struct http2_fields *fields, const uint8_t *data,
                                   uint32_t bytes, bool final)
{
    for (;;) {
        nghttp2_nv field;
        int flags = 0;
        ssize_t taken =
            nghttp2_hd_inflate_hd2(fields->inflater, &field, &flags, data, bytes, final);
        if (taken < 0)
            return taken == NGHTTP2_ERR_NOMEM ? FIELDS_SHORT : FIELDS_BROKEN;
        data += taken;
        bytes -= (uint32_t)taken;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            struct slice name = {field.name, (uint32_t)field.namelen};
            struct slice value = {field.value, (uint32_t)field.valuelen};
            if (fields->wanted && !fields->bad)
                add_field(fields, name, value);
        } else if (!bytes) {
            return FIELDS_FINE;
        }
    }
}

enum fields_verdict http2_fields_add(struct http2_fields *fields, const uint8_t *data,
                                     uint32_t bytes)
{
    return bytes ? inflate(fields, data, bytes, false) : FIELDS_FINE;
}

enum fields_verdict http2_fields_end(struct http2_fields *fields)
{
    static const uint8_t nothing;
    enum fields_verdict verdict = inflate(fields, &nothing, 0, true);
    if (verdict == FIELDS_FINE)
        nghttp2_hd_inflate_end_headers(fields->inflater);
    return verdict;
}

static bool has(const struct http2_fields *fields, enum http2_pseudo which)
{
    return fields->seen_pseudo & 1u << which;
}

static bool set_status(struct http2_fields *fields)
{
    struct slice text = fields->at_pseudo[PSEUDO_STATUS];
    uint16_t status = 0;
    for (uint32_t i = 0; i < text.bytes && i < 3; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        status = (uint16_t)(status * 10 + (text.data[i] - '0'));
    }
    fields->head.status = status;
    return has(fields, PSEUDO_STATUS) && text.bytes == 3 && status >= 100;
}

/* RFC 9113 sections 8.3.1 and 8.5. RFC 8441 section 5: CONNECT with a protocol is what GET with an
 * Upgrade is in HTTP/1, and is told as that. */
static bool set_request(struct http2_fields *fields)
{
    struct http_head *head = &fields->head;
    head->method = fields->at_pseudo[PSEUDO_METHOD];
    head->target = fields->at_pseudo[PSEUDO_PATH];
    if (!has(fields, PSEUDO_METHOD) || !head->method.bytes)
        return false;
    fields->tunnel = is_word(head->method, "CONNECT");
    if (fields->tunnel && has(fields, PSEUDO_PROTOCOL))
        head->method = slice_of("GET");
    else if (fields->tunnel)
        head->target = fields->at_pseudo[PSEUDO_AUTHORITY];
    return head->target.bytes != 0;
}

const struct http_head *http2_fields_head(struct http2_fields *fields)
{
    if (fields->cookies.bytes)
        add_line(fields, slice_of("cookie"),
                 (struct slice){fields->cookies.data, fields->cookies.bytes});
    for (int i = 0; i < PSEUDOS; i++) {
        if (has(fields, i) && fields->at_pseudo[i].bytes)
            fields->at_pseudo[i].data = fields->pseudo.data + fields->pseudo_at[i];
        else
            fields->at_pseudo[i] = (struct slice){0};
    }
    fields->head.lines = (struct slice){fields->lines.data, fields->lines.bytes};
    bool whole = fields->direction == TO_SERVER ? set_request(fields) : set_status(fields);
    if (whole && !fields->bad)
        return &fields->head;
    count(fields->shared->counters, COUNT_http_malformed, 1);
    return NULL;
}

void http2_fields_close(struct http2_fields *fields)
{
    if (!fields->inflater)
        return;
    http2_fields_forget(fields);
    nghttp2_hd_inflate_del(fields->inflater);
    fields->inflater = NULL;
}
