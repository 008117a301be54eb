#include "tls_session.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Records the server may refuse as early data before ours come: RFC 8446 section 4.2.10 lets a
     * ticket allow any amount; servers allow 16 KiB (OpenSSL, nginx) to 14 KiB (BoringSSL). */
    REFUSED_RECORDS_MAX = 1024,
};

void *tls_allocate(struct tls *tls, uint32_t bytes)
{
    if (budget_take(tls->shared->budget, bytes)) {
        void *memory = malloc(bytes);
        if (memory)
            return memory;
        budget_give(tls->shared->budget, bytes);
    }
    tls_count(tls->shared->counters, COUNT_tls_memory_shed, 1);
    return NULL;
}

void tls_release(struct tls *tls, void *memory, uint32_t bytes)
{
    if (!memory)
        return;
    OPENSSL_cleanse(memory, bytes);
    free(memory);
    budget_give(tls->shared->budget, bytes);
}

void tls_announce(struct tls *tls, uint64_t time_ns)
{
    if (!tls->info_changed)
        return;
    tls->info_changed = false;
    tls->info_told = true;
    tls->shared->sink.info(tls->context, &tls->info, time_ns);
}

void tls_copy_name(char *text, struct slice name)
{
    uint32_t bytes = name.bytes < TLS_NAME_CHARS ? name.bytes : TLS_NAME_CHARS;
    for (uint32_t i = 0; i < bytes; i++)
        text[i] = name.data[i] > ' ' && name.data[i] < 0x7f ? (char)name.data[i] : '?';
    text[bytes] = '\0';
}

/* Without plaintext before it there is nothing the gap could be in: it waits for the first. */
void tls_tell_gap(struct tls *tls, enum direction direction, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (!side->missed_bytes || tls->info.visibility != TLS_DECRYPTED || side->ended)
        return;
    uint64_t bytes = side->missed_bytes;
    side->missed_bytes = 0;
    tls->shared->sink.gap(tls->context, direction, bytes, time_ns);
}

void tls_tell_end(struct tls *tls, enum direction direction, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    if (side->ended)
        return;
    tls_tell_gap(tls, direction, time_ns);
    side->ended = true;
    tls->shared->sink.end(tls->context, direction, time_ns);
}

void tls_forget_ciphers(struct tls_side *side)
{
    tls_cipher_close(side->cipher);
    tls_cipher_close(side->next);
    side->cipher = side->next = NULL;
}

void tls_blind(struct tls *tls, enum direction direction, enum tls_trouble why, uint64_t time_ns)
{
    struct tls_side *side = &tls->side[direction];
    tls_forget_ciphers(side);
    side->blind = (uint8_t)why;
    side->gave_up = true;
    side->uncertain = side->recovering = side->refused = false;
    if (tls->info.trouble != why) {
        tls->info.trouble = (uint8_t)why;
        tls->info_changed = true;
    }
    /* Whether early data was taken stands in what we cannot read. */
    if (direction != tls->client && !tls->handshake.early_decided)
        tls_decide_early(tls, false);
    if (why == TLS_NO_KEY)
        tls_await(tls);
    tls_announce(tls, time_ns);
}

void tls_decide_early(struct tls *tls, bool accepted)
{
    struct tls_side *side = &tls->side[tls->client];
    if (tls->handshake.early_decided)
        return;
    tls->handshake.early_decided = true;
    if (side->epoch != EPOCH_EARLY || accepted)
        return;
    if (!tls_is_13(tls)) {
        side->epoch = EPOCH_PLAIN; /* a HelloRetryRequest, or an older version */
        return;
    }
    side->epoch = EPOCH_HANDSHAKE;
    side->uncertain = side->refused = true;
    side->doubts = REFUSED_RECORDS_MAX;
}

void tls_buffer_drop(struct tls *tls, struct tls_side *side)
{
    tls_buffer_give(tls->secrets, side->buffer);
    side->buffer = NULL;
    side->buffered = side->tried = side->due = 0;
}

void tls_handshake_clear(struct tls *tls)
{
    struct tls_handshake *handshake = &tls->handshake;
    EVP_MD_CTX_free(handshake->transcript);
    EVP_PKEY_free(handshake->server_key);
    tls_release(tls, handshake->client_hello, handshake->client_hello_bytes);
    tls_release(tls, handshake->sealed, handshake->sealed_bytes);
    OPENSSL_cleanse(handshake, sizeof *handshake);
}

static enum tls_era era(uint16_t version)
{
    if (!version)
        return TLS_ERA_UNKNOWN;
    return version >= 0x0304 ? TLS_ERA_1_3 : version == 0x0303 ? TLS_ERA_1_2 : TLS_ERA_OLDER;
}

void tls_finish(struct tls *tls)
{
    static const enum tls_counter by_trouble[] = {
        [TLS_UNTROUBLED] = COUNT_tls_sessions_unfinished,
        [TLS_NO_KEY] = COUNT_tls_sessions_no_key,
        [TLS_LATE_KEY] = COUNT_tls_sessions_late_key,
        [TLS_UNSUPPORTED] = COUNT_tls_sessions_unsupported,
        [TLS_FAILED] = COUNT_tls_sessions_failed,
        [TLS_UNSEEN] = COUNT_tls_sessions_unseen,
    };
    if (!tls->began)
        return;
    enum tls_counter counter = by_trouble[tls->info.trouble];
    if (tls->late)
        counter = COUNT_tls_sessions_late_key;
    else if (tls->info.visibility == TLS_DECRYPTED)
        counter = COUNT_tls_sessions_decrypted;
    tls_count(tls->shared->counters, counter, 1);
    tls->shared->counters->sessions[era(tls->info.version)][counter - COUNT_tls_sessions_decrypted]++;
    tls->began = false;
}

static void forget_session(struct tls *tls, struct tls_side *side)
{
    tls_forget_ciphers(side);
    tls_message_clear(tls, side);
    side->epoch = EPOCH_PLAIN;
    side->blind = TLS_UNTROUBLED;
    side->gave_up = side->uncertain = side->recovering = side->refused = side->broken = false;
    side->ended = false;
    side->clear_bytes = 0;
    side->sequence = side->slack = side->missed_bytes = 0;
}

void tls_lose(struct tls *tls, uint64_t time_ns)
{
    tls->began = true;
    for (int i = 0; i < 2; i++) {
        struct tls_side *side = &tls->side[i];
        tls_blind(tls, (enum direction)i, TLS_UNSEEN, time_ns);
        tls_message_clear(tls, side);
        if (side->reading != READ_CLEAR)
            side->reading = READ_HELLO;
    }
}

void tls_restart(struct tls *tls, enum direction client)
{
    struct tls_side *server = &tls->side[tls_other(client)];
    uint32_t session = tls->info.session;
    tls_finish(tls);
    tls_handshake_clear(tls);
    forget_session(tls, &tls->side[0]);
    forget_session(tls, &tls->side[1]);
    if (server->reading == READ_SEEK) {
        tls_buffer_drop(tls, server);
        server->reading = READ_HELLO;
    }
    memset(&tls->info, 0, sizeof tls->info);
    tls->info.session = session;
    tls->late = false;
    tls->client = client;
    tls_await(tls);
}
