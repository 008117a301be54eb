/* Follows the handshake. What the peers check of each other is not checked here: a record that
 * authenticates is proof enough. */
#include <string.h>

#include "hash64.h"
#include "tls_certificate.h"
#include "tls_fingerprint.h"
#include "tls_session.h"
#include "tls_wire.h"

enum {
    /* Per flow; TCP 902 has two. A fingerprint costs more than the hello it is of, so a peer
     * that sends nothing but hellos is not worth more of them. */
    FINGERPRINTED_SESSIONS_MAX = 16,
};

static struct slice body_of(struct slice message)
{
    return (struct slice){message.data + TLS_MESSAGE_HEADER_BYTES,
                          message.bytes - TLS_MESSAGE_HEADER_BYTES};
}

static void hash_ticket(struct tls *tls, struct slice ticket, uint8_t hash[TLS_NAME_BYTES])
{
    struct tls_library *library = &tls->secrets->library;
    unsigned bytes = TLS_NAME_BYTES;
    memset(hash, 0, TLS_NAME_BYTES);
    if (EVP_DigestInit_ex2(library->digest, library->hash[TLS_SHA256], NULL) != 1 ||
        EVP_DigestUpdate(library->digest, ticket.data, ticket.bytes) != 1 ||
        EVP_DigestFinal_ex(library->digest, hash, &bytes) != 1)
        memset(hash, 0, TLS_NAME_BYTES);
}

static void describe_client(struct tls *tls, const struct tls_client_hello *hello)
{
    struct tls_info *info = &tls->info;
    info->session++;
    info->random_hash = hash64(0, hello->random, TLS_RANDOM_BYTES);
    tls_copy_name(info->sni, hello->server_name);
    tls_copy_name(info->alpn_offered, hello->protocol);
    tls->info_changed = true;
    if (info->session > FINGERPRINTED_SESSIONS_MAX)
        return;
    tls_ja3(&tls->secrets->library, hello, info->ja3);
    tls_ja4(&tls->secrets->library, hello, info->ja4);
}

static bool client_hello(struct tls *tls, enum direction direction, struct slice message)
{
    struct tls_client_hello hello;
    struct tls_handshake *handshake = &tls->handshake;
    bool plain = tls->side[direction].epoch == EPOCH_PLAIN;
    bool again = handshake->retry && !handshake->server_seen;
    bool both = handshake->client_seen && !handshake->server_seen && direction != tls->client;
    if (both || !tls_client_hello_parse(body_of(message), &hello))
        return false;
    tls_handshake_clear(tls);
    if (plain)
        tls->client = direction;
    handshake->client_seen = true;
    handshake->retry = again;
    handshake->client_version = hello.version;
    handshake->extended_master_secret = false;
    memcpy(handshake->agreement.client_random, hello.random, TLS_RANDOM_BYTES);
    handshake->session_id_bytes = (uint8_t)hello.session_id.bytes;
    if (hello.session_id.bytes)
        memcpy(handshake->session_id, hello.session_id.data, hello.session_id.bytes);
    if (hello.ticket.bytes) {
        handshake->has_ticket = true;
        hash_ticket(tls, hello.ticket, handshake->ticket);
    }
    tls_transcript_keep(tls, message);
    tls->began = true;
    handshake->early_offered = plain && !again && hello.early_data;
    handshake->early_decided = !handshake->early_offered;
    if (handshake->early_offered)
        tls->side[direction].epoch = EPOCH_EARLY;
    if (plain && !again)
        describe_client(tls, &hello);
    return true;
}

static void describe_server(struct tls *tls, const struct tls_server_hello *hello)
{
    struct tls_info *info = &tls->info;
    const struct tls_suite *suite = tls->handshake.agreement.suite;
    info->version = hello->version;
    info->random_hash = hash64(info->random_hash, hello->random, TLS_RANDOM_BYTES);
    info->cipher = hello->suite;
    info->cipher_name = suite ? suite->name : NULL;
    info->resumed = tls->handshake.resumed;
    if (hello->protocol.bytes)
        tls_copy_name(info->alpn, hello->protocol);
    tls_ja3s(&tls->secrets->library, hello, info->ja3s);
    if (tls->shared->ja4s)
        tls_ja4s(&tls->secrets->library, hello, info->ja4s);
    tls->info_changed = true;
}

