/* What it costs to decrypt: plaintext MB/s of one core, records of 16 KiB and 1400 bytes, fed in
 * segments of 1448 bytes and whole, beside the bare cipher over the same bytes; and of a
 * handshake, and of a foreign key log line.
 *
 *   cc -O3 -D_GNU_SOURCE -Isensor/core -Itests/core tests/bench/bench_tls.c \
 *       sensor/core/tls*.c -lssl -lcrypto */
#include "tls.h"

#include <time.h>

#include "tls_cipher.h"
#include "tls_conversation.h"

enum { SAID_BYTES = 24 << 20, SEGMENT_BYTES = 1448, ROUNDS = 8 };

struct wire_bytes {
    uint8_t *data[2];
    size_t bytes[2], handshake[2]; /* handshake: of them, before the application data */
    char line[LINES_MAX][LINE_CHARS];
    uint32_t lines;
};

static struct tls_limits limits = {
    .tls_secrets_max = 1 << 16,
    .tls_tickets_max = 1 << 12,
    .tls_held_bytes_max = 64 << 20,
    .tls_held_total_bytes_max = 256 << 20,
    .tls_held_timeout_ms = 1000,
};
static struct budget budget = {.limit_bytes = 512 << 20};
static struct tls_counters counters;
static struct conversation talk;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void move(SSL *from, SSL *to, struct wire_bytes *wire, enum direction direction)
{
    char *data;
    long bytes = BIO_get_mem_data(SSL_get_wbio(from), &data);
    if (bytes <= 0)
        return;
    memcpy(wire->data[direction] + wire->bytes[direction], data, (size_t)bytes);
    wire->bytes[direction] += (size_t)bytes;
    if (to)
        BIO_write(SSL_get_rbio(to), data, (int)bytes);
    (void)BIO_reset(SSL_get_wbio(from));
}

/* One connection on which the server sends SAID_BYTES in records of record_bytes. */
static void make_wire(struct wire_bytes *wire, int version, const char *suite,
                      uint32_t record_bytes)
{
    static uint8_t said[TLS_PLAIN_BYTES_MAX];
    SSL_CTX *client = context_of(false, version), *server = context_of(true, version);
    if (version == TLS1_3_VERSION)
        SSL_CTX_set_ciphersuites(client, suite);
    else
        SSL_CTX_set_cipher_list(client, suite);
    struct pair pair;
    pair_open(&pair, &talk, client, server);
    SSL *ends[2] = {pair.side[TO_SERVER].ssl, pair.side[TO_CLIENT].ssl};
    wire->bytes[0] = wire->bytes[1] = 0;
    for (int i = 0; i < 8; i++) {
        SSL_do_handshake(ends[i % 2]);
        move(ends[i % 2], ends[!(i % 2)], wire, (enum direction)(i % 2));
    }
    memcpy(wire->handshake, wire->bytes, sizeof wire->handshake);
    for (uint32_t sent = 0; sent < SAID_BYTES; sent += record_bytes) {
        SSL_write(ends[TO_CLIENT], said, (int)record_bytes);
        move(ends[TO_CLIENT], NULL, wire, TO_CLIENT);
    }
    memcpy(wire->line, talk.line, sizeof wire->line);
    wire->lines = talk.lines;
    conversation_clear(&talk);
    pair_close(&pair);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static uint64_t heard;

static void info(void *context, const struct tls_info *seen, uint64_t time_ns)
{
    (void)context, (void)seen, (void)time_ns;
}

static void plaintext(void *context, enum direction direction, const uint8_t *data, uint32_t bytes,
                      uint64_t time_ns)
{
    (void)context, (void)direction, (void)data, (void)time_ns;
    heard += bytes;
}

static void clear(void *context, enum direction direction, const uint8_t *data, uint32_t bytes,
                  uint64_t time_ns)
{
    (void)context, (void)direction, (void)data, (void)bytes, (void)time_ns;
}

static void gap(void *context, enum direction direction, uint64_t bytes, uint64_t time_ns)
{
    (void)context, (void)direction, (void)bytes, (void)time_ns;
}

static void end(void *context, enum direction direction, uint64_t time_ns)
{
    (void)context, (void)direction, (void)time_ns;
}

static void feed(struct tls *tls, const struct wire_bytes *wire, uint32_t segment_bytes)
{
    tls_data(tls, TO_SERVER, wire->data[0], (uint32_t)wire->handshake[0], 1);
    tls_data(tls, TO_CLIENT, wire->data[1], (uint32_t)wire->handshake[1], 1);
    for (size_t at = wire->handshake[1]; at < wire->bytes[1];) {
        size_t bytes = wire->bytes[1] - at < segment_bytes ? wire->bytes[1] - at : segment_bytes;
        tls_data(tls, TO_CLIENT, wire->data[1] + at, (uint32_t)bytes, 1);
        at += bytes;
    }
}

static double decrypt(const struct wire_bytes *wire, uint32_t segment_bytes, bool late)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        struct tls_secrets *secrets = tls_secrets_open(&limits, &budget, &counters);
        struct tls_shared shared = {&limits, &budget, &counters, secrets,
                                    {info, plaintext, clear, gap, end}, false};
        for (uint32_t i = 0; i < wire->lines && !late; i++)
            tls_secrets_line(secrets, TLS_KEY_LOG, wire->line[i], strlen(wire->line[i]));
        heard = 0;
        double start = seconds();
        struct tls *tls = tls_open(&shared, NULL);
        feed(tls, wire, segment_bytes);
        for (uint32_t i = 0; i < wire->lines && late; i++)
            tls_secrets_line(secrets, TLS_KEY_LOG, wire->line[i], strlen(wire->line[i]));
        tls_wake(secrets, 2);
        double taken = seconds() - start;
        best = taken < best ? taken : best;
        tls_close(tls, 2);
        tls_secrets_close(secrets);
        if (heard < SAID_BYTES)
            abort();
    }
    return (double)heard / best / 1e6;
}

