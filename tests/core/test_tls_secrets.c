/* links: tls_secrets.c tls_library.c tls_rsa.c tls_table.c tls_vault.c tls_waiting.c */
/* Key log lines, and the memory that keeps what they say: bounded, locked, wiped. */
#include "check.h"
#include "tls_secrets.h"

#include <stdlib.h>
#include <sys/resource.h>

#define RANDOM "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SECRET32 "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
#define SECRET48 SECRET32 "606162636465666768696a6b6c6d6e6f"

static struct tls_limits limits = {.tls_secrets_max = 100, .tls_tickets_max = 10};
static struct budget budget = {.limit_bytes = 1 << 20};
static struct tls_counters counters;

static const struct {
    const char *line;
    enum tls_line_verdict verdict;
} rows[] = {
    {"CLIENT_RANDOM " RANDOM " " SECRET48, TLS_LINE_TAKEN},
    {"CLIENT_RANDOM " RANDOM " " SECRET48 "\n", TLS_LINE_TAKEN},
    {"CLIENT_RANDOM " RANDOM " " SECRET48 "\r\n", TLS_LINE_TAKEN},
    {"CLIENT_RANDOM  " RANDOM "  " SECRET48 " ", TLS_LINE_TAKEN},
    {"CLIENT_RANDOM 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F " SECRET48,
     TLS_LINE_TAKEN},
    {"CLIENT_EARLY_TRAFFIC_SECRET " RANDOM " " SECRET32, TLS_LINE_TAKEN},
    {"CLIENT_HANDSHAKE_TRAFFIC_SECRET " RANDOM " " SECRET48, TLS_LINE_TAKEN},
    {"SERVER_HANDSHAKE_TRAFFIC_SECRET " RANDOM " " SECRET32, TLS_LINE_TAKEN},
    {"CLIENT_TRAFFIC_SECRET_0 " RANDOM " " SECRET32, TLS_LINE_TAKEN},
    {"SERVER_TRAFFIC_SECRET_0 " RANDOM " " SECRET48, TLS_LINE_TAKEN},
    {"RSA 0001020304050607 " SECRET48, TLS_LINE_TAKEN},
    {"RSA Session-ID:0011 Master-Key:" SECRET48, TLS_LINE_TAKEN},
    {"", TLS_LINE_IGNORED},
    {"\n", TLS_LINE_IGNORED},
    {"   ", TLS_LINE_IGNORED},
    {"# a comment", TLS_LINE_IGNORED},
    {"EXPORTER_SECRET " RANDOM " " SECRET32, TLS_LINE_IGNORED},
    {"EARLY_EXPORTER_SECRET " RANDOM " " SECRET32, TLS_LINE_IGNORED},
    {"ECH_SECRET " RANDOM " " SECRET32, TLS_LINE_IGNORED},
    {"CLIENT_RANDOM " RANDOM " -", TLS_LINE_IGNORED},
    {"CLIENT_EARLY_TRAFFIC_SECRET - -", TLS_LINE_IGNORED},
    {"CLIENT_RANDOM", TLS_LINE_MALFORMED},
    {"CLIENT_RANDOM " RANDOM, TLS_LINE_MALFORMED},
    {"CLIENT_RANDOM " RANDOM " ", TLS_LINE_MALFORMED},
    {"CLIENT_RANDOM " RANDOM " " SECRET32, TLS_LINE_MALFORMED},
    {"CLIENT_RANDOM " RANDOM " " SECRET48 "00", TLS_LINE_MALFORMED},
    {"CLIENT_RANDOM " RANDOM " " SECRET48 " more", TLS_LINE_MALFORMED},
    {"CLIENT_RANDOM " RANDOM "00 " SECRET48, TLS_LINE_MALFORMED},
    {"CLIENT_RANDOM 00 " SECRET48, TLS_LINE_MALFORMED},
    {"CLIENT_RANDOM " SECRET32 " g" SECRET48, TLS_LINE_MALFORMED},
    {"CLIENT_RANDOM zz" RANDOM " " SECRET48, TLS_LINE_MALFORMED},
    {"RSA 00010203040506 " SECRET48, TLS_LINE_MALFORMED},
    {"RSA Session-ID: Master-Key:" SECRET48, TLS_LINE_MALFORMED},
    {"RSA Session-ID:" RANDOM "00 Master-Key:" SECRET48, TLS_LINE_MALFORMED},
    {"client_random " RANDOM " " SECRET48, TLS_LINE_MALFORMED},
    {"GET / HTTP/1.1", TLS_LINE_MALFORMED},
    {"\x16\x03\x01\x02\x01 \x01 \x01", TLS_LINE_MALFORMED},
};

