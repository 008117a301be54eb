/* links: tls*.c */
/* A conversation of pieces, gaps, ends, key log lines and waits. Invariants: plaintext only of a
 * session that says so, ends and memory in balance. Each operation is a byte that says what,
 * then its argument:
 *
 *   bits 0-1: 0 data, 1 gap, 2 end, 3 other    bit 2: direction    bits 3-7: time that passes
 *   data: length of 2 bytes, the bytes; a length with the high bit set feeds them one by one
 *   gap: length of 2 bytes; other: 0 wake, 1 key log line to the next line end, 2 a new flow
 *
 * With -DFUZZ_SEEDS it is a program that writes real conversations of this form into a
 * directory. */
#include <stdlib.h>
#include <string.h>

#include "tls_secrets.h"

enum { OP_DATA, OP_GAP, OP_END, OP_OTHER };

static struct tls_limits limits = {
    .tls_secrets_max = 64,
    .tls_tickets_max = 16,
    .tls_held_bytes_max = 40000,
    .tls_held_total_bytes_max = 60000,
    .tls_held_timeout_ms = 50,
};

struct heard {
    struct tls_info info;
    uint64_t last_ns;
};

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void info(void *context, const struct tls_info *seen, uint64_t time_ns)
{
    struct heard *heard = context;
    (void)time_ns;
    heard->info = *seen;
    demand(strlen(seen->sni) <= TLS_NAME_CHARS && strlen(seen->subject) <= TLS_SUBJECT_CHARS);
}

static void plaintext(void *context, enum direction direction, const uint8_t *data, uint32_t bytes,
                      uint64_t time_ns)
{
    struct heard *heard = context;
    (void)direction;
    demand(heard->info.visibility == TLS_DECRYPTED && bytes > 0 && bytes <= 16384);
    demand(time_ns >= heard->last_ns);
    heard->last_ns = time_ns;
    volatile uint8_t touched = data[0] ^ data[bytes - 1];
    (void)touched;
}

static void clear(void *context, enum direction direction, const uint8_t *data, uint32_t bytes,
                  uint64_t time_ns)
{
    (void)context, (void)direction, (void)time_ns;
    demand(bytes > 0);
    volatile uint8_t touched = data[0] ^ data[bytes - 1];
    (void)touched;
}

static void gap(void *context, enum direction direction, uint64_t bytes, uint64_t time_ns)
{
    (void)context, (void)direction, (void)time_ns;
    demand(bytes > 0);
}

static void end(void *context, enum direction direction, uint64_t time_ns)
{
    (void)context, (void)direction, (void)time_ns;
}

struct input {
    const uint8_t *at;
    size_t left;
};

static uint32_t take_u16(struct input *input)
{
    if (input->left < 2)
        return 0;
    uint32_t number = (uint32_t)(input->at[0] << 8 | input->at[1]);
    input->at += 2;
    input->left -= 2;
    return number;
}

static void feed(struct tls *tls, struct input *input, enum direction direction, uint64_t time_ns)
{
    uint32_t length = take_u16(input);
    bool singly = length & 0x8000;
    uint32_t bytes = length & 0x7fff;
    if (bytes > input->left)
        bytes = (uint32_t)input->left;
    if (!singly) {
        tls_data(tls, direction, input->at, bytes, time_ns);
    } else {
        for (uint32_t i = 0; i < bytes; i++)
            tls_data(tls, direction, input->at + i, 1, time_ns);
    }
    input->at += bytes;
    input->left -= bytes;
}

static void tell(struct tls_secrets *secrets, struct input *input)
{
    const uint8_t *stop = memchr(input->at, '\n', input->left);
    size_t bytes = stop ? (size_t)(stop - input->at) + 1 : input->left;
    tls_secrets_line(secrets, TLS_KEY_LOG, (const char *)input->at, bytes);
    input->at += bytes;
    input->left -= bytes;
}

static struct budget budget = {.limit_bytes = 400000};
static struct tls_counters counters;

