/* links: tls*.c */
/* Every version, suite and turn a handshake can take, each conversation fed whole, byte by byte
 * and at random splits, with its key before, during and after. */
#include "tls.h"

#include "check.h"
#include "tls_conversation.h"

enum turn {
    NO_EXTENDED_MASTER = 1,
    NO_ENCRYPT_THEN_MAC = 2,
    CLIENT_CERTIFICATE = 4,
    RETRY = 8,           /* HelloRetryRequest */
    UPDATE = 16,         /* KeyUpdate by both */
    RENEGOTIATE = 32,
    TICKET = 64,         /* a second conversation resumes the first */
    SESSION_ID = 128,
    LATER_CERTIFICATE = 256, /* post-handshake authentication */
    SMALL = 512,         /* max_fragment_length */
    PADDED = 1024,       /* TLS 1.3: records of full blocks, RFC 8446 section 5.4 */
    PRE_SHARED = 2048,   /* a key both sides were given */
    LONG_HELLO = 4096,   /* more than two segments, as post-quantum key shares make it; with ALPN */
};

struct row {
    int version;
    const char *suite; /* OpenSSL's name; TLS 1.3: the IANA name */
    unsigned turns;
};

static const struct row rows[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 0},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", 0},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", 0},
    {TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", 0},
    {TLS1_3_VERSION, "TLS_AES_128_CCM_8_SHA256", 0},
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", CLIENT_CERTIFICATE},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", RETRY},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", UPDATE},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", UPDATE | RETRY | CLIENT_CERTIFICATE},
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", TICKET},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", TICKET | RETRY},
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", LATER_CERTIFICATE},
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", SMALL},
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", PADDED},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", PADDED | UPDATE | LONG_HELLO},
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", PRE_SHARED},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", LONG_HELLO | RETRY},

    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", 0},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", 0},
    {TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", 0},
    {TLS1_2_VERSION, "DHE-RSA-CHACHA20-POLY1305", 0},
    {TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", 0},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM", 0},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM", 0},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM8", 0},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM8", 0},
    {TLS1_2_VERSION, "AES128-CCM", 0},
    {TLS1_2_VERSION, "AES256-CCM8", 0},
    {TLS1_2_VERSION, "ADH-AES128-GCM-SHA256", 0},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA", 0},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA", NO_ENCRYPT_THEN_MAC},
    {TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA", NO_EXTENDED_MASTER},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", 0},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", NO_ENCRYPT_THEN_MAC},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384", 0},
    {TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384", NO_ENCRYPT_THEN_MAC},
    {TLS1_2_VERSION, "AES128-SHA", 0},
    {TLS1_2_VERSION, "AES256-SHA256", NO_ENCRYPT_THEN_MAC | NO_EXTENDED_MASTER},
    {TLS1_2_VERSION, "AES128-GCM-SHA256", 0},
    {TLS1_2_VERSION, "AES256-GCM-SHA384", NO_EXTENDED_MASTER},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", CLIENT_CERTIFICATE},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", RENEGOTIATE},
    {TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA", RENEGOTIATE | CLIENT_CERTIFICATE},
    {TLS1_2_VERSION, "AES128-SHA", RENEGOTIATE | NO_ENCRYPT_THEN_MAC},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", TICKET},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", SESSION_ID},
    {TLS1_2_VERSION, "AES256-SHA", TICKET | NO_EXTENDED_MASTER},
    {TLS1_2_VERSION, "AES128-GCM-SHA256", SESSION_ID},
    {TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", TICKET | RENEGOTIATE},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", SMALL},
    {TLS1_2_VERSION, "PSK-AES128-GCM-SHA256", PRE_SHARED},
    {TLS1_2_VERSION, "ECDHE-PSK-AES256-CBC-SHA384", PRE_SHARED | NO_ENCRYPT_THEN_MAC},
    {TLS1_2_VERSION, "DHE-PSK-CHACHA20-POLY1305", PRE_SHARED | LONG_HELLO},
    {TLS1_2_VERSION, "RSA-PSK-AES128-CBC-SHA256", PRE_SHARED},

    {TLS1_1_VERSION, "ECDHE-RSA-AES128-SHA", 0},
    {TLS1_1_VERSION, "AES256-SHA", NO_ENCRYPT_THEN_MAC},
    {TLS1_1_VERSION, "DHE-RSA-AES128-SHA", NO_EXTENDED_MASTER | SESSION_ID},
    {TLS1_1_VERSION, "AES128-SHA", TICKET},

    {TLS1_VERSION, "ECDHE-RSA-AES256-SHA", 0},
    {TLS1_VERSION, "AES128-SHA", NO_ENCRYPT_THEN_MAC},
    {TLS1_VERSION, "DHE-RSA-AES256-SHA", NO_EXTENDED_MASTER | NO_ENCRYPT_THEN_MAC},
    {TLS1_VERSION, "ECDHE-ECDSA-AES128-SHA", CLIENT_CERTIFICATE | RENEGOTIATE},
    {TLS1_VERSION, "AES128-SHA", SESSION_ID | NO_ENCRYPT_THEN_MAC},
    {TLS1_VERSION, "ECDHE-RSA-AES128-SHA", TICKET},
};

