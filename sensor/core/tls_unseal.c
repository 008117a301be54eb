/* One record at a time: opened, passed by, or refused. */
#include "tls_session.h"

#include <string.h>

#include "tls_wire.h"

enum {
    SEEK_TRIES_MAX = 512, /* sequence numbers tried for one record: at most 512 x 16 KiB, 2 ms */
    NONCE_JUMP_MAX = 1 << 24, /* records a gap may cost where the nonce tells how many */
    ALERT_CLOSE_NOTIFY = 0,
};

static void pass_by(struct tls *tls, enum direction direction, struct tls_record record)
{
    struct tls_side *side = &tls->side[direction];
    if (tls_is_13(tls))
        side->slack++; /* some are of the handshake, under another key */
    else
        side->sequence++;
    side->missed_bytes += TLS_HEADER_BYTES + record.bytes;
    tls_count(tls->shared->counters, COUNT_tls_records_undecrypted, 1);
    if (tls->letting_go)
        tls_count(tls->shared->counters, (enum tls_counter)(tls->letting_go - 1),
                  TLS_HEADER_BYTES + record.bytes);
}

static bool begins_anew(struct tls_record record)
{
    uint8_t start[TLS_HELLO_BYTES];
    if (record.header[0] != CONTENT_HANDSHAKE || record.bytes < TLS_HELLO_BYTES - TLS_HEADER_BYTES)
        return false;
    memcpy(start, record.header, TLS_HEADER_BYTES);
    memcpy(start + TLS_HEADER_BYTES, record.body, TLS_HELLO_BYTES - TLS_HEADER_BYTES);
    return tls_like_hello(start, TLS_HELLO_BYTES, HANDSHAKE_CLIENT_HELLO) == 1;
}

static enum tls_step start_over(struct tls *tls, enum direction direction,
                                struct tls_record record, uint64_t time_ns)
{
    tls_restart(tls, direction);
    return tls_take_record(tls, direction, record, time_ns);
}

/* Authentication failed for good: nothing after it can be trusted to be in its place. */
static void fail(struct tls *tls, enum direction direction, struct tls_record record,
                 uint64_t time_ns)
{
    tls_count(tls->shared->counters, COUNT_tls_authentication_failed, 1);
    pass_by(tls, direction, record);
    tls_tell_gap(tls, direction, time_ns);
    tls_blind(tls, direction, TLS_FAILED, time_ns);
}

static enum tls_step take_plain(struct tls *tls, enum direction direction,
                                struct tls_record record, uint64_t time_ns)
{
    struct tls_counters *counters = tls->shared->counters;
    if (!tls->handshake.client_seen && record.header[0] != CONTENT_HANDSHAKE)
        tls_lose(tls, time_ns);
    switch (record.header[0]) {
    case CONTENT_HANDSHAKE:
        if (!tls_handshake_bytes(tls, direction, (struct slice){record.body, record.bytes},
                                 time_ns)) {
            tls_count(counters, COUNT_tls_malformed, 1);
            tls_lose(tls, time_ns);
        }
        break;
    case CONTENT_CHANGE_CIPHER_SPEC:
        if (!tls_is_13(tls))
            tls_change_cipher(tls, direction, time_ns);
        break;
    case CONTENT_DATA:
        if (tls->handshake.retry && direction == tls->client)
            tls_count(counters, COUNT_tls_early_data_refused_bytes, record.bytes);
        tls_count(counters, COUNT_tls_records_undecrypted, 1);
        break;
    }
    return STEP_DONE;
}

static void take_data(struct tls *tls, enum direction direction, const uint8_t *plain,
                      uint32_t bytes, uint64_t time_ns)
{
    tls_announce(tls, time_ns);
    tls_tell_gap(tls, direction, time_ns);
    tls_count(tls->shared->counters, COUNT_tls_plaintext_bytes, bytes);
    if (bytes && !tls->side[direction].ended)
        tls->shared->sink.plaintext(tls->context, direction, plain, bytes, time_ns);
}

