/* links: tls*.c */
/* RSA key exchange with the server's private key alone, several keys, and premaster secrets of a
 * log. */
#include "tls.h"

#include "check.h"
#include "tls_conversation.h"

static const struct {
    int version;
    const char *suite;
    bool extended_master, renegotiate, client_certificate;
} rows[] = {
    {TLS1_2_VERSION, "AES128-GCM-SHA256", true, false, false},
    {TLS1_2_VERSION, "AES128-GCM-SHA256", false, false, false},
    {TLS1_2_VERSION, "AES256-GCM-SHA384", true, false, true},
    {TLS1_2_VERSION, "AES256-SHA256", false, true, false},
    {TLS1_2_VERSION, "AES128-SHA", true, true, true},
    {TLS1_2_VERSION, "AES128-CCM8", true, false, false},
    {TLS1_1_VERSION, "AES128-SHA", true, false, true},
    {TLS1_1_VERSION, "AES256-SHA", false, false, false},
    {TLS1_VERSION, "AES256-SHA", true, false, false},
    {TLS1_VERSION, "AES128-SHA", false, true, false},
};

static struct conversation full, resumed;

static void make_talks(size_t row)
{
    SSL_CTX *client = context_of(false, rows[row].version);
    SSL_CTX *server = context_of(true, rows[row].version);
    SSL_CTX_set_cipher_list(client, rows[row].suite);
    SSL_CTX_set_cipher_list(server, rows[row].suite);
    if (!rows[row].extended_master)
        SSL_CTX_set_options(client, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    if (rows[row].client_certificate) {
        SSL_CTX_set_verify(server, SSL_VERIFY_PEER, accept_anyone);
        add_certificate(client, false, "administrator");
    }
    struct pair pair, again;
    conversation_clear(&full);
    conversation_clear(&resumed);
    pair_open(&pair, &full, client, server);
    CHECK(shake_hands(&pair));
    say(&pair, TO_SERVER, 500);
    say(&pair, TO_CLIENT, 20000);
    pair_open(&again, &resumed, client, server);
    SSL_set_session(again.side[TO_SERVER].ssl, SSL_get0_session(pair.side[TO_SERVER].ssl));
    CHECK(shake_hands(&again));
    CHECK(SSL_session_reused(again.side[TO_SERVER].ssl));
    say(&again, TO_SERVER, 500);
    say(&again, TO_CLIENT, 500);
    if (rows[row].renegotiate) {
        SSL_set_options(pair.side[TO_CLIENT].ssl, SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
        SSL_renegotiate(pair.side[TO_CLIENT].ssl);
        SSL_do_handshake(pair.side[TO_CLIENT].ssl);
        settle(&pair);
        CHECK(SSL_num_renegotiations(pair.side[TO_SERVER].ssl) == 1);
        say(&pair, TO_SERVER, 100);
        say(&pair, TO_CLIENT, 100);
    }
    say_goodbye(&pair);
    say_goodbye(&again);
    pair_close(&pair);
    pair_close(&again);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static enum tls_rsa_verdict give_key(struct listener *listener, EVP_PKEY *key)
{
    char *pem;
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    long bytes = BIO_get_mem_data(bio, &pem);
    enum tls_rsa_verdict verdict = tls_secrets_rsa_key(listener->secrets, pem, (size_t)bytes);
    BIO_free(bio);
    return verdict;
}

static void listen(struct listener *listener, const struct conversation *talk)
{
    listener_begin(listener);
    for (uint32_t i = 0; i < talk->pieces; i++)
        feed_piece(listener, &talk->piece[i], FEED_RANDOM);
    tls_end(listener->tls, TO_SERVER, UINT64_MAX);
    tls_end(listener->tls, TO_CLIENT, UINT64_MAX);
    listener_end(listener, UINT64_MAX);
}

static void private_key(EVP_PKEY *other)
{
    struct listener *listener = listener_open();
    CHECK(give_key(listener, other) == TLS_RSA_TAKEN);
    CHECK(give_key(listener, key_of(true)) == TLS_RSA_TAKEN);
    CHECK(give_key(listener, key_of(true)) == TLS_RSA_TAKEN);
    CHECK(give_key(listener, key_of(false)) == TLS_RSA_NOT_RSA);
    listen(listener, &full);
    CHECK(heard_all(listener, &full));
    CHECK(listener->info.key_source == TLS_KEY_RSA);
    CHECK(listener->gaps[0] + listener->gaps[1] == 0);
    listen(listener, &resumed);
    CHECK(heard_all(listener, &resumed));
    CHECK(listener->info.key_source == TLS_KEY_TICKET);
    CHECK(listener->counters.value[COUNT_tls_sessions_decrypted] == 2);
    CHECK(listener->counters.value[COUNT_tls_rsa_failed] == 0);
    CHECK(listener->counters.value[COUNT_tls_authentication_failed] == 0);
    listener_close(listener);
}

/* The key of another server opens nothing, and nothing is tried with it. */
static void foreign_key(EVP_PKEY *other)
{
    struct listener *listener = listener_open();
    CHECK(give_key(listener, other) == TLS_RSA_TAKEN);
    listen(listener, &full);
    CHECK(listener->heard_bytes[0] + listener->heard_bytes[1] == 0);
    CHECK(listener->counters.value[COUNT_tls_sessions_no_key] == 1);
    CHECK(listener->counters.value[COUNT_tls_rsa_failed] == 1);
    listener_close(listener);
}

/* "RSA" lines of NSS: the premaster secret, by the first 8 bytes of it encrypted. */
static void premaster_line(void)
{
    struct listener *listener = listener_open();
    for (uint32_t i = 0; i < full.lines; i++)
        if (strncmp(full.line[i], "RSA ", 4) == 0)
            CHECK(tls_secrets_line(listener->secrets, TLS_KEY_DSB, full.line[i],
                                   strlen(full.line[i])) == TLS_LINE_TAKEN);
    listen(listener, &full);
    CHECK(heard_all(listener, &full));
    CHECK(listener->info.key_source == TLS_KEY_DSB);
    listener_close(listener);
}

static void not_keys(void)
{
    static const char *const texts[] = {
        "", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIC\n-----END ENCRYPTED PRIVATE KEY-----\n"};
    struct listener *listener = listener_open();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        CHECK(tls_secrets_rsa_key(listener->secrets, texts[i], strlen(texts[i])) ==
              TLS_RSA_NOT_A_KEY);
    char *pem;
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(bio, key_of(true), EVP_aes_128_cbc(), "secret", 6, NULL, NULL);
    long bytes = BIO_get_mem_data(bio, &pem);
    CHECK(tls_secrets_rsa_key(listener->secrets, pem, (size_t)bytes) == TLS_RSA_NOT_A_KEY);
    BIO_free(bio);
    listener_close(listener);
}

int main(void)
{
    EVP_PKEY *other = EVP_RSA_gen(2048);
    not_keys();
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        make_talks(row);
        private_key(other);
        foreign_key(other);
        premaster_line();
    }
    conversation_clear(&full);
    conversation_clear(&resumed);
    EVP_PKEY_free(other);
    EVP_PKEY_free(key_of(true));
    EVP_PKEY_free(key_of(false));
    return checks_report("tls_rsa");
}
