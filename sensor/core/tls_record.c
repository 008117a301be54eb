/* Where records begin and end in the bytes of a direction. A record that lies whole in what came is
 * opened where it lies; one in parts is put together first. */
#include "tls_session.h"

#include <string.h>

#include "tls_wire.h"

enum {
    CLEAR_SCAN_BYTES = 8 << 10, /* how far into clear bytes a new handshake is looked for */
    RECORD_BYTES_MIN = 22,      /* a header, a byte and a tag: what a gap holds at least, each */
    GAP_RECORDS_MAX = 1 << 20,
    SEEK_RECORDS_MAX = 64, /* what may look like a record and not be ours, after a gap */
};

struct cursor {
    const uint8_t *data;
    uint32_t bytes;
};

static void advance(struct cursor *at, uint32_t bytes)
{
    if (bytes)
        at->data += bytes;
    at->bytes -= bytes;
}

enum fit { FIT_NO, FIT_RECORD, FIT_TOO_LONG };

/* Whether up to 5 bytes may be the header of a record. */
static enum fit header_fit(const uint8_t *data, uint32_t bytes)
{
    if (bytes > 0 && (data[0] < CONTENT_CHANGE_CIPHER_SPEC || data[0] > CONTENT_HEARTBEAT))
        return FIT_NO;
    if ((bytes > 1 && data[1] != 3) || (bytes > 2 && data[2] > 4))
        return FIT_NO;
    if (bytes >= TLS_HEADER_BYTES && wire_u16(data + 3) > TLS_BODY_BYTES_MAX)
        return FIT_TOO_LONG;
    return FIT_RECORD;
}

int tls_like_hello(const uint8_t *data, uint32_t bytes, uint8_t type)
{
    static const uint8_t fixed[TLS_HELLO_BYTES] = {CONTENT_HANDSHAKE, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0};
    for (uint32_t i = 0; i < bytes && i < TLS_HELLO_BYTES; i++) {
        bool fits = i == 0 || i == 1 || i == 6 || i == 9 ? data[i] == fixed[i] : true;
        if (i == 2 || i == 10)
            fits = data[i] <= 4;
        if (i == 5)
            fits = data[i] == type;
        if (!fits)
            return -1;
    }
    if (bytes < TLS_HELLO_BYTES)
        return 0;
    uint32_t record = wire_u16(data + 3), message = 4 + wire_u24(data + 6);
    /* A ClientHello is alone in its record or longer; 2 + 32 + 1 + 2 + 1 bytes at least. */
    bool alone = type == HANDSHAKE_SERVER_HELLO || message >= record;
    return record >= TLS_HELLO_BYTES - TLS_HEADER_BYTES && record <= TLS_PLAIN_BYTES_MAX &&
                   message >= 42 && alone
               ? 1
               : -1;
}

enum tls_sniff tls_sniff(const uint8_t *data, uint32_t bytes)
{
    int hello = tls_like_hello(data, bytes, HANDSHAKE_CLIENT_HELLO);
    if (hello > 0)
        return TLS_SNIFF_HELLO;
    if (hello == 0)
        return TLS_SNIFF_MORE;
    if (header_fit(data, bytes) != FIT_RECORD)
        return TLS_SNIFF_NO;
    if (bytes < TLS_HEADER_BYTES)
        return TLS_SNIFF_MORE;
    return wire_u16(data + 3) ? TLS_SNIFF_RECORD : TLS_SNIFF_NO;
}

bool tls_must_park(const struct tls *tls, enum direction direction)
{
    return direction == tls->client && tls->side[direction].epoch == EPOCH_EARLY &&
           !tls->handshake.early_decided;
}

bool tls_must_unpark(const struct tls *tls, enum direction direction)
{
    return tls->parked.first && !tls->unparking && tls->handshake.early_decided &&
           direction != tls->client;
}

/* The handshake type that would be a beginning in this direction now. */
static uint8_t awaited_hello(const struct tls *tls, enum direction direction)
{
    bool server = tls->handshake.client_seen && !tls->handshake.server_seen &&
                  direction != tls->client && !tls->side[direction].blind;
    return server ? HANDSHAKE_SERVER_HELLO : HANDSHAKE_CLIENT_HELLO;
}

/* Bytes that are not of a record: handed on when they are in clear, else missed. */
static void pass(struct tls *tls, enum direction direction, const uint8_t *data, uint32_t bytes,
                 uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (!bytes)
        return;
    if (side->reading != READ_CLEAR) {
        side->missed_bytes += bytes;
        return;
    }
    side->clear_bytes += bytes < UINT32_MAX - side->clear_bytes ? bytes : 0;
    tls->shared->sink.clear(tls->context, direction, data, bytes, time_ns);
}

