#include "tls.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "tls_session.h"

enum {
    NS_PER_MS = 1000000,
    /* What libcrypto keeps for the ciphers of a flow, about: taken from the budget with the
     * flow. */
    CIPHER_BYTES = 3072,
    LATE_RECORDS_MAX = 8, /* that may fail before a late secret is taken for a wrong one */
};

static const struct slice nothing = {(const uint8_t *)"", 0};

struct tls *tls_open(const struct tls_shared *shared, void *context)
{
    if (!budget_take(shared->budget, sizeof(struct tls) + CIPHER_BYTES))
        return NULL;
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        budget_give(shared->budget, sizeof *tls + CIPHER_BYTES);
        return NULL;
    }
    tls->shared = shared;
    tls->secrets = shared->secrets;
    tls->context = context;
    tls->client = TO_SERVER;
    tls->handshake.early_decided = true;
    tls->held_place.tls = tls->ready_place.tls = tls;
    for (int i = 0; i < TLS_WAITERS; i++)
        tls->waiters[i].ready = &tls->ready_place;
    return tls;
}

const struct tls_info *tls_info(const struct tls *tls)
{
    return &tls->info;
}

bool tls_is_sealed(const struct tls *tls)
{
    if (tls->waiting || tls->parked.first || !tls->handshake.client_seen ||
        !tls->handshake.server_seen)
        return false;
    for (int each = TO_SERVER; each <= TO_CLIENT; each++) {
        const struct tls_side *side = &tls->side[each];
        if (side->blind != TLS_NO_KEY || side->reading != READ_RECORDS ||
            side->epoch == EPOCH_PLAIN)
            return false;
    }
    return true;
}

static bool hold(struct tls *tls, struct tls_held *list, enum tls_held_kind kind,
                 enum direction direction, struct slice data, uint64_t gap_bytes, uint64_t time_ns)
{
    struct tls_held_item item = {
        .time_ns = time_ns,
        .gap_bytes = gap_bytes,
        .bytes = data.bytes,
        .kind = (uint8_t)kind,
        .direction = (uint8_t)direction,
    };
    return tls_held_append(list, tls->secrets, &item, data.data);
}

static void unpark(struct tls *tls);

/* The client's bytes before the server's word on early data. Without room they count as refused. */
static void park(struct tls *tls, enum direction direction, struct slice rest, uint64_t time_ns)
{
    if (hold(tls, &tls->parked, HELD_DATA, direction, rest, 0, time_ns))
        return;
    tls_count(tls->shared->counters, COUNT_tls_held_shed_bytes, rest.bytes + tls->parked.bytes);
    tls_held_clear(&tls->parked, tls->secrets);
    tls->side[direction].missed_bytes += rest.bytes;
    tls_decide_early(tls, false);
}

/* Bytes used: all, unless a secret is missing. */
static uint32_t take(struct tls *tls, enum direction direction, struct slice data,
                     uint64_t time_ns)
{
    uint32_t used = 0;
    for (;;) {
        used += tls_feed(tls, direction, data.data + used, data.bytes - used, time_ns);
        if (tls->waiting)
            return used;
        if (tls_must_unpark(tls, direction)) {
            unpark(tls);
            continue;
        }
        if (used < data.bytes && tls_must_park(tls, direction))
            park(tls, direction, (struct slice){data.data + used, data.bytes - used}, time_ns);
        return data.bytes;
    }
}

/* Goes on with the first of the list; false when a secret is missing. It is off the list meanwhile,
 * since what it holds may add to the list or clear it. */
static bool replay(struct tls *tls, struct tls_held *list)
{
    struct tls_held_item *item = tls_held_take(list);
    enum direction direction = (enum direction)item->direction;
    if (item->kind == HELD_DATA) {
        struct slice rest = {item->data + item->used, item->bytes - item->used};
        item->used += take(tls, direction, rest, item->time_ns);
        if (tls->waiting && item->used < item->bytes) {
            tls_held_put_back(list, item);
            return false;
        }
    } else if (item->kind == HELD_GAP) {
        tls_feed_gap(tls, direction, item->gap_bytes, item->time_ns);
    } else {
        tls_feed_end(tls, direction, item->time_ns);
    }
    tls_held_free(item, tls->secrets);
    return !tls->waiting;
}

