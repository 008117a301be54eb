/* From what the store knows to the cipher of a direction. */
#include <openssl/crypto.h>
#include <string.h>

#include "tls_session.h"

enum { SKIPPED_RECORDS_MAX = 64 }; /* handshake records whose own secret the log does not have */

static struct slice client_random(const struct tls *tls)
{
    return (struct slice){tls->handshake.agreement.client_random, TLS_RANDOM_BYTES};
}

static struct slice session_id(const struct tls *tls)
{
    return (struct slice){tls->handshake.session_id, tls->handshake.session_id_bytes};
}

static struct slice ticket(const struct tls *tls)
{
    return (struct slice){tls->handshake.ticket, TLS_NAME_BYTES};
}

static enum tls_label label_of(const struct tls *tls, enum direction direction, unsigned epoch)
{
    bool client = direction == tls->client;
    if (epoch == EPOCH_EARLY)
        return LABEL_CLIENT_EARLY;
    if (epoch == EPOCH_HANDSHAKE)
        return client ? LABEL_CLIENT_HANDSHAKE : LABEL_SERVER_HANDSHAKE;
    return client ? LABEL_CLIENT_TRAFFIC : LABEL_SERVER_TRAFFIC;
}

static void note_source(struct tls *tls, enum tls_key_source source)
{
    if (tls->info.key_source != TLS_KEY_NONE)
        return;
    tls->info.key_source = (uint8_t)source;
    tls->info_changed = true;
}

/* A KeyUpdate goes on from the traffic secret, so it is kept, where secrets are kept. */
static bool keep_traffic(struct tls *tls, enum direction direction, const struct tls_slot *slot)
{
    if (!tls->traffic)
        tls->traffic = tls_vault_take(&tls->secrets->traffic);
    if (tls->traffic)
        memcpy(tls->traffic->of[direction], slot->value, slot->value_bytes);
    return tls->traffic != NULL;
}

/* Logs have the secrets in the order they are made: where a later one is there, an earlier that is
 * missing will not come. */
static bool later_known(const struct tls *tls, enum direction direction, unsigned epoch)
{
    for (unsigned later = epoch + 1; later <= EPOCH_TRAFFIC; later++)
        if (tls_secrets_find(tls->secrets, label_of(tls, direction, later), client_random(tls)))
            return true;
    return false;
}

static struct tls_cipher *cipher_from(struct tls *tls, const struct tls_slot *slot)
{
    return tls_cipher_open13(&tls->secrets->library, tls->handshake.agreement.suite,
                             (struct slice){slot->value, slot->value_bytes});
}

static enum tls_arm arm13(struct tls *tls, enum direction direction)
{
    struct tls_side *side = &tls->side[direction];
    const struct tls_slot *slot;
    for (;;) {
        slot = tls_secrets_find(tls->secrets, label_of(tls, direction, side->epoch),
                                client_random(tls));
        if (slot || side->epoch == EPOCH_TRAFFIC || !later_known(tls, direction, side->epoch))
            break;
        side->refused = side->epoch != EPOCH_EARLY; /* handshake records: nobody misses them */
        side->epoch++;
        side->uncertain = true;
        side->doubts = SKIPPED_RECORDS_MAX;
    }
    if (!slot)
        return ARM_MISSING;
    if (slot->value_bytes != tls_hash_bytes(tls->handshake.agreement.suite->hash))
        return ARM_FAILED;
    if (side->epoch == EPOCH_TRAFFIC && !keep_traffic(tls, direction, slot))
        return ARM_SHED;
    side->cipher = cipher_from(tls, slot);
    if (!side->cipher)
        return ARM_SHED;
    note_source(tls, slot->source);
    return ARMED;
}

/* A session id or ticket leads to a master secret, or to the handshake that made one. */
static const struct tls_slot *follow(struct tls *tls, enum tls_label label, struct slice name)
{
    const struct tls_slot *slot = name.bytes ? tls_secrets_find(tls->secrets, label, name) : NULL;
    if (!slot || slot->value_bytes == TLS_MASTER_BYTES)
        return slot;
    memcpy(tls->handshake.origin, slot->value, TLS_RANDOM_BYTES);
    tls->handshake.has_origin = true;
    return tls_secrets_find(tls->secrets, LABEL_MASTER,
                            (struct slice){tls->handshake.origin, TLS_RANDOM_BYTES});
}

static const struct tls_slot *resumed_master(struct tls *tls)
{
    const struct tls_slot *slot = NULL;
    if (tls->handshake.has_ticket)
        slot = follow(tls, LABEL_TICKET, ticket(tls));
    if (!slot)
        slot = follow(tls, LABEL_SESSION_ID, session_id(tls));
    return slot;
}

