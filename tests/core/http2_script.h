/* Conversations in HTTP/2, frame by frame, as rows of conversation.h. */
#ifndef HOPTAP_HTTP2_SCRIPT_H
#define HOPTAP_HTTP2_SCRIPT_H

#include "conversation.h"

enum {
    DATA = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PUSH_PROMISE = 5,
    PING = 6,
    GOAWAY = 7,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9,
    END_STREAM = 1,
    ACK = 1,
    END_HEADERS = 4,
    PADDED = 8,
    PRIORITISED = 32,
    SCRIPT_BYTES_MAX = 1 << 16,
    BLOCK_BYTES_MAX = 1 << 15,
};

struct script {
    struct row row;
    int pieces;
    uint32_t used;
    char room[SCRIPT_BYTES_MAX];
};

/* Goes on with the last piece when that says something in the same direction. */
static inline void say(struct script *script, enum direction direction, const void *data,
                       uint32_t bytes)
{
    struct piece *last = script->row.pieces + script->pieces - 1;
    CHECK(bytes <= SCRIPT_BYTES_MAX - script->used);
    if (bytes)
        memcpy(script->room + script->used, data, bytes);
    if (!script->pieces || last->kind != PIECE_DATA || last->direction != direction) {
        CHECK(script->pieces < PIECES_MAX);
        last = script->row.pieces + script->pieces++;
        *last = (struct piece){PIECE_DATA, direction, script->room + script->used, 0};
    }
    last->bytes += bytes;
    script->used += bytes;
}

static inline void miss(struct script *script, enum direction direction, uint32_t bytes)
{
    CHECK(script->pieces < PIECES_MAX);
    script->row.pieces[script->pieces++] = (struct piece){PIECE_GAP, direction, NULL, bytes};
}

static inline void end(struct script *script, enum direction direction)
{
    CHECK(script->pieces < PIECES_MAX);
    script->row.pieces[script->pieces++] = (struct piece){PIECE_END, direction, NULL, 0};
}

static inline void frame_head(struct script *script, enum direction direction, uint8_t type,
                              uint8_t flags, uint32_t stream, uint32_t bytes)
{
    uint8_t head[] = {(uint8_t)(bytes >> 16),  (uint8_t)(bytes >> 8),  (uint8_t)bytes,
                      type,                    flags,                  (uint8_t)(stream >> 24),
                      (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    say(script, direction, head, sizeof head);
}

static inline void frame(struct script *script, enum direction direction, uint8_t type,
                         uint8_t flags, uint32_t stream, const void *payload, uint32_t bytes)
{
    frame_head(script, direction, type, flags, stream, bytes);
    say(script, direction, payload, bytes);
}

/* RFC 7541 section 5.1, with a prefix of 7 bits. */
static inline uint8_t *put_text(uint8_t *to, const char *text)
{
    size_t bytes = strlen(text), left = bytes;
    if (left < 127) {
        *to++ = (uint8_t)left;
    } else {
        *to++ = 127;
        for (left -= 127; left >= 128; left >>= 7)
            *to++ = (uint8_t)(left | 128);
        *to++ = (uint8_t)left;
    }
    memcpy(to, text, bytes);
    return to + bytes;
}

/* Names and values in turn, up to NULL, as literals; `how`: 0 without indexing, 0x40 with. */
static inline uint32_t put_fields(uint8_t *to, uint8_t how, const char *const *fields)
{
    uint8_t *at = to;
    for (; *fields; fields += 2) {
        *at++ = how;
        at = put_text(at, fields[0]);
        at = put_text(at, fields[1]);
    }
    return (uint32_t)(at - to);
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define GET(path) FIELDS(":method", "GET", ":scheme", "http", ":authority", "h", ":path", path)
#define POST(path) FIELDS(":method", "POST", ":scheme", "http", ":authority", "h", ":path", path)
#define STATUS(code) FIELDS(":status", code)

static inline void headers(struct script *script, enum direction direction, uint32_t stream,
                           uint8_t flags, const char *const *fields)
{
    static uint8_t block[BLOCK_BYTES_MAX];
    frame(script, direction, HEADERS, flags | END_HEADERS, stream, block,
          put_fields(block, 0, fields));
}

static inline void data(struct script *script, enum direction direction, uint32_t stream,
                        uint8_t flags, const char *text)
{
    frame(script, direction, DATA, flags, stream, text, (uint32_t)strlen(text));
}

/* A whole answer. */
static inline void answer(struct script *script, uint32_t stream, const char *text)
{
    headers(script, TO_CLIENT, stream, 0, STATUS("200"));
    data(script, TO_CLIENT, stream, END_STREAM, text);
}

static inline void begin_with_nothing(struct script *script, const char *name)
{
    script->row = (struct row){.name = name};
    script->pieces = 0;
    script->used = 0;
}

/* Prefaces of both ends, three pieces. */
static inline void prefaces(struct script *script)
{
    static const uint8_t settings[] = {0, 3, 0, 0, 0, 100};
    say(script, TO_SERVER, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    frame(script, TO_SERVER, SETTINGS, 0, 0, settings, sizeof settings);
    frame(script, TO_CLIENT, SETTINGS, 0, 0, settings, sizeof settings);
    frame(script, TO_CLIENT, SETTINGS, ACK, 0, NULL, 0);
    frame(script, TO_SERVER, SETTINGS, ACK, 0, NULL, 0);
}

static inline void begin(struct script *script, const char *name)
{
    begin_with_nothing(script, name);
    prefaces(script);
}

#endif