/* A new handshake in what was parked may park again, and may even be of the other direction. */
static void unpark(struct tls *tls)
{
    tls->unparking = true;
    while (tls->parked.first && tls->handshake.early_decided && replay(tls, &tls->parked))
        ;
    tls->unparking = false;
}

static void drain(struct tls *tls)
{
    take(tls, tls->stalled, nothing, tls->stalled_ns); /* the record that came in parts, if so */
    if (!tls->waiting)
        unpark(tls);
    while (!tls->waiting && tls->held.first && replay(tls, &tls->held))
        ;
}

bool tls_wait(struct tls *tls, enum direction direction, uint64_t time_ns)
{
    if (tls->closing || tls->side[direction].gave_up ||
        tls->shared->limits->tls_held_bytes_max == 0)
        return false;
    tls->waiting = true;
    tls->stalled = direction;
    tls->stalled_ns = time_ns;
    tls_await(tls);
    tls_queue_append(&tls->secrets->waiting.held, &tls->held_place);
    return true;
}

static void stop_waiting(struct tls *tls)
{
    tls->waiting = false;
    tls_queue_leave(&tls->held_place);
}

/* The direction that lacks a secret passes unopened from here on; the other may go on. */
static void give_up(struct tls *tls, enum tls_counter counter)
{
    stop_waiting(tls);
    tls->letting_go = (uint8_t)(counter + 1);
    tls_blind(tls, tls->stalled, TLS_NO_KEY, tls->stalled_ns);
    drain(tls);
    tls->letting_go = 0;
}

static bool overdue(const struct tls *tls, uint64_t time_ns)
{
    uint64_t most = tls->shared->limits->tls_held_timeout_ms * NS_PER_MS;
    return tls->waiting && time_ns > tls->stalled_ns && time_ns - tls->stalled_ns >= most;
}

static void let_expire(struct tls *tls, uint64_t time_ns)
{
    while (overdue(tls, time_ns))
        give_up(tls, COUNT_tls_held_expired_bytes);
}

/* After ciphertext was let go: from now on. */
static void recover(struct tls *tls, enum direction direction)
{
    struct tls_side *side = &tls->side[direction];
    if (side->blind != TLS_NO_KEY || tls_arm(tls, direction) != ARMED)
        return;
    side->blind = TLS_UNTROUBLED;
    side->uncertain = side->recovering = true;
    side->refused = false;
    side->broken = side->epoch == EPOCH_HANDSHAKE;
    side->doubts = LATE_RECORDS_MAX;
    if (side->reading == READ_HELLO)
        side->reading = READ_SEEK;
    tls->late = true;
    tls->info.trouble = TLS_LATE_KEY;
    tls->info_changed = true;
}

static void count_wait(struct tls_counters *counters, uint64_t took_ms)
{
    static const uint32_t most_ms[] = {10, 100, 500, 2000, 10000};
    tls_count(counters, COUNT_tls_key_waits, 1);
    tls_count(counters, COUNT_tls_key_wait_ms, took_ms);
    for (size_t i = 0; i < sizeof most_ms / sizeof *most_ms; i++)
        if (took_ms <= most_ms[i]) {
            tls_count(counters, (enum tls_counter)(COUNT_tls_key_waits_le_10ms + i), 1);
            break;
        }
}

static void resume(struct tls *tls, uint64_t time_ns)
{
    recover(tls, TO_SERVER);
    recover(tls, TO_CLIENT);
    if (!tls->waiting) {
        tls_await(tls);
        return;
    }
    uint64_t since = tls->stalled_ns;
    enum direction stalled = tls->stalled;
    unsigned epoch = tls->side[stalled].epoch;
    stop_waiting(tls);
    drain(tls);
    bool same = tls->waiting && tls->stalled == stalled && tls->stalled_ns == since &&
                tls->side[stalled].epoch == epoch;
    if (!same) {
        count_wait(tls->shared->counters, time_ns > since ? (time_ns - since) / NS_PER_MS : 0);
    }
    let_expire(tls, time_ns);
    tls_await(tls);
}