static void take_content(struct tls *tls, enum direction direction, uint8_t content,
                         struct slice plain, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    bool good = true;
    tls_count(tls->shared->counters, COUNT_tls_records_decrypted, 1);
    if (tls->info.visibility != TLS_DECRYPTED) {
        tls->info.visibility = TLS_DECRYPTED;
        tls->info_changed = true;
    }
    if (content == CONTENT_DATA && !(tls_is_13(tls) && side->epoch == EPOCH_HANDSHAKE))
        take_data(tls, direction, plain.data, plain.bytes, time_ns);
    else if (content == CONTENT_HANDSHAKE)
        good = tls_handshake_bytes(tls, direction, plain, time_ns);
    else if (content == CONTENT_ALERT && plain.bytes == 2)
        good = true;
    else if (content == CONTENT_CHANGE_CIPHER_SPEC && !tls_is_13(tls))
        tls_change_cipher(tls, direction, time_ns);
    else
        good = content == CONTENT_HEARTBEAT;
    if (!good)
        tls_count(tls->shared->counters, COUNT_tls_malformed, 1);
    tls_announce(tls, time_ns);
    if (content == CONTENT_ALERT && plain.bytes == 2 && plain.data[1] == ALERT_CLOSE_NOTIFY)
        tls_tell_end(tls, direction, time_ns);
}

static bool try_one(struct tls *tls, struct tls_cipher *cipher, uint64_t sequence,
                    struct tls_record record, uint32_t *bytes, uint8_t *content)
{
    return tls_cipher_record(cipher, sequence, record.header, record.body, record.bytes,
                             tls->secrets->plain, bytes, content);
}

/* The explicit nonce counts up from record to record, in every implementation we know of. */
static uint64_t nonce_of(struct tls_record record)
{
    uint64_t nonce = 0;
    for (uint32_t i = 0; i < 8 && record.bytes >= 8; i++)
        nonce = nonce << 8 | record.body[i];
    return nonce;
}

/* Tries what the next sequence number may be: authentication proves it. *ahead: it was of the epoch
 * after. */
static bool seek(struct tls *tls, enum direction direction, struct tls_record record,
                 uint64_t *sequence, bool *ahead, uint32_t *bytes, uint8_t *content)
{
    struct tls_side *side = &tls->side[direction];
    uint64_t low = side->sequence, span = side->slack;
    uint32_t tries = SEEK_TRIES_MAX;
    uint64_t jump = nonce_of(record) - side->nonce;
    *ahead = false;
    if (!tls_is_13(tls) && low && jump - 1 < NONCE_JUMP_MAX) {
        *sequence = low - 1 + jump;
        if (try_one(tls, side->cipher, *sequence, record, bytes, content))
            return true;
    }
    /* A secret that came late finds many records passed by; few were of the handshake. */
    bool handshake = side->epoch != EPOCH_TRAFFIC;
    uint64_t first_span = side->recovering && handshake && span > 16 ? 16 : span;
    for (uint64_t i = 0; i <= first_span && tries; i++, tries--) {
        *sequence = low + (side->recovering && !handshake ? span - i : i);
        if (try_one(tls, side->cipher, *sequence, record, bytes, content))
            return true;
    }
    if (!tls_arm_next(tls, direction))
        return false;
    *ahead = true;
    for (uint64_t i = 0; i <= span && tries; i++, tries--) {
        *sequence = side->recovering ? span - i : i;
        if (try_one(tls, side->next, *sequence, record, bytes, content))
            return true;
    }
    return false;
}

static enum tls_step not_found(struct tls *tls, enum direction direction,
                               struct tls_record record, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (begins_anew(record))
        return start_over(tls, direction, record, time_ns);
    if (!side->doubts) {
        fail(tls, direction, record, time_ns);
        return STEP_DONE;
    }
    side->doubts--;
    if (side->reading == READ_SEEK)
        return STEP_MISS;
    uint64_t missed = side->missed_bytes, slack = side->slack;
    pass_by(tls, direction, record);
    if (side->refused) { /* not of this epoch, and nothing anyone took */
        side->missed_bytes = missed;
        side->slack = slack;
        if (side->epoch == EPOCH_HANDSHAKE)
            tls_count(tls->shared->counters, COUNT_tls_early_data_refused_bytes, record.bytes);
    }
    return STEP_DONE;
}