void tls_find_origin(struct tls *tls)
{
    resumed_master(tls);
}

static bool find_premaster(struct tls *tls, uint8_t premaster[TLS_MASTER_BYTES],
                           enum tls_key_source *source)
{
    struct tls_handshake *handshake = &tls->handshake;
    struct slice sealed = {handshake->sealed, handshake->sealed_bytes};
    if (sealed.bytes < 8)
        return false;
    const struct tls_slot *slot =
        tls_secrets_find(tls->secrets, LABEL_PREMASTER, (struct slice){sealed.data, 8});
    if (slot) {
        *source = slot->source;
        memcpy(premaster, slot->value, TLS_MASTER_BYTES);
        return true;
    }
    if (handshake->rsa_keys_tried == tls->secrets->rsa.count)
        return false;
    handshake->rsa_keys_tried = tls->secrets->rsa.count;
    *source = TLS_KEY_RSA;
    if (tls_rsa_premaster(&tls->secrets->rsa, &tls->secrets->library, handshake->server_key, sealed,
                          handshake->client_version, premaster))
        return true;
    tls_count(tls->shared->counters, COUNT_tls_rsa_failed, 1);
    return false;
}

/* RFC 5246 section 8.1; RFC 7627 section 4 for the extended one. Stored as if a log had told it, so
 * that resumed sessions find it. */
static const struct tls_slot *derived_master(struct tls *tls)
{
    const struct tls_handshake *handshake = &tls->handshake;
    const struct tls_agreement *agreement = &handshake->agreement;
    uint8_t premaster[TLS_MASTER_BYTES], master[TLS_MASTER_BYTES];
    enum tls_key_source source;
    bool extended = handshake->extended_master_secret;
    if ((extended && !handshake->session_hash_bytes) || !find_premaster(tls, premaster, &source))
        return NULL;
    struct slice first = client_random(tls);
    struct slice second = {agreement->server_random, TLS_RANDOM_BYTES};
    if (extended) {
        first = (struct slice){handshake->session_hash, handshake->session_hash_bytes};
        second.bytes = 0;
    }
    bool made = tls_prf(&tls->secrets->library, tls_suite_prf(agreement->suite, agreement->version),
                        (struct slice){premaster, sizeof premaster},
                        extended ? "extended master secret" : "master secret", first, second,
                        master, sizeof master);
    if (made)
        tls_secrets_put(tls->secrets, LABEL_MASTER, client_random(tls),
                        (struct slice){master, sizeof master}, source);
    OPENSSL_cleanse(premaster, sizeof premaster);
    OPENSSL_cleanse(master, sizeof master);
    return made ? tls_secrets_find(tls->secrets, LABEL_MASTER, client_random(tls)) : NULL;
}

static enum tls_arm arm12(struct tls *tls, enum direction direction)
{
    const struct tls_agreement *agreement = &tls->handshake.agreement;
    const struct tls_slot *slot = tls_secrets_find(tls->secrets, LABEL_MASTER, client_random(tls));
    enum tls_key_source source = slot ? slot->source : TLS_KEY_TICKET;
    if (!slot && tls->handshake.resumed)
        slot = resumed_master(tls);
    if (!slot && agreement->suite->rsa) {
        slot = derived_master(tls);
        source = slot ? slot->source : source;
    }
    if (!slot)
        return ARM_MISSING;
    struct tls_side *side = &tls->side[direction];
    side->cipher = tls_cipher_open12(&tls->secrets->library, agreement,
                                     (struct slice){slot->value, slot->value_bytes},
                                     direction == tls->client);
    if (!side->cipher)
        return ARM_SHED;
    note_source(tls, source);
    return ARMED;
}

enum tls_arm tls_arm(struct tls *tls, enum direction direction)
{
    const struct tls_handshake *handshake = &tls->handshake;
    if (handshake->unsupported ||
        !tls_cipher_supported(&tls->secrets->library, handshake->agreement.suite,
                              handshake->agreement.version))
        return ARM_UNSUPPORTED;
    return tls_is_13(tls) ? arm13(tls, direction) : arm12(tls, direction);
}

/* RFC 8446 section 7.2 */
static bool next_secret(struct tls *tls, enum direction direction,
                        uint8_t secret[TLS_HASH_BYTES_MAX])
{
    enum tls_hash hash = tls->handshake.agreement.suite->hash;
    uint32_t bytes = tls_hash_bytes(hash);
    return tls->traffic && tls_expand(&tls->secrets->library, hash,
                                      (struct slice){tls->traffic->of[direction], bytes},
                                      "traffic upd", secret, bytes);
}