/* The bare cipher, as `openssl speed -evp` runs it, over as many bytes. */
static double bare_cipher(uint32_t record_bytes)
{
    static uint8_t data[TLS_PLAIN_BYTES_MAX], out[TLS_PLAIN_BYTES_MAX];
    double best = 1e9;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, data, data);
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds();
        for (uint32_t done = 0; done < SAID_BYTES; done += record_bytes) {
            int moved;
            EVP_EncryptUpdate(context, out, &moved, data, (int)record_bytes);
        }
        double taken = seconds() - start;
        best = taken < best ? taken : best;
    }
    EVP_CIPHER_CTX_free(context);
    return SAID_BYTES / best / 1e6;
}

static void handshakes(const struct wire_bytes *wire)
{
    enum { TIMES = 20000, LINES = 1000000 };
    struct tls_secrets *secrets = tls_secrets_open(&limits, &budget, &counters);
    struct tls_shared shared = {&limits, &budget, &counters, secrets,
                                {info, plaintext, clear, gap, end}, false};
    for (uint32_t i = 0; i < wire->lines; i++)
        tls_secrets_line(secrets, TLS_KEY_LOG, wire->line[i], strlen(wire->line[i]));
    double start = seconds();
    for (int i = 0; i < TIMES; i++) {
        struct tls *tls = tls_open(&shared, NULL);
        tls_data(tls, TO_SERVER, wire->data[0], (uint32_t)wire->handshake[0], 1);
        tls_data(tls, TO_CLIENT, wire->data[1], (uint32_t)wire->handshake[1], 1);
        tls_close(tls, 1);
    }
    printf("handshake with keys: %.1f us\n", (seconds() - start) / TIMES * 1e6);
    start = seconds();
    for (uint32_t i = 0; i < LINES; i++) {
        char line[LINE_CHARS];
        int bytes = snprintf(line, sizeof line, "CLIENT_RANDOM %08x%056x %096x", i, i, i);
        tls_secrets_line(secrets, TLS_KEY_LOG, line, (size_t)bytes);
    }
    printf("foreign key log line, of a million: %.2f us\n", seconds() - start);
    tls_secrets_close(secrets);
}

int main(void)
{
    static const struct {
        int version;
        const char *suite;
    } rows[] = {
        {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},
        {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
        {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},
        {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256"},
        {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA"},
    };
    static const uint32_t sizes[] = {16384, 1400};
    struct wire_bytes wire;
    for (int i = 0; i < 2; i++)
        wire.data[i] = malloc(SAID_BYTES + (SAID_BYTES / 1400 + 20) * 80 + 20000);
    for (int size = 0; size < 2; size++) {
        printf("records of %u bytes: bare AES-128-GCM %.0f MB/s\n", sizes[size],
               bare_cipher(sizes[size]));
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            make_wire(&wire, rows[i].version, rows[i].suite, sizes[size]);
            printf("  %-30s segments %5.0f, whole %5.0f, late %5.0f MB/s\n", rows[i].suite,
                   decrypt(&wire, SEGMENT_BYTES, false), decrypt(&wire, 1 << 20, false),
                   decrypt(&wire, SEGMENT_BYTES, true));
            if (!size && !i)
                handshakes(&wire);
        }
    }
    for (int i = 0; i < 2; i++)
        free(wire.data[i]);
    EVP_PKEY_free(key_of(true));
    EVP_PKEY_free(key_of(false));
    return 0;
}
