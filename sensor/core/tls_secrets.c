#include "tls_secrets.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

enum {
    FLOWS_MAX = 1 << 20,   /* TLS 1.3 flows decrypted at one time; 96 bytes of address space each */
    SPARE_BUFFERS_MAX = 64, /* 1.2 MB kept at hand */
};

/* RFC 9850 section 2; RSA is the older form of NSS. A name is what the secret is looked up by. */
static const struct line_form {
    const char *label;
    uint8_t name_bytes;
    uint8_t kind; /* enum tls_label */
    bool traffic; /* as long as the hash of the suite: 32 or 48; else 48 */
} line_forms[] = {
    {"CLIENT_RANDOM", TLS_RANDOM_BYTES, LABEL_MASTER, false},
    {"CLIENT_EARLY_TRAFFIC_SECRET", TLS_RANDOM_BYTES, LABEL_CLIENT_EARLY, true},
    {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", TLS_RANDOM_BYTES, LABEL_CLIENT_HANDSHAKE, true},
    {"SERVER_HANDSHAKE_TRAFFIC_SECRET", TLS_RANDOM_BYTES, LABEL_SERVER_HANDSHAKE, true},
    {"CLIENT_TRAFFIC_SECRET_0", TLS_RANDOM_BYTES, LABEL_CLIENT_TRAFFIC, true},
    {"SERVER_TRAFFIC_SECRET_0", TLS_RANDOM_BYTES, LABEL_SERVER_TRAFFIC, true},
    {"RSA", 8, LABEL_PREMASTER, false},
};

struct tls_secrets *tls_secrets_open(const struct tls_limits *limits, struct budget *budget,
                                     struct tls_counters *counters)
{
    struct tls_secrets *secrets = calloc(1, sizeof *secrets);
    if (!secrets)
        return NULL;
    secrets->limits = limits;
    secrets->budget = budget;
    secrets->counters = counters;
    if (tls_library_open(&secrets->library) && tls_waiting_open(&secrets->waiting) &&
        RAND_bytes_ex(secrets->library.context, (unsigned char *)secrets->seed,
                      sizeof secrets->seed, 0) == 1 &&
        tls_table_open(&secrets->table, limits->tls_secrets_max, secrets->seed) &&
        tls_table_open(&secrets->tickets, limits->tls_tickets_max, secrets->seed) &&
        tls_vault_open(&secrets->traffic, sizeof(struct tls_traffic_secrets), FLOWS_MAX) &&
        (secrets->plain = malloc(TLS_BODY_BYTES_MAX)))
        return secrets;
    tls_secrets_close(secrets);
    return NULL;
}

void tls_secrets_leave(struct tls_secrets *secrets)
{
    OPENSSL_thread_stop_ex(secrets->library.context);
}

void tls_secrets_close(struct tls_secrets *secrets)
{
    if (!secrets)
        return;
    while (secrets->spare_buffers) {
        void *buffer = secrets->spare_buffers;
        memcpy(&secrets->spare_buffers, buffer, sizeof buffer);
        free(buffer);
        budget_give(secrets->budget, TLS_RECORD_BYTES_MAX);
    }
    if (secrets->plain)
        OPENSSL_cleanse(secrets->plain, TLS_BODY_BYTES_MAX);
    free(secrets->plain);
    tls_vault_close(&secrets->traffic);
    tls_table_close(&secrets->tickets);
    tls_table_close(&secrets->table);
    tls_waiting_close(&secrets->waiting);
    tls_rsa_close(&secrets->rsa);
    tls_library_close(&secrets->library);
    OPENSSL_cleanse(secrets, sizeof *secrets);
    free(secrets);
}

static void remember(struct tls_secrets *secrets, const struct tls_name *name, struct slice value,
                     enum tls_key_source source)
{
    bool from_traffic = name->label == LABEL_TICKET || name->label == LABEL_SESSION_ID;
    struct tls_table *table = from_traffic ? &secrets->tickets : &secrets->table;
    enum tls_put put = tls_table_put(table, name, value, (uint8_t)source);
    if (put == TLS_PUT_KNOWN)
        return;
    if (put == TLS_PUT_FORGOT_ONE)
        tls_count(secrets->counters, COUNT_tls_secrets_forgotten, 1);
    secrets->generation++;
    tls_waiting_wake(&secrets->waiting, tls_name_hash(secrets->seed, name));
}

void tls_secrets_put(struct tls_secrets *secrets, enum tls_label label, struct slice name,
                     struct slice value, enum tls_key_source source)
{
    struct tls_name made = tls_name_of(label, name);
    remember(secrets, &made, value, source);
}

const struct tls_slot *tls_secrets_find(const struct tls_secrets *secrets, enum tls_label label,
                                        struct slice name)
{
    struct tls_name made = tls_name_of(label, name);
    bool from_traffic = label == LABEL_TICKET || label == LABEL_SESSION_ID;
    return tls_table_find(from_traffic ? &secrets->tickets : &secrets->table, &made);
}

uint64_t tls_secrets_hash(const struct tls_secrets *secrets, enum tls_label label,
                          struct slice name)
{
    struct tls_name made = tls_name_of(label, name);
    return tls_name_hash(secrets->seed, &made);
}

/* The next word of the line; empty at its end. */
static struct slice take_word(struct slice *line)
{
    while (line->bytes && *line->data == ' ') {
        line->data++;
        line->bytes--;
    }
    struct slice word = {line->data, 0};
    while (line->bytes && *line->data != ' ') {
        line->data++;
        line->bytes--;
        word.bytes++;
    }
    return word;
}

static bool word_is(struct slice word, const char *text)
{
    return word.bytes == strlen(text) && memcmp(word.data, text, word.bytes) == 0;
}

static bool skip_prefix(struct slice *word, const char *prefix)
{
    uint32_t bytes = (uint32_t)strlen(prefix);
    if (word->bytes < bytes || memcmp(word->data, prefix, bytes) != 0)
        return false;
    word->data += bytes;
    word->bytes -= bytes;
    return true;
}

static int digit_of(uint8_t character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

/* Bytes written; 0 when it is not hex, or more than room. */
static uint32_t unhex(struct slice word, uint8_t *out, uint32_t room)
{
    if (word.bytes % 2 || word.bytes / 2 > room)
        return 0;
    for (uint32_t i = 0; i < word.bytes / 2; i++) {
        int high = digit_of(word.data[2 * i]), low = digit_of(word.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return word.bytes / 2;
}

static bool is_label(struct slice word)
{
    for (uint32_t i = 0; i < word.bytes; i++) {
        uint8_t each = word.data[i];
        if (!(each >= 'A' && each <= 'Z') && !(each >= '0' && each <= '9') && each != '_')
            return false;
    }
    return word.bytes > 0;
}

static bool is_hex(struct slice word)
{
    for (uint32_t i = 0; i < word.bytes; i++)
        if (digit_of(word.data[i]) < 0)
            return false;
    return word.bytes % 2 == 0;
}

static bool length_fits(const struct line_form *form, uint32_t bytes)
{
    return bytes == TLS_MASTER_BYTES || (form->traffic && bytes == 32);
}

static enum tls_line_verdict take_form(struct tls_secrets *secrets, enum tls_key_source source,
                                       const struct line_form *form, struct slice name_word,
                                       struct slice value_word)
{
    struct line_form used = *form;
    /* A log that is made by format string has a dash where there is no such secret. */
    if (word_is(name_word, "-") || word_is(value_word, "-"))
        return TLS_LINE_IGNORED;
    uint8_t name[TLS_NAME_BYTES], value[TLS_SECRET_BYTES_MAX];
    uint32_t name_bytes_min = used.name_bytes;
    if (used.kind == LABEL_PREMASTER && skip_prefix(&name_word, "Session-ID:") &&
        skip_prefix(&value_word, "Master-Key:")) {
        used = (struct line_form){NULL, TLS_NAME_BYTES, LABEL_SESSION_ID, false};
        name_bytes_min = 1;
    }
    uint32_t name_bytes = unhex(name_word, name, used.name_bytes);
    uint32_t value_bytes = unhex(value_word, value, sizeof value);
    enum tls_line_verdict verdict = TLS_LINE_MALFORMED;
    if (name_bytes >= name_bytes_min && length_fits(&used, value_bytes)) {
        verdict = TLS_LINE_TAKEN;
        tls_secrets_put(secrets, used.kind, (struct slice){name, name_bytes},
                        (struct slice){value, value_bytes}, source);
    }
    OPENSSL_cleanse(value, sizeof value);
    return verdict;
}

static enum tls_line_verdict take_line(struct tls_secrets *secrets, enum tls_key_source source,
                                       struct slice line)
{
    struct slice label = take_word(&line);
    if (!label.bytes || *label.data == '#')
        return TLS_LINE_IGNORED;
    struct slice name = take_word(&line);
    struct slice value = take_word(&line);
    if (!is_label(label) || !value.bytes || take_word(&line).bytes)
        return TLS_LINE_MALFORMED;
    for (size_t i = 0; i < sizeof line_forms / sizeof line_forms[0]; i++)
        if (word_is(label, line_forms[i].label))
            return take_form(secrets, source, &line_forms[i], name, value);
    return is_hex(name) && is_hex(value) ? TLS_LINE_IGNORED : TLS_LINE_MALFORMED;
}

enum tls_line_verdict tls_secrets_line(struct tls_secrets *secrets, enum tls_key_source source,
                                       const char *line, size_t bytes)
{
    static const enum tls_counter counters[] = {
        [TLS_LINE_TAKEN] = COUNT_tls_secrets_taken,
        [TLS_LINE_IGNORED] = COUNT_tls_secrets_ignored,
        [TLS_LINE_MALFORMED] = COUNT_tls_secrets_malformed,
    };
    while (bytes && (line[bytes - 1] == '\n' || line[bytes - 1] == '\r'))
        bytes--;
    enum tls_line_verdict verdict = TLS_LINE_MALFORMED;
    if (bytes <= UINT32_MAX)
        verdict = take_line(secrets, source,
                            (struct slice){(const uint8_t *)line, (uint32_t)bytes});
    tls_count(secrets->counters, counters[verdict], 1);
    return verdict;
}

enum tls_rsa_verdict tls_secrets_rsa_key(struct tls_secrets *secrets, const char *pem,
                                         size_t bytes)
{
    return tls_rsa_add(&secrets->rsa, &secrets->library, pem, bytes);
}

uint64_t tls_secrets_generation(const struct tls_secrets *secrets)
{
    return secrets->generation;
}

size_t tls_secrets_held_bytes(const struct tls_secrets *secrets)
{
    return secrets->held_bytes;
}

size_t tls_secrets_unlocked_bytes(const struct tls_secrets *secrets)
{
    return secrets->table.vault.unlocked_bytes + secrets->tickets.vault.unlocked_bytes +
           secrets->traffic.unlocked_bytes;
}

uint8_t *tls_buffer_take(struct tls_secrets *secrets)
{
    uint8_t *buffer = secrets->spare_buffers;
    if (buffer) {
        memcpy(&secrets->spare_buffers, buffer, sizeof(void *));
        secrets->spare_count--;
        return buffer;
    }
    if (!budget_take(secrets->budget, TLS_RECORD_BYTES_MAX))
        return NULL;
    buffer = malloc(TLS_RECORD_BYTES_MAX);
    if (!buffer)
        budget_give(secrets->budget, TLS_RECORD_BYTES_MAX);
    return buffer;
}

void tls_buffer_give(struct tls_secrets *secrets, uint8_t *buffer)
{
    if (!buffer)
        return;
    if (secrets->spare_count == SPARE_BUFFERS_MAX) {
        free(buffer);
        budget_give(secrets->budget, TLS_RECORD_BYTES_MAX);
        return;
    }
    memcpy(buffer, &secrets->spare_buffers, sizeof(void *));
    secrets->spare_buffers = buffer;
    secrets->spare_count++;
}