static struct tls_cipher *updated_cipher(struct tls *tls, enum direction direction)
{
    uint8_t secret[TLS_HASH_BYTES_MAX];
    const struct tls_suite *suite = tls->handshake.agreement.suite;
    struct tls_cipher *cipher = NULL;
    if (next_secret(tls, direction, secret))
        cipher = tls_cipher_open13(&tls->secrets->library, suite,
                                   (struct slice){secret, tls_hash_bytes(suite->hash)});
    OPENSSL_cleanse(secret, sizeof secret);
    return cipher;
}

bool tls_arm_next(struct tls *tls, enum direction direction)
{
    struct tls_side *side = &tls->side[direction];
    if (side->next)
        return true;
    if (!tls_is_13(tls))
        return false;
    if (side->epoch == EPOCH_TRAFFIC) {
        side->next = updated_cipher(tls, direction);
    } else {
        const struct tls_slot *slot = tls_secrets_find(
            tls->secrets, label_of(tls, direction, side->epoch + 1u), client_random(tls));
        if (slot && slot->value_bytes == tls_hash_bytes(tls->handshake.agreement.suite->hash))
            side->next = cipher_from(tls, slot);
    }
    return side->next != NULL;
}

void tls_take_next(struct tls *tls, enum direction direction)
{
    struct tls_side *side = &tls->side[direction];
    uint8_t secret[TLS_HASH_BYTES_MAX];
    if (side->epoch == EPOCH_TRAFFIC) {
        if (next_secret(tls, direction, secret))
            memcpy(tls->traffic->of[direction], secret, sizeof secret);
        OPENSSL_cleanse(secret, sizeof secret);
    } else if (++side->epoch == EPOCH_TRAFFIC) {
        const struct tls_slot *slot = tls_secrets_find(
            tls->secrets, label_of(tls, direction, EPOCH_TRAFFIC), client_random(tls));
        if (slot)
            keep_traffic(tls, direction, slot);
    }
    tls_cipher_close(side->cipher);
    side->cipher = side->next;
    side->next = NULL;
}

bool tls_update_key(struct tls *tls, enum direction direction)
{
    struct tls_side *side = &tls->side[direction];
    tls_cipher_close(side->next);
    side->next = updated_cipher(tls, direction);
    if (!side->next)
        return false;
    tls_take_next(tls, direction);
    side->sequence = side->slack = 0;
    return true;
}

static void await_name(struct tls *tls, uint32_t *count, enum tls_label label, struct slice name)
{
    if (*count < TLS_WAITERS)
        tls_waiting_add(&tls->secrets->waiting, &tls->waiters[(*count)++],
                        tls_secrets_hash(tls->secrets, label, name));
}

static void await_side(struct tls *tls, uint32_t *count, enum direction direction)
{
    const struct tls_handshake *handshake = &tls->handshake;
    unsigned epoch = tls->side[direction].epoch;
    if (tls_is_13(tls)) {
        /* What is needed now, or, where a log leaves that out, the last one. */
        await_name(tls, count, label_of(tls, direction, epoch), client_random(tls));
        if (epoch != EPOCH_TRAFFIC)
            await_name(tls, count, label_of(tls, direction, EPOCH_TRAFFIC), client_random(tls));
        return;
    }
    if (*count) /* one master secret for both */
        return;
    await_name(tls, count, LABEL_MASTER, client_random(tls));
    if (handshake->resumed) {
        if (handshake->has_ticket)
            await_name(tls, count, LABEL_TICKET, ticket(tls));
        if (handshake->session_id_bytes)
            await_name(tls, count, LABEL_SESSION_ID, session_id(tls));
        if (handshake->has_origin)
            await_name(tls, count, LABEL_MASTER,
                       (struct slice){handshake->origin, TLS_RANDOM_BYTES});
    } else if (handshake->sealed_bytes >= 8) {
        await_name(tls, count, LABEL_PREMASTER, (struct slice){handshake->sealed, 8});
    }
}

void tls_await(struct tls *tls)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < TLS_WAITERS; i++)
        tls_waiting_remove(&tls->waiters[i]);
    for (int i = 0; i < 2; i++) {
        enum direction direction = (enum direction)i;
        if ((tls->waiting && tls->stalled == direction) ||
            tls->side[i].blind == TLS_NO_KEY)
            await_side(tls, &count, direction);
    }
}
