#include "body.h"

#include <string.h>
#include <zlib.h>

#include "block.h"

enum {
    PIECE_BYTES = 4096,
    /* With several codings the inner ones could be fed endless output that ends up as nothing: an
     * inner stream may be this many times the limit, and no more. */
    INNER_EXPANSION_MAX = 4,
    ZLIB_HEAD_BYTES = 2,
    EXPECTED_BYTES_MAX = 64 * 1024, /* a peer's word alone takes no more memory */
};

struct inflater {
    z_stream stream;
    uint64_t produced;
    uint8_t coding;
    uint8_t head[ZLIB_HEAD_BYTES];
    uint8_t head_bytes;
    bool started, ended;
    bool between; /* a gzip member is complete, and nothing has come after it */
};

/* zlib's memory holds body bytes too. */
static voidpf take(voidpf opaque, uInt items, uInt size)
{
    return block_take(opaque, (size_t)items * size);
}

static void give(voidpf opaque, voidpf contents)
{
    block_give(opaque, contents);
}

static void stop(struct body *body, enum counter why)
{
    if (!body->stopped)
        count(body->counters, why, 1);
    body->stopped = true;
    body->cut = true;
}

void body_open(struct body *body, const struct codings *codings, uint64_t limit_bytes,
               struct budget *budget, struct counters *counters)
{
    *body = (struct body){.budget = budget, .counters = counters};
    body->limit_bytes = limit_bytes < UINT32_MAX ? (uint32_t)limit_bytes : UINT32_MAX;
    for (uint8_t i = 0; i < codings->count; i++) {
        if (codings->coding[i] == CODING_OTHER) {
            stop(body, COUNT_http_body_undecodable);
            return;
        }
    }
    for (uint8_t i = 0; i < codings->count; i++) {
        struct inflater *inflater = block_take(budget, sizeof *inflater);
        if (!inflater) {
            stop(body, COUNT_memory_shed);
            return;
        }
        *inflater = (struct inflater){.coding = codings->coding[i]};
        inflater->stream.zalloc = take;
        inflater->stream.zfree = give;
        inflater->stream.opaque = budget;
        body->inflater[i] = inflater;
        body->stages++;
    }
}

void body_expect(struct body *body, uint64_t bytes)
{
    if (body->stages || body->stopped || !bytes)
        return;
    uint32_t room = bytes < EXPECTED_BYTES_MAX ? (uint32_t)bytes : EXPECTED_BYTES_MAX;
    kept_expect(&body->kept, body->budget, room < body->limit_bytes ? room : body->limit_bytes);
}

static void keep(struct body *body, const uint8_t *data, uint32_t bytes)
{
    uint32_t room = body->limit_bytes - body->kept.bytes;
    uint32_t kept = bytes < room ? bytes : room;
    if (!kept_append(&body->kept, body->budget, data, kept))
        stop(body, COUNT_memory_shed);
    else if (kept < bytes)
        stop(body, COUNT_http_body_cut);
}

/* RFC 9110 section 8.4.1.2: "deflate" is zlib's format, but some send it without zlib's two bytes.
 * RFC 1950 section 2.2: method 8 in the low nibble, and the two bytes divide by 31. */
static int start(struct inflater *inflater)
{
    const uint8_t *head = inflater->head;
    int window = MAX_WBITS + 32; /* gzip or zlib, by its header */
    if (inflater->coding == CODING_DEFLATE)
        window = (head[0] & 0x0f) == Z_DEFLATED && (head[0] << 8 | head[1]) % 31 == 0 ? MAX_WBITS
                                                                                      : -MAX_WBITS;
    inflater->started = true;
    return inflateInit2(&inflater->stream, window);
}

static void push(struct body *body, uint8_t stage, const uint8_t *data, uint32_t bytes);

/* RFC 1952 section 2.2: a gzip file is a series of members. What is no member after the last is
 * padding. */