static void agree(struct tls *tls, const struct tls_server_hello *hello)
{
    struct tls_handshake *handshake = &tls->handshake;
    struct tls_agreement *agreement = &handshake->agreement;
    agreement->version = hello->version;
    agreement->suite = tls_suite_of(hello->suite);
    agreement->encrypt_then_mac = hello->encrypt_then_mac;
    memcpy(agreement->server_random, hello->random, TLS_RANDOM_BYTES);
    handshake->server_seen = true;
    handshake->extended_master_secret = hello->extended_master_secret;
    handshake->unsupported = hello->compression || hello->truncated_hmac;
    if (hello->version == TLS_1_3) {
        handshake->resumed = hello->pre_shared_key;
        return;
    }
    /* RFC 5246 section 7.4.1.3: the same id back means the old session. A ticket may be answered
     * without one (RFC 5077 section 3.4); then the missing ServerHelloDone tells. */
    handshake->resumed = hello->session_id.bytes &&
                         hello->session_id.bytes == handshake->session_id_bytes &&
                         memcmp(hello->session_id.data, handshake->session_id,
                                hello->session_id.bytes) == 0;
    handshake->session_id_bytes = (uint8_t)hello->session_id.bytes;
    if (hello->session_id.bytes)
        memcpy(handshake->session_id, hello->session_id.data, hello->session_id.bytes);
}

static bool server_hello(struct tls *tls, enum direction direction, struct slice message,
                         uint64_t time_ns)
{
    struct tls_server_hello hello;
    struct tls_handshake *handshake = &tls->handshake;
    if (!tls_server_hello_parse(body_of(message), &hello) ||
        (handshake->client_seen && direction == tls->client))
        return false;
    if (hello.retry) {
        handshake->retry = true;
        tls_decide_early(tls, false);
        return true;
    }
    bool plain = tls->side[direction].epoch == EPOCH_PLAIN;
    agree(tls, &hello);
    tls_transcript_start(tls, message);
    if (plain)
        describe_server(tls, &hello);
    if (!handshake->client_seen) {
        tls_lose(tls, time_ns);
        return true;
    }
    if (hello.version != TLS_1_3) {
        tls_decide_early(tls, false);
        return true;
    }
    tls->side[direction].epoch = EPOCH_HANDSHAKE;
    if (!hello.pre_shared_key)
        tls_decide_early(tls, false);
    if (tls->side[tls->client].epoch == EPOCH_PLAIN)
        tls->side[tls->client].epoch = EPOCH_HANDSHAKE;
    tls_announce(tls, time_ns);
    return true;
}

static void certificate(struct tls *tls, enum direction direction, struct slice body)
{
    struct tls_info *info = &tls->info;
    struct tls_handshake *handshake = &tls->handshake;
    bool client = direction == tls->client;
    bool rsa = handshake->agreement.suite && handshake->agreement.suite->rsa;
    struct tls_certificate seen = {
        .subject = client ? info->client_subject : info->subject,
        .issuer = client ? info->client_issuer : info->issuer,
        .fingerprint = client ? info->client_fingerprint : info->fingerprint,
        .wants_key = !client && rsa && !handshake->server_key,
    };
    struct slice der = tls_certificate_first(body, handshake->agreement.version);
    if (!der.bytes)
        return;
    tls_certificate_read(&tls->secrets->library, der, &seen);
    if (seen.wants_key)
        handshake->server_key = seen.key;
    tls->info_changed = true;
}

/* RFC 5246 section 7.4.7.1. The message ends what the session hash covers (RFC 7627 section 3). */
static void client_key_exchange(struct tls *tls, struct slice body)
{
    struct tls_handshake *handshake = &tls->handshake;
    tls_transcript_finish(tls);
    if (!handshake->agreement.suite || !handshake->agreement.suite->rsa || handshake->sealed)
        return;
    struct wire wire = wire_of(body);
    struct slice sealed = wire_vector(&wire, 2);
    if (wire.bad || !sealed.bytes)
        return;
    handshake->sealed = tls_allocate(tls, sealed.bytes);
    if (!handshake->sealed)
        return;
    handshake->sealed_bytes = sealed.bytes;
    memcpy(handshake->sealed, sealed.data, sealed.bytes);
}

/* RFC 5077 section 3.3. Renewed in a resumed session, it goes back to the same full handshake. */
static void new_ticket(struct tls *tls, struct slice body)
{
    struct tls_handshake *handshake = &tls->handshake;
    uint8_t hash[TLS_NAME_BYTES];
    struct wire wire = wire_of(body);
    wire_number(&wire, 4); /* lifetime */
    struct slice ticket = wire_vector(&wire, 2);
    if (wire.bad || !ticket.bytes)
        return;
    handshake->resumed = !handshake->server_done;
    if (handshake->resumed)
        tls_find_origin(tls);
    hash_ticket(tls, ticket, hash);
    const uint8_t *from =
        handshake->has_origin ? handshake->origin : handshake->agreement.client_random;
    tls_secrets_put(tls->secrets, LABEL_TICKET, (struct slice){hash, sizeof hash},
                    (struct slice){from, TLS_RANDOM_BYTES}, TLS_KEY_TICKET);
}