void tls_wake(struct tls_secrets *secrets, uint64_t time_ns)
{
    struct tls *tls;
    while ((tls = tls_queue_first(&secrets->waiting.ready))) {
        tls_queue_leave(&tls->ready_place);
        resume(tls, time_ns);
    }
    while ((tls = tls_queue_first(&secrets->waiting.held)) && overdue(tls, time_ns))
        let_expire(tls, time_ns);
}

/* Makes room by giving up on a flow that waits: this one if it holds its share, else the one that
 * has waited longest. */
static void make_room(struct tls *tls, uint32_t bytes)
{
    const struct tls_limits *limits = tls->shared->limits;
    size_t item = sizeof(struct tls_held_item) + bytes;
    struct tls *longest = tls_queue_first(&tls->secrets->waiting.held);
    bool share = item > limits->tls_held_bytes_max ||
                 tls->held.bytes > limits->tls_held_bytes_max - item;
    give_up(share || !longest ? tls : longest, COUNT_tls_held_shed_bytes);
}

void tls_data(struct tls *tls, enum direction direction, const uint8_t *data, uint32_t bytes,
              uint64_t time_ns)
{
    while (bytes) {
        if (!tls->waiting) {
            uint32_t used = take(tls, direction, (struct slice){data, bytes}, time_ns);
            data += used;
            bytes -= used;
            continue;
        }
        if (hold(tls, &tls->held, HELD_DATA, direction, (struct slice){data, bytes}, 0, time_ns)) {
            tls_count(tls->shared->counters, COUNT_tls_held_bytes, bytes);
            return;
        }
        make_room(tls, bytes);
    }
}

void tls_gap(struct tls *tls, enum direction direction, uint64_t bytes, uint64_t time_ns)
{
    while (tls->waiting) {
        if (hold(tls, &tls->held, HELD_GAP, direction, nothing, bytes, time_ns))
            return;
        make_room(tls, 0);
    }
    if (tls_must_park(tls, direction)) {
        /* What follows cannot be told from early data any more. */
        tls_held_clear(&tls->parked, tls->secrets);
        tls_decide_early(tls, false);
    }
    tls_feed_gap(tls, direction, bytes, time_ns);
}

void tls_end(struct tls *tls, enum direction direction, uint64_t time_ns)
{
    while (tls->waiting) {
        if (hold(tls, &tls->held, HELD_END, direction, nothing, 0, time_ns))
            return;
        make_room(tls, 0);
    }
    if (tls_must_park(tls, direction) &&
        hold(tls, &tls->parked, HELD_END, direction, nothing, 0, time_ns))
        return;
    tls_feed_end(tls, direction, time_ns);
}

void tls_close(struct tls *tls, uint64_t time_ns)
{
    if (!tls)
        return;
    if (tls->ready_place.before) {
        tls_queue_leave(&tls->ready_place);
        resume(tls, time_ns);
    }
    tls->closing = true;
    while (tls->waiting)
        give_up(tls, COUNT_tls_held_expired_bytes);
    tls_announce(tls, time_ns);
    tls_finish(tls);
    struct tls_secrets *secrets = tls->secrets;
    struct budget *budget = tls->shared->budget;
    for (int i = 0; i < 2; i++) {
        tls_forget_ciphers(&tls->side[i]);
        tls_message_clear(tls, &tls->side[i]);
        tls_buffer_drop(tls, &tls->side[i]);
        tls->side[i].blind = TLS_UNTROUBLED;
    }
    tls_await(tls); /* waits for nothing now */
    tls_queue_leave(&tls->ready_place);
    tls_held_clear(&tls->held, secrets);
    tls_held_clear(&tls->parked, secrets);
    tls_handshake_clear(tls);
    tls_vault_give(&secrets->traffic, tls->traffic);
    OPENSSL_cleanse(tls, sizeof *tls);
    free(tls);
    budget_give(budget, sizeof *tls + CIPHER_BYTES);
}
