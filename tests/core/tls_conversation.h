/* Real TLS conversations made by libssl in memory, as the wire would show them: pieces with
 * direction and time, the key log lines, and what each side really said. And a listener that
 * hears what tls.h makes of such a conversation. */
#ifndef HOPTAP_TLS_CONVERSATION_H
#define HOPTAP_TLS_CONVERSATION_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "tls.h"

struct piece {
    uint8_t *data;
    uint32_t bytes;
    uint8_t direction;
    uint64_t time_ns;
};

enum { PIECES_MAX = 4096, LINES_MAX = 64, SAID_MAX = 1 << 20, LINE_CHARS = 300 };

struct conversation {
    struct piece piece[PIECES_MAX];
    uint32_t pieces;
    char line[LINES_MAX][LINE_CHARS];
    uint32_t lines;
    uint8_t said[2][SAID_MAX]; /* by direction: application data that arrived */
    uint32_t said_bytes[2];
};

struct peer {
    SSL_CTX *context;
    SSL *ssl;
};

struct pair {
    struct conversation *conversation;
    struct peer side[2]; /* [TO_SERVER]: the client, who sends in that direction */
};

static inline void remember_line(const SSL *ssl, const char *line)
{
    struct conversation *conversation = SSL_get_app_data(ssl);
    if (conversation && conversation->lines < LINES_MAX)
        snprintf(conversation->line[conversation->lines++], LINE_CHARS, "%s", line);
}

static inline X509 *make_certificate(EVP_PKEY *key, const char *name)
{
    X509 *x509 = X509_new();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
    X509_set_pubkey(x509, key);
    X509_NAME *subject = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const uint8_t *)"Hoptap", -1, -1, 0);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    X509_sign(x509, key, EVP_sha256());
    return x509;
}

/* One key of each kind per program. */
static inline EVP_PKEY *key_of(bool rsa)
{
    static EVP_PKEY *keys[2];
    if (!keys[rsa])
        keys[rsa] = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    return keys[rsa];
}

static inline void add_certificate(SSL_CTX *context, bool rsa, const char *name)
{
    X509 *x509 = make_certificate(key_of(rsa), name);
    SSL_CTX_use_certificate(context, x509);
    SSL_CTX_use_PrivateKey(context, key_of(rsa));
    X509_free(x509);
}

static inline int accept_anyone(int fine, X509_STORE_CTX *store)
{
    (void)fine, (void)store;
    return 1;
}

static inline SSL_CTX *context_of(bool server, int version)
{
    SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set_keylog_callback(context, remember_line);
    if (server) {
        SSL_CTX_set_session_id_context(context, (const uint8_t *)"test", 4);
        add_certificate(context, true, "server.example");
        add_certificate(context, false, "server.example");
        SSL_CTX_set_dh_auto(context, 1);
    }
    return context;
}

