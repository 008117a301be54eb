/* links: tls*.c */
/* 0-RTT (RFC 8446 section 2.3): early data that the server takes is handed up, what it refuses
 * is not. */
#include "tls.h"

#include "check.h"
#include "tls_conversation.h"

enum answer { TAKES, REFUSES, RETRIES, ANSWERS };

static struct conversation talk;

static SSL_SESSION *last_session;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(last_session);
    last_session = session;
    return 1;
}

static void read_early(struct pair *pair)
{
    uint8_t data[4096];
    size_t bytes = 0;
    int state;
    while ((state = SSL_read_early_data(pair->side[TO_CLIENT].ssl, data, sizeof data, &bytes)) ==
           SSL_READ_EARLY_DATA_SUCCESS) {
        memcpy(talk.said[TO_SERVER] + talk.said_bytes[TO_SERVER], data, bytes);
        talk.said_bytes[TO_SERVER] += (uint32_t)bytes;
    }
    ERR_clear_error();
}

static void first_conversation(SSL_CTX *client, SSL_CTX *server)
{
    struct pair pair;
    pair_open(&pair, &talk, client, server);
    CHECK(shake_hands(&pair));
    say(&pair, TO_CLIENT, 10);
    say_goodbye(&pair);
    pair_close(&pair);
    conversation_clear(&talk);
}