static void go_clear(struct tls *tls, enum direction direction, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (tls->handshake.client_seen)
        tls_tell_end(tls, direction, time_ns);
    side->reading = READ_CLEAR;
    side->clear_bytes = 0;
}

/* What stands where a record should: clear bytes of a peer that is done with TLS, as long as we
 * know that a record should begin here; else nothing we can name. The header of a record that
 * failed may have been as wrong as the rest of it. */
static void leave_records(struct tls *tls, enum direction direction, enum fit fit,
                          uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (fit == FIT_NO && side->blind != TLS_UNSEEN && side->blind != TLS_FAILED) {
        go_clear(tls, direction, time_ns);
        return;
    }
    tls_count(tls->shared->counters, COUNT_tls_malformed, 1);
    if (!side->blind)
        tls_blind(tls, direction, TLS_FAILED, time_ns);
    side->reading = READ_HELLO;
}

/* Moves bytes on until a hello begins; then its first bytes are in side->head. */
static bool find_hello(struct tls *tls, enum direction direction, struct cursor *at,
                       uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    uint8_t type = awaited_hello(tls, direction);
    while (at->bytes) {
        if (!side->head_bytes) {
            const uint8_t *found = memchr(at->data, CONTENT_HANDSHAKE, at->bytes);
            uint32_t before = found ? (uint32_t)(found - at->data) : at->bytes;
            pass(tls, direction, at->data, before, time_ns);
            advance(at, before);
            if (!found)
                return false;
        }
        side->head[side->head_bytes++] = *at->data;
        advance(at, 1);
        int like = tls_like_hello(side->head, side->head_bytes, type);
        if (like == 1)
            return true;
        while (like < 0) { /* the true beginning may lie further on in the head */
            pass(tls, direction, side->head, 1, time_ns);
            memmove(side->head, side->head + 1, --side->head_bytes);
            like = tls_like_hello(side->head, side->head_bytes, type);
        }
    }
    return false;
}

static bool read_hello(struct tls *tls, enum direction direction, struct cursor *at,
                       uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    side->missed_bytes += side->buffered; /* of a record that nobody will take any more */
    tls_buffer_drop(tls, side);
    if (side->reading == READ_CLEAR && side->clear_bytes >= CLEAR_SCAN_BYTES &&
        !side->head_bytes) {
        pass(tls, direction, at->data, at->bytes, time_ns);
        advance(at, at->bytes);
        return false;
    }
    if (!find_hello(tls, direction, at, time_ns))
        return false;
    uint8_t *buffer = tls_buffer_take(tls->secrets);
    if (!buffer) {
        tls_count(tls->shared->counters, COUNT_tls_memory_shed, 1);
        side->head_bytes = 0;
        return true;
    }
    if (awaited_hello(tls, direction) == HANDSHAKE_CLIENT_HELLO)
        tls_restart(tls, direction);
    side->reading = READ_RECORDS;
    side->buffer = buffer;
    side->buffered = side->head_bytes;
    memcpy(buffer, side->head, side->head_bytes);
    side->head_bytes = 0;
    return true;
}

/* Drops the first bytes of the buffer. */
static void shift(struct tls *tls, struct tls_side *side, uint32_t bytes)
{
    side->buffered -= bytes;
    if (!side->buffered)
        tls_buffer_drop(tls, side);
    else
        memmove(side->buffer, side->buffer + bytes, side->buffered);
}

static bool need_buffer(struct tls *tls, enum direction direction, struct cursor *at)
{
    struct tls_side *side = &tls->side[direction];
    if (side->buffer)
        return true;
    side->buffer = tls_buffer_take(tls->secrets);
    if (side->buffer)
        return true;
    tls_count(tls->shared->counters, COUNT_tls_memory_shed, 1);
    side->reading = READ_HELLO;
    side->missed_bytes += at->bytes;
    advance(at, at->bytes);
    return false;
}

static enum tls_step take_at(struct tls *tls, enum direction direction, const uint8_t *data,
                             uint64_t time_ns)
{
    struct tls_record record = {data, data + TLS_HEADER_BYTES, wire_u16(data + 3)};
    enum tls_step step = tls_take_record(tls, direction, record, time_ns);
    if (step == STEP_DONE) {
        tls_count(tls->shared->counters, COUNT_tls_records, 1);
        tls_count(tls->shared->counters, COUNT_tls_ciphertext_bytes,
                  TLS_HEADER_BYTES + record.bytes);
    }
    return step;
}