static const struct row *current; /* for messages of failed checks */

#define CHECK_ROW(condition)                                                                   \
    do {                                                                                       \
        bool holds = (condition);                                                              \
        if (!holds)                                                                            \
            fprintf(stderr, "row %04x %s %u: %s: ", current->version, current->suite,          \
                    current->turns, #condition);                                               \
        CHECK(holds);                                                                          \
    } while (0)

static unsigned give_key_to_client(SSL *ssl, const char *hint, char *identity, unsigned room,
                                   unsigned char *key, unsigned key_room)
{
    (void)ssl, (void)hint, (void)key_room;
    snprintf(identity, room, "sensor");
    memset(key, 7, 16);
    return 16;
}

static unsigned give_key_to_server(SSL *ssl, const char *identity, unsigned char *key,
                                   unsigned room)
{
    (void)ssl, (void)identity, (void)room;
    memset(key, 7, 16);
    return 16;
}

/* "h2", then so many others that the hello is long, "http/1.1" the last. */
static void offer_protocols(SSL_CTX *context)
{
    static uint8_t list[3200] = {2, 'h', '2'};
    uint32_t at = 3;
    for (; at < 3000; at += 100) {
        list[at] = 99;
        memset(list + at + 1, 'x', 99);
    }
    list[at++] = 8;
    memcpy(list + at, "http/1.1", 8);
    SSL_CTX_set_alpn_protos(context, list, at + 8);
}

static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_bytes,
                           const unsigned char *offered, unsigned offered_bytes, void *context)
{
    (void)ssl, (void)context;
    *chosen = offered + offered_bytes - 8;
    *chosen_bytes = 8;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *make_context(const struct row *row, bool server)
{
    SSL_CTX *context = context_of(server, row->version);
    if (row->version == TLS1_3_VERSION)
        SSL_CTX_set_ciphersuites(context, row->suite);
    else
        SSL_CTX_set_cipher_list(context, row->suite);
    if (row->turns & NO_EXTENDED_MASTER)
        SSL_CTX_set_options(context, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    if (row->turns & NO_ENCRYPT_THEN_MAC)
        SSL_CTX_set_options(context, SSL_OP_NO_ENCRYPT_THEN_MAC);
    if (row->turns & SESSION_ID)
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    if (row->turns & (CLIENT_CERTIFICATE | LATER_CERTIFICATE)) {
        if (server && row->turns & CLIENT_CERTIFICATE)
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER, accept_anyone);
        if (!server)
            add_certificate(context, true, "administrator");
        if (!server)
            SSL_CTX_set_post_handshake_auth(context, 1);
    }
    if (row->turns & RETRY)
        SSL_CTX_set1_groups_list(context, server ? "P-384" : "X25519:P-384");
    if (row->turns & PADDED)
        SSL_CTX_set_block_padding(context, 700);
    if (row->turns & PRE_SHARED) {
        SSL_CTX_set_psk_client_callback(context, give_key_to_client);
        SSL_CTX_set_psk_server_callback(context, give_key_to_server);
    }
    if (row->turns & LONG_HELLO) {
        offer_protocols(context);
        SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    }
    if (row->turns & SMALL)
        SSL_CTX_set_tlsext_max_fragment_length(context, TLSEXT_max_fragment_length_512);
    return context;
}

static void talk(const struct row *row, struct pair *pair)
{
    SSL *client = pair->side[TO_SERVER].ssl, *server = pair->side[TO_CLIENT].ssl;
    CHECK_ROW(shake_hands(pair));
    say(pair, TO_SERVER, 1);
    say(pair, TO_SERVER, 400);
    say(pair, TO_CLIENT, 40000); /* several records */
    if (row->turns & UPDATE) {
        SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED);
        say(pair, TO_SERVER, 300);
        say(pair, TO_CLIENT, 300);
        SSL_key_update(server, SSL_KEY_UPDATE_NOT_REQUESTED);
        say(pair, TO_CLIENT, 5000);
    }
    if (row->turns & RENEGOTIATE) {
        SSL_renegotiate(server);
        SSL_do_handshake(server);
        settle(pair);
        CHECK_ROW(SSL_num_renegotiations(client) == 1);
    }
    if (row->turns & LATER_CERTIFICATE) {
        SSL_set_verify(server, SSL_VERIFY_PEER, accept_anyone);
        CHECK_ROW(SSL_verify_client_post_handshake(server) == 1);
        SSL_do_handshake(server);
        settle(pair);
    }
    say(pair, TO_SERVER, 20000);
    say(pair, TO_CLIENT, 17);
    say_goodbye(pair);
}