void tls_change_cipher(struct tls *tls, enum direction direction, uint64_t time_ns)
{
    struct tls_handshake *handshake = &tls->handshake;
    struct tls_side *side = &tls->side[direction];
    if (!handshake->server_seen)
        return; /* for middleboxes, before early data or a second ClientHello */
    bool first = side->epoch == EPOCH_PLAIN; /* what renegotiation does is not told */
    tls_forget_ciphers(side);
    tls_message_clear(tls, side);
    side->epoch = EPOCH_TRAFFIC;
    side->sequence = side->slack = 0;
    if (direction != tls->client) {
        handshake->resumed = !handshake->server_done;
        tls->info_changed |= first && tls->info.resumed != handshake->resumed;
        tls->info.resumed = first ? handshake->resumed : tls->info.resumed;
        if (!handshake->resumed && handshake->session_id_bytes)
            tls_secrets_put(
                tls->secrets, LABEL_SESSION_ID,
                (struct slice){handshake->session_id, handshake->session_id_bytes},
                (struct slice){handshake->agreement.client_random, TLS_RANDOM_BYTES},
                TLS_KEY_TICKET);
    }
    tls_announce(tls, time_ns);
}

static bool take_message12(struct tls *tls, enum direction direction, struct slice message,
                           uint64_t time_ns)
{
    bool from_server = direction != tls->client;
    struct slice body = body_of(message);
    if (message.data[0] == HANDSHAKE_CLIENT_HELLO)
        return client_hello(tls, direction, message);
    if (message.data[0] == HANDSHAKE_SERVER_HELLO)
        return server_hello(tls, direction, message, time_ns);
    if (message.data[0] != HANDSHAKE_HELLO_REQUEST)
        tls_transcript_add(tls, message);
    switch (message.data[0]) {
    case HANDSHAKE_CERTIFICATE:
        certificate(tls, direction, body);
        break;
    case HANDSHAKE_SERVER_HELLO_DONE:
        tls->handshake.server_done = true;
        tls->handshake.resumed = false;
        if (tls->side[direction].epoch == EPOCH_PLAIN)
            tls->info.resumed = false;
        tls_announce(tls, time_ns);
        break;
    case HANDSHAKE_CLIENT_KEY_EXCHANGE:
        client_key_exchange(tls, body);
        break;
    case HANDSHAKE_NEW_SESSION_TICKET:
        if (from_server)
            new_ticket(tls, body);
        break;
    }
    return true;
}

static bool encrypted_extensions(struct tls *tls, struct slice body)
{
    struct tls_encrypted_extensions seen;
    if (!tls_encrypted_extensions_parse(body, &seen))
        return false;
    if (seen.protocol.bytes)
        tls_copy_name(tls->info.alpn, seen.protocol);
    tls->info.early_data = seen.early_data && tls->handshake.early_offered;
    tls->info_changed = true;
    tls_decide_early(tls, seen.early_data);
    return true;
}

static void next_epoch(struct tls_side *side, enum tls_epoch epoch)
{
    tls_forget_ciphers(side);
    side->epoch = (uint8_t)epoch;
    side->sequence = side->slack = 0;
    side->uncertain = side->broken = false;
}

static bool take_message13(struct tls *tls, enum direction direction, struct slice message)
{
    struct tls_side *side = &tls->side[direction];
    struct slice body = body_of(message);
    switch (message.data[0]) {
    case HANDSHAKE_ENCRYPTED_EXTENSIONS:
        return direction == tls->client || encrypted_extensions(tls, body);
    case HANDSHAKE_CERTIFICATE:
        certificate(tls, direction, body);
        return true;
    case HANDSHAKE_END_OF_EARLY_DATA:
        if (side->epoch == EPOCH_EARLY)
            next_epoch(side, EPOCH_HANDSHAKE);
        return true;
    case HANDSHAKE_FINISHED: /* a client's may also come later, RFC 8446 section 4.6.2 */
        if (side->epoch == EPOCH_HANDSHAKE)
            next_epoch(side, EPOCH_TRAFFIC);
        return true;
    case HANDSHAKE_KEY_UPDATE:
        return side->epoch == EPOCH_TRAFFIC && tls_update_key(tls, direction);
    }
    return true;
}

bool tls_take_message(struct tls *tls, enum direction direction, struct slice message,
                      uint64_t time_ns)
{
    if (tls_is_13(tls) && tls->side[direction].epoch != EPOCH_PLAIN)
        return take_message13(tls, direction, message);
    return take_message12(tls, direction, message, time_ns);
}