static void make_early(const char *suite, enum answer answer)
{
    SSL_CTX *client = context_of(false, TLS1_3_VERSION), *server = context_of(true, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(client, suite);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(client, keep_session);
    SSL_CTX_set_max_early_data(server, 16384);
    SSL_CTX_set_options(server, SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set1_groups_list(client, "X25519:P-384");
    first_conversation(client, server);
    if (answer == RETRIES)
        SSL_CTX_set1_groups_list(server, "P-384");

    struct pair pair;
    pair_open(&pair, &talk, client, server);
    SSL *from = pair.side[TO_SERVER].ssl;
    SSL_set_session(from, last_session);
    size_t written = 0;
    uint8_t early[900];
    memset(early, 'e', sizeof early);
    CHECK(SSL_write_early_data(from, early, 500, &written) == 1 && written == 500);
    carry(&pair, TO_SERVER);
    CHECK(SSL_write_early_data(from, early, 900, &written) == 1 && written == 900);
    carry(&pair, TO_SERVER);
    if (answer == TAKES) {
        read_early(&pair);
        /* Half an RTT early too: the server answers before the client has finished. */
        CHECK(SSL_write_early_data(pair.side[TO_CLIENT].ssl, "half", 4, &written) == 1);
        carry(&pair, TO_CLIENT);
        SSL_do_handshake(from);
        carry(&pair, TO_SERVER);
        read_early(&pair);
    } else {
        SSL_do_handshake(pair.side[TO_CLIENT].ssl); /* without looking for early data */
        carry(&pair, TO_CLIENT);
        SSL_do_handshake(from);
    }
    settle(&pair);
    CHECK(SSL_get_early_data_status(from) ==
          (answer == TAKES ? SSL_EARLY_DATA_ACCEPTED : SSL_EARLY_DATA_REJECTED));
    say(&pair, TO_SERVER, 700);
    say(&pair, TO_CLIENT, 2000);
    say_goodbye(&pair);
    pair_close(&pair);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static bool is_early_line(const char *line)
{
    return strncmp(line, "CLIENT_EARLY_TRAFFIC_SECRET", 27) == 0;
}

static void tell(struct listener *listener, bool with_early)
{
    for (uint32_t i = 0; i < talk.lines; i++)
        if (with_early || !is_early_line(talk.line[i]))
            tls_secrets_line(listener->secrets, TLS_KEY_LOG, talk.line[i], strlen(talk.line[i]));
}

/* told_at: the piece before which the log is told; after all of them when it is talk.pieces. */
static struct listener *listen(enum feeding feeding, uint32_t told_at, bool with_early)
{
    struct listener *listener = listener_open();
    listener_begin(listener);
    for (uint32_t i = 0; i <= talk.pieces; i++) {
        if (i == told_at) {
            tell(listener, with_early);
            tls_wake(listener->secrets, 1000000ull * i);
        }
        if (i < talk.pieces)
            feed_piece(listener, &talk.piece[i], feeding);
    }
    tls_end(listener->tls, TO_SERVER, listener->last_ns);
    tls_end(listener->tls, TO_CLIENT, listener->last_ns);
    return listener;
}

static void check_answer(enum answer answer, enum feeding feeding, uint32_t told_at)
{
    struct listener *listener = listen(feeding, told_at, true);
    CHECK(heard_all(listener, &talk));
    CHECK(listener->disorders == 0);
    CHECK(listener->gaps[0] + listener->gaps[1] == 0);
    CHECK(listener->ends[0] == 1 && listener->ends[1] == 1);
    CHECK(listener->info.early_data == (answer == TAKES));
    CHECK(listener->info.resumed);
    CHECK((listener->counters.value[COUNT_tls_early_data_refused_bytes] > 1400) ==
          (answer != TAKES));
    CHECK(listener->counters.value[COUNT_tls_authentication_failed] == 0);
    CHECK(listener->counters.value[COUNT_tls_malformed] == 0);
    listener_end(listener, listener->last_ns);
    CHECK(listener->counters.value[COUNT_tls_sessions_decrypted] == 1);
    listener_close(listener);
}

/* A log without the early secret: the rest is decrypted, the early data is a gap. */
static void check_without_early_secret(uint32_t told_at)
{
    struct listener *listener = listen(FEED_WHOLE, told_at, false);
    uint32_t lost = 1400;
    CHECK(listener->heard_bytes[TO_CLIENT] == talk.said_bytes[TO_CLIENT]);
    CHECK(listener->heard_bytes[TO_SERVER] == talk.said_bytes[TO_SERVER] - lost);
    CHECK(memcmp(listener->heard[TO_SERVER], talk.said[TO_SERVER] + lost,
                 listener->heard_bytes[TO_SERVER]) == 0);
    CHECK(listener->gaps[TO_SERVER] == 1 && listener->gap_bytes[TO_SERVER] > lost);
    CHECK(listener->counters.value[COUNT_tls_authentication_failed] == 0);
    listener_close(listener);
}

/* Early data waits for the server's word, and the server says ClientHello. */
static void both_are_clients(enum feeding feeding)
{
    struct listener *listener = listener_open();
    struct piece hello = talk.piece[0];
    listener_begin(listener);
    tell(listener, true);
    feed_piece(listener, &talk.piece[0], feeding);
    feed_piece(listener, &talk.piece[1], feeding);
    hello.direction = TO_CLIENT;
    feed_piece(listener, &hello, feeding);
    feed_piece(listener, &talk.piece[1], feeding);
    CHECK(listener->heard_bytes[0] + listener->heard_bytes[1] == 0);
    CHECK(listener->info.trouble == TLS_UNSEEN);
    listener_close(listener);
}

int main(void)
{
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    for (int i = 0; i < 3; i++) {
        for (int answer = 0; answer < ANSWERS; answer++) {
            make_early(suites[i], (enum answer)answer);
            for (int feeding = 0; feeding < FEEDINGS; feeding++)
                for (uint32_t told_at = 0; told_at <= talk.pieces; told_at++)
                    check_answer((enum answer)answer, (enum feeding)feeding, told_at);
            for (int feeding = 0; feeding < FEEDINGS; feeding++)
                both_are_clients((enum feeding)feeding);
            if (answer == TAKES) {
                check_without_early_secret(0);
                check_without_early_secret(talk.pieces / 2);
                check_without_early_secret(talk.pieces);
            }
            conversation_clear(&talk);
        }
    }
    SSL_SESSION_free(last_session);
    EVP_PKEY_free(key_of(true));
    EVP_PKEY_free(key_of(false));
    return checks_report("tls_early");
}