static enum tls_line_verdict tell(struct tls_secrets *secrets, const char *line)
{
    size_t bytes = strlen(line);
    return tls_secrets_line(secrets, TLS_KEY_LOG, (const char *)guarded(line, bytes), bytes);
}

static void lines(void)
{
    struct tls_secrets *secrets = tls_secrets_open(&limits, &budget, &counters);
    uint64_t seen[3] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK(tell(secrets, rows[i].line) == rows[i].verdict);
        seen[rows[i].verdict]++;
    }
    CHECK(counters.value[COUNT_tls_secrets_taken] == seen[TLS_LINE_TAKEN]);
    CHECK(counters.value[COUNT_tls_secrets_ignored] == seen[TLS_LINE_IGNORED]);
    CHECK(counters.value[COUNT_tls_secrets_malformed] == seen[TLS_LINE_MALFORMED]);
    CHECK(tls_secrets_generation(secrets) == 8); /* five lines say what was known */
    uint8_t name[32];
    for (uint8_t i = 0; i < 32; i++)
        name[i] = i;
    const struct tls_slot *slot =
        tls_secrets_find(secrets, LABEL_CLIENT_TRAFFIC, (struct slice){name, 32});
    CHECK(slot && slot->value_bytes == 32 && slot->value[0] == 0x40 && slot->value[31] == 0x5f);
    slot = tls_secrets_find(secrets, LABEL_PREMASTER, (struct slice){name, 8});
    CHECK(slot && slot->value_bytes == 48);
    name[0] = 9;
    CHECK(!tls_secrets_find(secrets, LABEL_MASTER, (struct slice){name, 32}));
    tls_secrets_close(secrets);
}

/* Every line cut at every byte, and with every byte changed. */
static void broken_lines(void)
{
    struct tls_secrets *secrets = tls_secrets_open(&limits, &budget, &counters);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[256];
        for (size_t bytes = 0; bytes < strlen(rows[i].line); bytes++) {
            snprintf(line, sizeof line, "%.*s", (int)bytes, rows[i].line);
            CHECK(tell(secrets, line) <= TLS_LINE_MALFORMED);
            snprintf(line, sizeof line, "%s", rows[i].line);
            line[bytes] ^= 0x15;
            CHECK(tls_secrets_line(secrets, TLS_KEY_LOG, line, strlen(rows[i].line)) <=
                  TLS_LINE_MALFORMED);
        }
    }
    tls_secrets_close(secrets);
}

static struct tls_name numbered(uint32_t number)
{
    return tls_name_of(LABEL_MASTER, (struct slice){(const uint8_t *)&number, 4});
}

static void put_numbered(struct tls_table *table, uint32_t number, uint32_t value,
                         enum tls_put expected)
{
    struct tls_name name = numbered(number);
    CHECK(tls_table_put(table, &name, (struct slice){(const uint8_t *)&value, 4}, 1) == expected);
}

static bool has(const struct tls_table *table, uint32_t number, uint32_t value)
{
    struct tls_name name = numbered(number);
    const struct tls_slot *slot = tls_table_find(table, &name);
    return slot && slot->value_bytes == 4 && memcmp(slot->value, &value, 4) == 0;
}