/* Opening a store takes a millisecond; emptying its tables makes it forget the input before. */
static struct tls_secrets *fresh_secrets(void)
{
    static struct tls_secrets *secrets;
    if (!secrets)
        secrets = tls_secrets_open(&limits, &budget, &counters);
    demand(secrets);
    tls_table_close(&secrets->table);
    tls_table_close(&secrets->tickets);
    demand(tls_table_open(&secrets->table, limits.tls_secrets_max, secrets->seed));
    demand(tls_table_open(&secrets->tickets, limits.tls_tickets_max, secrets->seed));
    return secrets;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tls_secrets *secrets = fresh_secrets();
    struct tls_shared shared = {&limits, &budget, &counters, secrets,
                                {info, plaintext, clear, gap, end}, true};
    struct heard heard = {.last_ns = 0};
    struct tls *tls = tls_open(&shared, &heard);
    struct input input = {data, bytes};
    uint64_t time_ns = 1;
    while (tls && input.left) {
        uint8_t operation = *input.at++;
        input.left--;
        enum direction direction = operation & 4 ? TO_CLIENT : TO_SERVER;
        time_ns += (uint64_t)(operation >> 3) * 1000000;
        if ((operation & 3) == OP_DATA) {
            feed(tls, &input, direction, time_ns);
        } else if ((operation & 3) == OP_GAP) {
            tls_gap(tls, direction, 1 + take_u16(&input), time_ns);
        } else if ((operation & 3) == OP_END) {
            tls_end(tls, direction, time_ns);
        } else if (input.left) {
            uint8_t which = *input.at++;
            input.left--;
            if (which == 1) {
                tell(secrets, &input);
            } else if (which == 2) {
                tls_close(tls, time_ns);
                heard = (struct heard){.last_ns = 0};
                tls = tls_open(&shared, &heard);
            } else {
                tls_wake(secrets, time_ns);
            }
        }
    }
    tls_close(tls, time_ns);
    demand(tls_secrets_held_bytes(secrets) == 0);
    demand(budget.used_bytes == (size_t)secrets->spare_count * TLS_RECORD_BYTES_MAX);
    return 0;
}

#ifdef FUZZ_SEEDS
#include "tls_conversation.h"

static void write_seed(const char *path, const struct conversation *talk, bool early)
{
    FILE *file = fopen(path, "w");
    for (uint32_t i = 0; i < talk->lines && early; i++)
        fprintf(file, "%c%c%s\n", OP_OTHER, 1, talk->line[i]);
    for (uint32_t i = 0; i < talk->pieces; i++) {
        for (uint32_t at = 0; at < talk->piece[i].bytes;) {
            uint32_t bytes = talk->piece[i].bytes - at;
            bytes = bytes > 2000 ? 2000 : bytes;
            fprintf(file, "%c%c%c", (1 << 3) | talk->piece[i].direction << 2, (int)(bytes >> 8),
                    (int)(bytes & 255));
            fwrite(talk->piece[i].data + at, 1, bytes, file);
            at += bytes;
        }
    }
    for (uint32_t i = 0; i < talk->lines && !early; i++)
        fprintf(file, "%c%c%s\n", OP_OTHER, 1, talk->line[i]);
    fprintf(file, "%c%c%c%c", OP_OTHER, 0, OP_END, OP_END | 4);
    fclose(file);
}

int main(int count, char **arguments)
{
    static const struct {
        int version;
        const char *suite;
    } rows[] = {
        {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},
        {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},
        {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256"},
        {TLS1_2_VERSION, "AES128-SHA"},
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM8"},
        {TLS1_1_VERSION, "ECDHE-RSA-AES256-SHA"},
        {TLS1_VERSION, "AES128-SHA"},
    };
    static struct conversation talk;
    for (size_t i = 0; count > 1 && i < sizeof rows / sizeof rows[0]; i++) {
        SSL_CTX *client = context_of(false, rows[i].version);
        SSL_CTX *server = context_of(true, rows[i].version);
        SSL_CTX_set_ciphersuites(client, rows[i].suite);
        SSL_CTX_set_cipher_list(client, rows[i].suite);
        struct pair pair;
        pair_open(&pair, &talk, client, server);
        shake_hands(&pair);
        say(&pair, TO_SERVER, 200);
        say(&pair, TO_CLIENT, 600);
        SSL_key_update(pair.side[TO_CLIENT].ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
        say(&pair, TO_CLIENT, 300);
        say_goodbye(&pair);
        for (int early = 0; early < 2; early++) {
            char path[512];
            snprintf(path, sizeof path, "%s/%zu-%d", arguments[1], i, early);
            write_seed(path, &talk, early);
        }
        conversation_clear(&talk);
        pair_close(&pair);
        SSL_CTX_free(client);
        SSL_CTX_free(server);
    }
    return 0;
}
#endif