/* Only the client logs: both would log the same. */
static inline void pair_open(struct pair *pair, struct conversation *conversation, SSL_CTX *client,
                             SSL_CTX *server)
{
    pair->conversation = conversation;
    pair->side[TO_SERVER] = (struct peer){client, SSL_new(client)};
    pair->side[TO_CLIENT] = (struct peer){server, SSL_new(server)};
    for (int i = 0; i < 2; i++)
        SSL_set_bio(pair->side[i].ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_app_data(pair->side[TO_SERVER].ssl, conversation);
    SSL_set_tlsext_host_name(pair->side[TO_SERVER].ssl, "vc.example");
    SSL_set_connect_state(pair->side[TO_SERVER].ssl);
    SSL_set_accept_state(pair->side[TO_CLIENT].ssl);
}

static inline void pair_close(struct pair *pair)
{
    SSL_free(pair->side[0].ssl);
    SSL_free(pair->side[1].ssl);
}

static inline void conversation_clear(struct conversation *conversation)
{
    for (uint32_t i = 0; i < conversation->pieces; i++)
        free(conversation->piece[i].data);
    conversation->pieces = conversation->lines = 0;
    conversation->said_bytes[0] = conversation->said_bytes[1] = 0;
}

static inline void add_piece(struct conversation *conversation, enum direction direction,
                             const void *data, uint32_t bytes)
{
    if (conversation->pieces == PIECES_MAX)
        abort();
    struct piece *piece = &conversation->piece[conversation->pieces++];
    piece->data = malloc(bytes);
    memcpy(piece->data, data, bytes);
    piece->bytes = bytes;
    piece->direction = (uint8_t)direction;
    piece->time_ns = 1000000ull * conversation->pieces;
}

/* What one side has written goes over the wire; true when there was any. */
static inline bool carry(struct pair *pair, enum direction direction)
{
    char *data;
    SSL *from = pair->side[direction].ssl, *to = pair->side[!direction].ssl;
    long bytes = BIO_get_mem_data(SSL_get_wbio(from), &data);
    if (bytes <= 0)
        return false;
    add_piece(pair->conversation, direction, data, (uint32_t)bytes);
    BIO_write(SSL_get_rbio(to), data, (int)bytes);
    (void)BIO_reset(SSL_get_wbio(from));
    return true;
}

/* A side reads what has come, which also moves its handshake on. */
static inline void hear(struct pair *pair, enum direction direction)
{
    struct conversation *conversation = pair->conversation;
    SSL *ssl = pair->side[!direction].ssl;
    for (;;) {
        uint8_t data[20000];
        int bytes = SSL_read(ssl, data, sizeof data);
        if (bytes <= 0)
            break;
        memcpy(conversation->said[direction] + conversation->said_bytes[direction], data,
               (size_t)bytes);
        conversation->said_bytes[direction] += (uint32_t)bytes;
    }
    ERR_clear_error();
}

static inline void settle(struct pair *pair)
{
    for (bool moved = true; moved;) {
        hear(pair, TO_CLIENT);
        moved = carry(pair, TO_SERVER);
        hear(pair, TO_SERVER);
        moved |= carry(pair, TO_CLIENT);
    }
}

static inline bool shake_hands(struct pair *pair)
{
    SSL_do_handshake(pair->side[TO_SERVER].ssl);
    settle(pair);
    return SSL_is_init_finished(pair->side[0].ssl) && SSL_is_init_finished(pair->side[1].ssl);
}

static inline void say(struct pair *pair, enum direction direction, uint32_t bytes)
{
    static uint8_t data[70000];
    static uint32_t turn;
    turn++;
    for (uint32_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)((i * 7 + turn) % 251);
    SSL_write(pair->side[direction].ssl, data, (int)bytes);
    settle(pair);
}

static inline void say_goodbye(struct pair *pair)
{
    SSL_shutdown(pair->side[TO_SERVER].ssl);
    settle(pair);
    SSL_shutdown(pair->side[TO_CLIENT].ssl);
    settle(pair);
}

/* What a tls says to its sink. */
struct listener {
    struct tls_limits limits;
    struct budget budget;
    struct tls_counters counters;
    struct tls_secrets *secrets;
    struct tls_shared shared;
    struct tls *tls;
    struct tls_info info; /* the last */
    uint8_t *heard[2], *clear[2];
    uint32_t heard_bytes[2], clear_bytes[2];
    uint64_t gap_bytes[2];
    uint32_t gaps[2], ends[2], infos, disorders;
    uint64_t last_ns, order; /* order: hash over (direction, time, bytes) of all plaintext */
    bool told;
};

static inline void on_info(void *context, const struct tls_info *info, uint64_t time_ns)
{
    (void)time_ns;
    struct listener *listener = context;
    listener->info = *info;
    listener->infos++;
}

static inline void on_plaintext(void *context, enum direction direction, const uint8_t *data,
                                uint32_t bytes, uint64_t time_ns)
{
    struct listener *listener = context;
    if (listener->info.visibility != TLS_DECRYPTED || time_ns < listener->last_ns ||
        listener->heard_bytes[direction] > SAID_MAX - bytes)
        listener->disorders++;
    else
        memcpy(listener->heard[direction] + listener->heard_bytes[direction], data, bytes);
    listener->heard_bytes[direction] += bytes;
    listener->last_ns = time_ns;
    listener->order = listener->order * 1000003 + time_ns * 2 + direction;
    listener->order = listener->order * 1000003 + bytes;
}

static inline void on_clear(void *context, enum direction direction, const uint8_t *data,
                            uint32_t bytes, uint64_t time_ns)
{
    struct listener *listener = context;
    (void)time_ns;
    if (listener->clear_bytes[direction] <= SAID_MAX - bytes)
        memcpy(listener->clear[direction] + listener->clear_bytes[direction], data, bytes);
    listener->clear_bytes[direction] += bytes;
}

static inline void on_gap(void *context, enum direction direction, uint64_t bytes, uint64_t time_ns)
{
    struct listener *listener = context;
    (void)time_ns;
    listener->gaps[direction]++;
    listener->gap_bytes[direction] += bytes;
}

static inline void on_end(void *context, enum direction direction, uint64_t time_ns)
{
    struct listener *listener = context;
    (void)time_ns;
    listener->ends[direction]++;
}

static inline struct listener *listener_open(void)
{
    struct listener *listener = calloc(1, sizeof *listener);
    listener->limits = (struct tls_limits){
        .tls_secrets_max = 1 << 12,
        .tls_tickets_max = 1 << 10,
        .tls_held_bytes_max = 16 << 20,
        .tls_held_total_bytes_max = 64 << 20,
        .tls_held_timeout_ms = 60000,
    };
    listener->budget.limit_bytes = 128 << 20;
    for (int i = 0; i < 2; i++) {
        listener->heard[i] = malloc(SAID_MAX);
        listener->clear[i] = malloc(SAID_MAX);
    }
    listener->secrets =
        tls_secrets_open(&listener->limits, &listener->budget, &listener->counters);
    listener->shared = (struct tls_shared){
        .limits = &listener->limits,
        .budget = &listener->budget,
        .counters = &listener->counters,
        .secrets = listener->secrets,
        .sink = {on_info, on_plaintext, on_clear, on_gap, on_end},
        .ja4s = true,
    };
    return listener;
}

/* Another flow with the same store. */
static inline void listener_begin(struct listener *listener)
{
    listener->info = (struct tls_info){0};
    listener->last_ns = listener->order = 0;
    listener->infos = listener->disorders = 0;
    for (int i = 0; i < 2; i++) {
        listener->heard_bytes[i] = listener->clear_bytes[i] = 0;
        listener->gap_bytes[i] = listener->gaps[i] = listener->ends[i] = 0;
    }
    listener->tls = tls_open(&listener->shared, listener);
}

static inline void listener_end(struct listener *listener, uint64_t time_ns)
{
    tls_close(listener->tls, time_ns);
    listener->tls = NULL;
}

static inline void listener_close(struct listener *listener)
{
    tls_close(listener->tls, listener->last_ns);
    tls_secrets_close(listener->secrets);
    if (listener->budget.used_bytes) { /* everything taken is given back */
        fprintf(stderr, "%zu bytes of the budget are lost\n", listener->budget.used_bytes);
        abort();
    }
    for (int i = 0; i < 2; i++) {
        free(listener->heard[i]);
        free(listener->clear[i]);
    }
    free(listener);
}

static inline void tell_lines(struct listener *listener, const struct conversation *conversation)
{
    for (uint32_t i = 0; i < conversation->lines; i++)
        tls_secrets_line(listener->secrets, TLS_KEY_LOG, conversation->line[i],
                         strlen(conversation->line[i]));
}

enum feeding { FEED_WHOLE, FEED_BYTES, FEED_RANDOM, FEEDINGS };

static inline void feed_piece(struct listener *listener, const struct piece *piece,
                              enum feeding feeding)
{
    for (uint32_t at = 0; at < piece->bytes;) {
        uint32_t bytes = piece->bytes;
        if (feeding == FEED_BYTES)
            bytes = 1;
        else if (feeding == FEED_RANDOM)
            bytes = 1 + (uint32_t)rand() % 700;
        if (bytes > piece->bytes - at)
            bytes = piece->bytes - at;
        tls_data(listener->tls, (enum direction)piece->direction, piece->data + at, bytes,
                 piece->time_ns);
        at += bytes;
    }
}

static inline bool heard_all(const struct listener *listener,
                             const struct conversation *conversation)
{
    for (int i = 0; i < 2; i++)
        if (listener->heard_bytes[i] != conversation->said_bytes[i] ||
            memcmp(listener->heard[i], conversation->said[i], conversation->said_bytes[i]) != 0)
            return false;
    return true;
}

#endif