static enum tls_step take_uncertain(struct tls *tls, enum direction direction,
                                    struct tls_record record, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    uint64_t sequence;
    uint32_t bytes;
    uint8_t content;
    bool ahead;
    if (!seek(tls, direction, record, &sequence, &ahead, &bytes, &content))
        return not_found(tls, direction, record, time_ns);
    if (ahead)
        tls_take_next(tls, direction);
    if (side->reading == READ_SEEK)
        tls_count(tls->shared->counters, COUNT_tls_gaps_resynchronised, 1);
    side->nonce = nonce_of(record);
    side->sequence = sequence + 1;
    side->slack = 0;
    side->recovering = side->refused = false;
    /* Where the Finished may be lost, the end of the handshake has to be tried too. */
    side->uncertain = side->broken && tls_is_13(tls) && side->epoch != EPOCH_TRAFFIC;
    take_content(tls, direction, content, (struct slice){tls->secrets->plain, bytes}, time_ns);
    return STEP_DONE;
}

/* What to do about a record whose key cannot be made; STEP_MISS: nothing, the key is there. */
static enum tls_step arm(struct tls *tls, enum direction direction, struct tls_record record,
                         uint64_t time_ns)
{
    enum tls_trouble why = TLS_NO_KEY;
    switch (tls_arm(tls, direction)) {
    case ARMED:
        return STEP_MISS;
    case ARM_MISSING:
        if (begins_anew(record))
            return start_over(tls, direction, record, time_ns);
        if (tls_wait(tls, direction, time_ns))
            return STEP_WAIT;
        break;
    case ARM_UNSUPPORTED:
        why = TLS_UNSUPPORTED;
        break;
    case ARM_FAILED:
        why = TLS_FAILED;
        break;
    case ARM_SHED:
        tls_count(tls->shared->counters, COUNT_tls_memory_shed, 1);
        break;
    }
    tls_blind(tls, direction, why, time_ns);
    pass_by(tls, direction, record);
    tls_tell_gap(tls, direction, time_ns);
    return STEP_DONE;
}

static enum tls_step take_sealed(struct tls *tls, enum direction direction,
                                 struct tls_record record, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    bool is_13 = tls_is_13(tls);
    if (is_13 && record.header[0] != CONTENT_DATA) {
        if (begins_anew(record))
            return start_over(tls, direction, record, time_ns);
        if (side->reading == READ_SEEK)
            return STEP_MISS; /* nothing proves that it is a record at all */
        /* ChangeCipherSpec for middleboxes, an alert before there was a key: of no use. */
        if (record.header[0] == CONTENT_HANDSHAKE)
            tls_count(tls->shared->counters, COUNT_tls_malformed, 1);
        return STEP_DONE;
    }
    if (!side->cipher) {
        enum tls_step step = arm(tls, direction, record, time_ns);
        if (step != STEP_MISS)
            return step;
    }
    if (side->uncertain)
        return take_uncertain(tls, direction, record, time_ns);
    uint32_t bytes;
    uint8_t content;
    if (!try_one(tls, side->cipher, side->sequence, record, &bytes, &content)) {
        if (begins_anew(record))
            return start_over(tls, direction, record, time_ns);
        fail(tls, direction, record, time_ns);
        return STEP_DONE;
    }
    side->sequence++;
    if (!is_13)
        side->nonce = nonce_of(record);
    take_content(tls, direction, content, (struct slice){tls->secrets->plain, bytes}, time_ns);
    return STEP_DONE;
}

enum tls_step tls_take_record(struct tls *tls, enum direction direction, struct tls_record record,
                              uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (side->blind) {
        if (begins_anew(record))
            return start_over(tls, direction, record, time_ns);
        if (record.header[0] == CONTENT_HANDSHAKE && side->epoch == EPOCH_PLAIN)
            return take_plain(tls, direction, record, time_ns);
        pass_by(tls, direction, record);
        return STEP_DONE;
    }
    return side->epoch == EPOCH_PLAIN ? take_plain(tls, direction, record, time_ns)
                                      : take_sealed(tls, direction, record, time_ns);
}