/* A record in parts. */
static bool read_parts(struct tls *tls, enum direction direction, struct cursor *at,
                       uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (!need_buffer(tls, direction, at))
        return false;
    for (;;) {
        uint32_t have = side->buffered;
        enum fit fit = header_fit(side->buffer, have);
        if (fit != FIT_RECORD) {
            leave_records(tls, direction, fit, time_ns);
            pass(tls, direction, side->buffer, side->buffered, time_ns);
            tls_buffer_drop(tls, side);
            return true;
        }
        uint32_t need = TLS_HEADER_BYTES;
        if (have >= TLS_HEADER_BYTES)
            need += wire_u16(side->buffer + 3);
        if (have < need) {
            uint32_t bytes = need - have < at->bytes ? need - have : at->bytes;
            if (!bytes)
                return false;
            memcpy(side->buffer + have, at->data, bytes);
            side->buffered += bytes;
            advance(at, bytes);
        } else if (have >= TLS_HEADER_BYTES) {
            if (take_at(tls, direction, side->buffer, time_ns) == STEP_WAIT)
                return false;
            shift(tls, side, need);
            return true;
        }
    }
}

static bool read_record(struct tls *tls, enum direction direction, struct cursor *at,
                        uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (side->buffered || (at->bytes && at->bytes < TLS_HEADER_BYTES))
        return read_parts(tls, direction, at, time_ns);
    if (!at->bytes)
        return false;
    enum fit fit = header_fit(at->data, at->bytes);
    if (fit != FIT_RECORD) {
        leave_records(tls, direction, fit, time_ns);
        return true;
    }
    uint32_t need = TLS_HEADER_BYTES + wire_u16(at->data + 3);
    if (need > at->bytes)
        return read_parts(tls, direction, at, time_ns);
    if (take_at(tls, direction, at->data, time_ns) == STEP_WAIT)
        return false;
    advance(at, need);
    return true;
}

/* The version in record headers is settled by now (RFC 8446 section 5.1), and content is sealed: in
 * TLS 1.3 as application data. A new handshake may begin in any version. */
static bool could_follow(const struct tls *tls, const uint8_t *data, uint32_t bytes)
{
    uint16_t version = tls->handshake.agreement.version;
    uint8_t minor = (uint8_t)(version == TLS_1_3 ? TLS_1_2 : version);
    if (header_fit(data, bytes) != FIT_RECORD)
        return false;
    if (data[0] == CONTENT_HANDSHAKE && tls_like_hello(data, bytes, HANDSHAKE_CLIENT_HELLO) >= 0)
        return true;
    if ((bytes > 2 && data[2] != minor) || (version == TLS_1_3 && data[0] != CONTENT_DATA))
        return false;
    return bytes < TLS_HEADER_BYTES || wire_u16(data + 3) > 0;
}

/* Nothing authenticates it, so only where none came yet: in a session under way it is sealed. */
static bool is_change_cipher(const struct tls *tls, const struct tls_side *side,
                             const uint8_t *data)
{
    return data[0] == CONTENT_CHANGE_CIPHER_SPEC && wire_u16(data + 3) == 1 && data[5] == 1 &&
           !tls_is_13(tls) && !side->sequence;
}

/* A whole candidate, `start` bytes into the buffer. */
static enum tls_step try_candidate(struct tls *tls, enum direction direction, uint32_t start,
                                   uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    const uint8_t *data = side->buffer + start;
    uint32_t end = start + TLS_HEADER_BYTES + wire_u16(data + 3);
    side->missed_bytes += start;
    if (is_change_cipher(tls, side, data)) {
        side->uncertain = false;
        tls_change_cipher(tls, direction, time_ns);
    } else {
        enum tls_step step = take_at(tls, direction, data, time_ns);
        if (step != STEP_DONE) {
            side->missed_bytes -= start;
            return step;
        }
    }
    side->reading = side->blind ? READ_HELLO : READ_RECORDS;
    side->tried = side->due = 0;
    if (!side->blind) {
        shift(tls, side, end);
        return STEP_DONE;
    }
    side->missed_bytes += side->buffered - end;
    tls_buffer_drop(tls, side);
    return STEP_DONE;
}

/* Tries every candidate that has become whole: one that is still in parts may be none, and what
 * looks like its body our records. Leaves in the buffer what begins with one in parts. */