/* The oldest makes room, three times around. */
static void table_is_bounded(void)
{
    static const uint64_t seed[TLS_SEED_WORDS] = {1, 2, 3, 4, 5, 6};
    struct tls_table table;
    CHECK(tls_table_open(&table, 50, seed));
    for (uint32_t i = 0; i < 200; i++) {
        put_numbered(&table, i, i, i < 50 ? TLS_PUT_NEW : TLS_PUT_FORGOT_ONE);
        put_numbered(&table, i, i, TLS_PUT_KNOWN);
        for (uint32_t back = 0; back <= i && back < 60; back++)
            CHECK(has(&table, i - back, i - back) == (back < 50));
    }
    put_numbered(&table, 180, 7, TLS_PUT_NEW); /* another value for the same name */
    CHECK(has(&table, 180, 7) && has(&table, 151, 151));
    tls_table_close(&table);
    CHECK(!tls_table_open(&table, 0, seed));
    tls_table_close(&table);
}

/* The VmFlags of the mapping at this address, proc(5): dd: not dumped, dc: not copied on fork,
 * lo: locked. */
static void flags_of(const void *address, char flags[256])
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[256];
    bool here = false;
    flags[0] = '\0';
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && strchr(line, '-') - line < 17)
            here = (unsigned long)address >= from && (unsigned long)address < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(flags, 256, "%s", line + 8);
    }
    if (maps)
        fclose(maps);
}

static void vault_is_locked_and_wiped(void)
{
    struct tls_vault vault;
    char flags[256];
    struct rlimit before;
    CHECK(tls_vault_open(&vault, 96, 4000));
    uint8_t *cell = tls_vault_take(&vault), *other = tls_vault_take(&vault);
    CHECK(cell && other && other == cell + 96);
    flags_of(cell, flags);
    CHECK(strstr(flags, " dd") && strstr(flags, " dc"));
/* The run time of AddressSanitizer makes mlock() do nothing. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
    CHECK(vault.unlocked_bytes > 0 || strstr(flags, " lo"));
#endif
    CHECK(vault.locked_bytes + vault.unlocked_bytes == 64 << 10);
    memset(cell, 0xee, 96);
    tls_vault_give(&vault, cell);
    for (int i = (int)sizeof(void *); i < 96; i++)
        CHECK(cell[i] == 0);
    CHECK(tls_vault_take(&vault) == cell);
    for (int i = 0; i < 96; i++)
        CHECK(cell[i] == 0);
    /* A lock refused is told, and no reason to stop. Root is never refused. */
    getrlimit(RLIMIT_MEMLOCK, &before);
    setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, before.rlim_max});
    for (int i = 2; i < 4000; i++)
        CHECK(tls_vault_take(&vault));
    CHECK(!tls_vault_take(&vault));
    CHECK(geteuid() == 0 || vault.unlocked_bytes > 0);
    setrlimit(RLIMIT_MEMLOCK, &before);
    tls_vault_close(&vault);
}

/* Buffers for records in parts are taken from the budget, and given back with the store. */
static void buffers(void)
{
    struct budget small = {.limit_bytes = 3 * TLS_RECORD_BYTES_MAX};
    struct tls_secrets *secrets = tls_secrets_open(&limits, &small, &counters);
    uint8_t *taken[3];
    for (int i = 0; i < 3; i++)
        CHECK((taken[i] = tls_buffer_take(secrets)));
    CHECK(!tls_buffer_take(secrets));
    for (int i = 0; i < 3; i++)
        tls_buffer_give(secrets, taken[i]);
    CHECK(tls_buffer_take(secrets) == taken[2]);
    tls_buffer_give(secrets, taken[2]);
    tls_secrets_close(secrets);
    CHECK(small.used_bytes == 0);
}

int main(void)
{
    lines();
    broken_lines();
    table_is_bounded();
    vault_is_locked_and_wiped();
    buffers();
    return checks_report("tls_secrets");
}