static void next_member(struct inflater *inflater)
{
    if (inflater->coding != CODING_GZIP)
        inflater->ended = true;
    else if (!inflater->stream.avail_in)
        inflater->between = true;
    else if (*inflater->stream.next_in != 0x1f || inflateReset(&inflater->stream) != Z_OK)
        inflater->ended = true;
    else
        inflater->between = false;
}

static void inflated(struct body *body, uint8_t stage, const uint8_t *data, uint32_t bytes)
{
    struct inflater *inflater = body->inflater[stage];
    inflater->produced += bytes;
    if (stage > 0 && inflater->produced > (uint64_t)body->limit_bytes * INNER_EXPANSION_MAX)
        stop(body, COUNT_http_body_cut);
    else
        push(body, stage, data, bytes);
}

static void inflate_all(struct body *body, uint8_t stage, const uint8_t *data, uint32_t bytes)
{
    struct inflater *inflater = body->inflater[stage];
    uint8_t piece[PIECE_BYTES];
    inflater->stream.next_in = (z_const Bytef *)data;
    inflater->stream.avail_in = bytes;
    if (inflater->between)
        next_member(inflater);
    while (!body->stopped && !inflater->ended) {
        inflater->stream.next_out = piece;
        inflater->stream.avail_out = sizeof piece;
        int verdict = inflate(&inflater->stream, Z_NO_FLUSH);
        uint32_t made = (uint32_t)sizeof piece - inflater->stream.avail_out;
        if (made)
            inflated(body, stage, piece, made);
        if (verdict == Z_STREAM_END)
            next_member(inflater);
        else if (verdict == Z_MEM_ERROR)
            stop(body, COUNT_memory_shed);
        else if (verdict != Z_OK && verdict != Z_BUF_ERROR)
            stop(body, COUNT_http_body_undecodable);
        if (inflater->between || verdict == Z_BUF_ERROR ||
            (verdict == Z_OK && inflater->stream.avail_out))
            break; /* wants more input */
    }
    explicit_bzero(piece, sizeof piece);
}

static void decode(struct body *body, uint8_t stage, const uint8_t *data, uint32_t bytes)
{
    struct inflater *inflater = body->inflater[stage];
    if (!inflater->started) {
        while (bytes && inflater->head_bytes < ZLIB_HEAD_BYTES) {
            inflater->head[inflater->head_bytes++] = *data++;
            bytes--;
        }
        if (inflater->head_bytes < ZLIB_HEAD_BYTES)
            return;
        if (start(inflater) != Z_OK) {
            stop(body, COUNT_memory_shed);
            return;
        }
        inflate_all(body, stage, inflater->head, ZLIB_HEAD_BYTES);
    }
    if (bytes)
        inflate_all(body, stage, data, bytes);
}

/* Through the stages below `stage`, the last coding applied being the first undone. */
static void push(struct body *body, uint8_t stage, const uint8_t *data, uint32_t bytes)
{
    if (body->stopped)
        return;
    if (stage == 0)
        keep(body, data, bytes);
    else
        decode(body, stage - 1, data, bytes);
}

void body_append(struct body *body, const uint8_t *data, uint32_t bytes)
{
    push(body, body->stages, data, bytes);
}

void body_gap(struct body *body)
{
    body->stopped = true;
}

void body_end(struct body *body)
{
    for (uint8_t i = 0; i < body->stages; i++) {
        const struct inflater *inflater = body->inflater[i];
        if (inflater->head_bytes && !inflater->ended && !inflater->between && !body->stopped)
            stop(body, COUNT_http_body_undecodable);
    }
}

void body_free(struct body *body)
{
    for (uint8_t i = 0; i < body->stages; i++) {
        if (body->inflater[i]->started)
            inflateEnd(&body->inflater[i]->stream);
        block_give(body->budget, body->inflater[i]);
    }
    kept_free(&body->kept, body->budget);
    *body = (struct body){0};
}