static struct conversation first, second; /* second: resumes the first */

static void make_conversations(const struct row *row)
{
    SSL_CTX *client = make_context(row, false), *server = make_context(row, true);
    struct pair pair;
    conversation_clear(&first);
    conversation_clear(&second);
    pair_open(&pair, &first, client, server);
    talk(row, &pair);
    if (row->turns & (TICKET | SESSION_ID)) {
        SSL_SESSION *session = SSL_get1_session(pair.side[TO_SERVER].ssl);
        struct pair again;
        pair_open(&again, &second, client, server);
        SSL_set_session(again.side[TO_SERVER].ssl, session);
        talk(row, &again);
        CHECK_ROW(SSL_session_reused(again.side[TO_SERVER].ssl) ||
                  row->turns & RENEGOTIATE);
        pair_close(&again);
        SSL_SESSION_free(session);
    }
    pair_close(&pair);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

enum when { KEY_BEFORE, KEY_DURING, KEY_AFTER, WHENS };

static void listen(struct listener *listener, const struct conversation *conversation,
                   enum feeding feeding, enum when when)
{
    uint64_t last_ns = conversation->piece[conversation->pieces - 1].time_ns;
    listener_begin(listener);
    if (when == KEY_BEFORE)
        tell_lines(listener, conversation);
    for (uint32_t i = 0; i < conversation->pieces; i++) {
        feed_piece(listener, &conversation->piece[i], feeding);
        if (when == KEY_DURING && i == conversation->pieces / 2)
            tell_lines(listener, conversation);
        if (when == KEY_DURING && i == conversation->pieces * 2 / 3)
            tls_wake(listener->secrets, conversation->piece[i].time_ns);
    }
    tls_end(listener->tls, TO_SERVER, last_ns);
    tls_end(listener->tls, TO_CLIENT, last_ns);
    if (when == KEY_AFTER) {
        tell_lines(listener, conversation);
        tls_wake(listener->secrets, last_ns);
    }
}

static void check_heard(const struct listener *listener, const struct conversation *conversation)
{
    CHECK_ROW(heard_all(listener, conversation));
    CHECK_ROW(listener->disorders == 0);
    CHECK_ROW(listener->gaps[0] + listener->gaps[1] == 0);
    CHECK_ROW(listener->ends[0] == 1 && listener->ends[1] == 1);
    CHECK_ROW(listener->info.version == current->version);
    CHECK_ROW(listener->info.visibility == TLS_DECRYPTED);
    CHECK_ROW(listener->info.trouble == TLS_UNTROUBLED);
    CHECK_ROW(strcmp(listener->info.sni, "vc.example") == 0);
    CHECK_ROW(strlen(listener->info.ja3) == 32 && strlen(listener->info.ja3s) == 32);
    CHECK_ROW(strlen(listener->info.ja4) == 36 && strlen(listener->info.ja4s) == 25);
    CHECK_ROW(listener->counters.value[COUNT_tls_authentication_failed] == 0);
    CHECK_ROW(listener->counters.value[COUNT_tls_malformed] == 0);
}

static const char *server_subject(void)
{
    bool pre_shared = current->turns & PRE_SHARED && strncmp(current->suite, "RSA-PSK", 7) != 0;
    return pre_shared || strncmp(current->suite, "ADH", 3) == 0 ? "" : "CN=server.example,O=Hoptap";
}

static void check_names(const struct listener *listener)
{
    const char *subject = server_subject();
    CHECK_ROW(strcmp(listener->info.subject, subject) == 0);
    CHECK_ROW(strcmp(listener->info.issuer, subject) == 0);
    CHECK_ROW(strlen(listener->info.fingerprint) == (*subject ? 64 : 0));
    const char *client = current->turns & (CLIENT_CERTIFICATE | LATER_CERTIFICATE)
                             ? "CN=administrator,O=Hoptap"
                             : "";
    CHECK_ROW(strcmp(listener->info.client_subject, client) == 0);
    bool long_hello = current->turns & LONG_HELLO;
    CHECK_ROW(strcmp(listener->info.alpn_offered, long_hello ? "h2" : "") == 0);
    CHECK_ROW(strcmp(listener->info.alpn, long_hello ? "http/1.1" : "") == 0);
    CHECK_ROW(strncmp(listener->info.ja4 + 8, long_hello ? "h2" : "00", 2) == 0);
    CHECK_ROW(!long_hello || first.piece[0].bytes > 3000);
}

static void run_row(const struct row *row)
{
    current = row;
    make_conversations(row);
    uint64_t order = 0;
    for (int when = 0; when < WHENS; when++) {
        for (int feeding = 0; feeding < FEEDINGS; feeding++) {
            struct listener *listener = listener_open();
            listen(listener, &first, (enum feeding)feeding, (enum when)when);
            CHECK_ROW(when != KEY_AFTER || listener->counters.value[COUNT_tls_key_waits] > 0);
            check_heard(listener, &first);
            check_names(listener);
            /* TLS 1.3 does not tell a pre-shared key from a ticket. */
            bool is_13 = row->version == TLS1_3_VERSION;
            CHECK_ROW(listener->info.resumed == (is_13 && row->turns & PRE_SHARED));
            CHECK_ROW(listener->info.key_source == TLS_KEY_LOG);
            if (!order)
                order = listener->order;
            CHECK_ROW(listener->order == order); /* the same pieces at the same times */
            if (second.pieces) {
                listener_end(listener, 0);
                if (!is_13) /* the log names the full handshake only */
                    second.lines = row->turns & RENEGOTIATE ? second.lines : 0;
                listen(listener, &second, (enum feeding)feeding, (enum when)when);
                check_heard(listener, &second);
                CHECK_ROW(listener->info.resumed);
                CHECK_ROW(second.lines > 0 || listener->info.key_source == TLS_KEY_TICKET);
            }
            listener_end(listener, 0);
            CHECK_ROW(listener->counters.value[COUNT_tls_sessions_decrypted] ==
                      (second.pieces ? 2 : 1));
            listener_close(listener);
        }
    }
}

/* Named, counted, not decrypted, whatever the log says. */
static void unsupported(int version, const char *suite, const char *name)
{
    struct row row = {version, suite, 0};
    current = &row;
    make_conversations(&row);
    struct listener *listener = listener_open();
    listen(listener, &first, FEED_RANDOM, KEY_BEFORE);
    CHECK_ROW(listener->info.cipher_name && strcmp(listener->info.cipher_name, name) == 0);
    CHECK_ROW(listener->info.trouble == TLS_UNSUPPORTED);
    CHECK_ROW(listener->info.visibility == TLS_METADATA);
    CHECK_ROW(strcmp(listener->info.subject, "CN=server.example,O=Hoptap") == 0);
    CHECK_ROW(listener->heard_bytes[0] + listener->heard_bytes[1] == 0);
    CHECK_ROW(listener->clear_bytes[0] + listener->clear_bytes[1] == 0);
    listener_end(listener, 0);
    CHECK_ROW(listener->counters.value[COUNT_tls_sessions_unsupported] == 1);
    CHECK_ROW(listener->counters.value[COUNT_tls_held_bytes] == 0);
    listener_close(listener);
}

int main(void)
{
    unsupported(TLS1_2_VERSION, "NULL-SHA256", "TLS_RSA_WITH_NULL_SHA256");
    unsupported(TLS1_2_VERSION, "ECDHE-ARIA128-GCM-SHA256",
                "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256");
    unsupported(TLS1_1_VERSION, "CAMELLIA128-SHA", "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        run_row(&rows[i]);
    conversation_clear(&first);
    conversation_clear(&second);
    EVP_PKEY_free(key_of(true));
    EVP_PKEY_free(key_of(false));
    return checks_report("tls");
}