static enum tls_step search(struct tls *tls, enum direction direction, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    bool again = side->buffered >= side->due || side->tried < TLS_HEADER_BYTES;
    uint32_t from = again ? 0 : side->tried - (TLS_HEADER_BYTES - 1);
    uint32_t due = again ? UINT32_MAX : side->due;
    uint32_t keep = again ? side->buffered : 0;
    for (uint32_t start = from; start < side->buffered; start++) {
        uint32_t have = side->buffered - start;
        if (!could_follow(tls, side->buffer + start, have))
            continue;
        bool whole = false;
        if (have >= TLS_HEADER_BYTES) {
            uint32_t end = start + TLS_HEADER_BYTES + wire_u16(side->buffer + start + 3);
            whole = end <= side->buffered;
            if (!whole && end < due)
                due = end;
            if (whole && end > side->tried) {
                enum tls_step step = try_candidate(tls, direction, start, time_ns);
                if (step != STEP_MISS)
                    return step;
            }
        }
        if (!whole && start < keep)
            keep = start;
    }
    side->missed_bytes += keep;
    if (keep)
        shift(tls, side, keep);
    side->tried = side->buffered;
    side->due = due == UINT32_MAX ? due : due - keep;
    return STEP_MISS;
}

static bool read_seek(struct tls *tls, enum direction direction, struct cursor *at,
                      uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (!need_buffer(tls, direction, at))
        return false;
    uint32_t room = TLS_RECORD_BYTES_MAX - side->buffered;
    uint32_t bytes = at->bytes < room ? at->bytes : room;
    if (bytes)
        memcpy(side->buffer + side->buffered, at->data, bytes);
    side->buffered += bytes;
    advance(at, bytes);
    switch (search(tls, direction, time_ns)) {
    case STEP_WAIT:
        return false;
    case STEP_MISS:
        return at->bytes > 0;
    default:
        return true;
    }
}

uint32_t tls_feed(struct tls *tls, enum direction direction, const uint8_t *data, uint32_t bytes,
                  uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    struct cursor at = {data, bytes};
    bool more = true;
    while (more && !tls->waiting && !tls_must_park(tls, direction) &&
           !tls_must_unpark(tls, direction)) {
        switch (side->reading) {
        case READ_RECORDS:
            more = read_record(tls, direction, &at, time_ns);
            break;
        case READ_SEEK:
            more = read_seek(tls, direction, &at, time_ns);
            break;
        default:
            more = read_hello(tls, direction, &at, time_ns);
        }
    }
    return bytes - at.bytes;
}

/* The session goes on after the gap, but which record comes next is not known. */
static void seek_after(struct tls *tls, enum direction direction, uint64_t bytes)
{
    struct tls_side *side = &tls->side[direction];
    uint64_t records = bytes / RECORD_BYTES_MIN + 1;
    side->slack += records < GAP_RECORDS_MAX ? records : GAP_RECORDS_MAX;
    side->broken = true;
    side->uncertain = true;
    side->doubts = SEEK_RECORDS_MAX;
    side->reading = READ_SEEK;
    if (side->epoch == EPOCH_PLAIN)
        side->epoch = EPOCH_TRAFFIC; /* only up to TLS 1.2; ChangeCipherSpec may be in the gap */
}

void tls_feed_gap(struct tls *tls, enum direction direction, uint64_t bytes, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    const struct tls_handshake *handshake = &tls->handshake;
    side->head_bytes = 0;
    if (side->reading == READ_CLEAR) {
        tls->shared->sink.gap(tls->context, direction, bytes, time_ns);
        return;
    }
    side->missed_bytes += bytes + side->buffered;
    tls_buffer_drop(tls, side);
    tls_message_clear(tls, side);
    bool sealed = side->epoch != EPOCH_PLAIN;
    bool chained = side->cipher && !tls_cipher_seekable(side->cipher);
    if (side->reading == READ_HELLO)
        return;
    if (!sealed && !(handshake->client_seen && handshake->server_seen))
        tls_lose(tls, time_ns);
    else if (side->blind || chained || handshake->agreement.version == TLS_1_0) {
        if (!side->blind)
            tls_blind(tls, direction, TLS_FAILED, time_ns);
        side->slack += bytes / RECORD_BYTES_MIN + 1;
        side->reading = READ_HELLO;
    } else {
        seek_after(tls, direction, bytes);
    }
    tls_tell_gap(tls, direction, time_ns);
}

void tls_feed_end(struct tls *tls, enum direction direction, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (side->reading == READ_CLEAR) {
        pass(tls, direction, side->head, side->head_bytes, time_ns);
        side->head_bytes = 0;
        side->ended = false;
    } else if (side->reading != READ_RECORDS || side->blind) {
        side->missed_bytes += side->buffered;
    }
    /* Else a FIN or reset inside a record: its rest was never sent, which is no loss of ours. */
    tls_buffer_drop(tls, side);
    tls_tell_end(tls, direction, time_ns);
}
