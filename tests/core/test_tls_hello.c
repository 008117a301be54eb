/* links: tls_hello.c tls_fingerprint.c tls_ja4s.c tls_library.c tls_suite.c */
/* Hellos: the examples of the public fingerprint specifications, and every way to be malformed. */
#include "check.h"
#include "tls_fingerprint.h"
#include "tls_hello.h"

struct made {
    uint8_t data[4096];
    uint32_t bytes;
};

static void put(struct made *made, uint32_t value, int width)
{
    for (int i = width - 1; i >= 0; i--)
        made->data[made->bytes++] = (uint8_t)(value >> 8 * i);
}

static void put_list(struct made *made, const uint16_t *values, uint32_t count)
{
    put(made, 2 * count, 2);
    for (uint32_t i = 0; i < count; i++)
        put(made, values[i], 2);
}

struct client {
    uint16_t version;
    const uint16_t *suites, *extensions, *groups, *signatures, *versions;
    uint32_t suite_count, extension_count, group_count, signature_count, version_count;
    const char *protocol;
    uint32_t protocol_bytes;
};

static void put_extension(struct made *made, const struct client *client, uint16_t type)
{
    put(made, type, 2);
    uint32_t at = made->bytes;
    put(made, 0, 2);
    if (type == EXTENSION_SERVER_NAME) {
        put(made, 13, 2), put(made, 0, 1), put(made, 10, 2);
        memcpy(made->data + made->bytes, "vc.example", 10);
        made->bytes += 10;
    } else if (type == EXTENSION_GROUPS) {
        put_list(made, client->groups, client->group_count);
    } else if (type == EXTENSION_POINT_FORMATS) {
        put(made, 0x0100, 2);
    } else if (type == EXTENSION_SIGNATURE_ALGORITHMS) {
        put_list(made, client->signatures, client->signature_count);
    } else if (type == EXTENSION_SUPPORTED_VERSIONS) {
        put(made, 2 * client->version_count, 1);
        for (uint32_t i = 0; i < client->version_count; i++)
            put(made, client->versions[i], 2);
    } else if (type == EXTENSION_ALPN) {
        put(made, client->protocol_bytes + 1, 2), put(made, client->protocol_bytes, 1);
        memcpy(made->data + made->bytes, client->protocol, client->protocol_bytes);
        made->bytes += client->protocol_bytes;
    }
    made->data[at] = (uint8_t)((made->bytes - at - 2) >> 8);
    made->data[at + 1] = (uint8_t)(made->bytes - at - 2);
}

static struct made make_client(const struct client *client)
{
    struct made made = {.bytes = 0};
    put(&made, client->version, 2);
    for (int i = 0; i < 8; i++)
        put(&made, 0x01020304, 4);
    put(&made, 0, 1);
    put_list(&made, client->suites, client->suite_count);
    put(&made, 0x0100, 2);
    if (!client->extension_count)
        return made;
    uint32_t at = made.bytes;
    put(&made, 0, 2);
    for (uint32_t i = 0; i < client->extension_count; i++)
        put_extension(&made, client, client->extensions[i]);
    made.data[at] = (uint8_t)((made.bytes - at - 2) >> 8);
    made.data[at + 1] = (uint8_t)(made.bytes - at - 2);
    return made;
}

static struct tls_library library;

static void check_ja3(const struct client *client, const char *expected)
{
    struct made made = make_client(client);
    struct tls_client_hello hello;
    char ja3[TLS_MD5_CHARS + 1];
    struct slice body = {guarded(made.data, made.bytes), made.bytes};
    CHECK(tls_client_hello_parse(body, &hello));
    tls_ja3(&library, &hello, ja3);
    CHECK(strcmp(ja3, expected) == 0);
}

/* https://github.com/salesforce/ja3, README.md and python/README.rst */
static void ja3_examples(void)
{
    static const uint16_t suites[] = {47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4};
    static const uint16_t extensions[] = {0, 10, 11}, groups[] = {23, 24, 25};
    check_ja3(&(struct client){.version = 769,
                               .suites = suites, .suite_count = 12,
                               .extensions = extensions, .extension_count = 3,
                               .groups = groups, .group_count = 3},
              "ada70206e40642a3e4461f35503241d5");
    static const uint16_t bare[] = {4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99};
    check_ja3(&(struct client){.version = 769, .suites = bare, .suite_count = 11},
              "de350869b8c85de67a350c8d186f11e6");
    static const uint16_t many[] = {255, 49162, 49172, 136, 135, 57, 56, 49167, 49157,
                                    132, 53, 49159, 49161, 49169, 49171, 69, 68, 51,
                                    50, 49164, 49166, 49154, 49156, 150, 65, 4, 5,
                                    47, 49160, 49170, 22, 19, 49165, 49155, 65279, 10};
    static const uint16_t with_ticket[] = {0, 10, 11, 35};
    check_ja3(&(struct client){.version = 769,
                               .suites = many, .suite_count = 36,
                               .extensions = with_ticket, .extension_count = 4,
                               .groups = groups, .group_count = 3},
              "2aef69b4ba1938c3a400de4188743185");
    /* GREASE in every list changes nothing. */
    static const uint16_t greased[] = {0x0a0a, 47, 53, 5, 10, 49161, 49162, 49171,
                                       49172, 50, 56, 19, 4, 0xfafa};
    static const uint16_t greased_extensions[] = {0x1a1a, 0, 10, 11, 0xdada};
    static const uint16_t greased_groups[] = {0x7a7a, 23, 24, 25};
    check_ja3(&(struct client){.version = 769,
                               .suites = greased, .suite_count = 14,
                               .extensions = greased_extensions, .extension_count = 5,
                               .groups = greased_groups, .group_count = 4},
              "ada70206e40642a3e4461f35503241d5");
}

static const uint16_t ja4_suites[] = {0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f,
                                      0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
                                      0x009c, 0x009d, 0x002f, 0x0035};
static const uint16_t ja4_extensions[] = {0x6a6a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469,
                                          0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
                                          0x002b, 0xff01, 0x000b, 0x000a, 0x0015};
static const uint16_t ja4_signatures[] = {0x0403, 0x0804, 0x0401, 0x0503,
                                          0x0805, 0x0501, 0x0806, 0x0601};
static const uint16_t ja4_versions[] = {0xbaba, 0x0303, 0x0304};

static void check_ja4(const struct client *client, const char *expected)
{
    struct made made = make_client(client);
    struct tls_client_hello hello;
    char ja4[TLS_JA4_CHARS + 1];
    struct slice body = {guarded(made.data, made.bytes), made.bytes};
    CHECK(tls_client_hello_parse(body, &hello));
    tls_ja4(&library, &hello, ja4);
    CHECK(strcmp(ja4, expected) == 0);
    if (strcmp(ja4, expected) != 0)
        fprintf(stderr, "%s instead of %s\n", ja4, expected);
}

/* https://github.com/FoxIO-LLC/ja4, technical_details/JA4.md */
static void ja4_examples(void)
{
    struct client client = {
        .version = 0x0303,
        .suites = ja4_suites, .suite_count = 16,
        .extensions = ja4_extensions, .extension_count = 17,
        .signatures = ja4_signatures, .signature_count = 8,
        .versions = ja4_versions, .version_count = 3,
        .protocol = "h2", .protocol_bytes = 2,
    };
    check_ja4(&client, "t13d1516h2_8daaf6152771_e5627efa2ab1");
    client.signature_count = 0;
    check_ja4(&client, "t13d1516h2_8daaf6152771_6d807ffa2a79");
    client.suite_count = 0;
    check_ja4(&client, "t13d0016h2_000000000000_6d807ffa2a79");
    client.extension_count = 0;
    client.suite_count = 16;
    check_ja4(&client, "t12i150000_8daaf6152771_000000000000");
}

static void ja4_protocols(void)
{
    static const struct {
        const char *protocol;
        uint32_t bytes;
        const char *two;
    } rows[] = {
        {"", 0, "00"},           {"h2", 2, "h2"},         {"http/1.1", 8, "h1"},
        {"x", 1, "xx"},          {"\xab", 1, "ab"},       {"\xab\xcd", 2, "ad"},
        {"\x30\xab", 2, "3b"},   {"\x30\x31\xab\xcd", 4, "3d"},
        {"\x30\xab\xcd\x31", 4, "01"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char two[3];
        struct slice protocol = {(const uint8_t *)rows[i].protocol, rows[i].bytes};
        tls_ja4_protocol(protocol, two);
        CHECK(strcmp(two, rows[i].two) == 0);
    }
}

static void server_examples(void)
{
    static const uint16_t ja4s_types[] = {0x0005, 0x0017, 0xff01, 0x0000};
    static const uint16_t ja3s_types[] = {65281, 0, 11, 35, 5, 16};
    struct made made = {.bytes = 0};
    for (int i = 0; i < 4; i++)
        put(&made, ja4s_types[i], 2), put(&made, 0, 2);
    struct tls_server_hello hello = {
        .version = 0x0303, .suite = 0xc030, .extensions = {made.data, made.bytes}};
    char ja4s[TLS_JA4S_CHARS + 1], ja3s[TLS_MD5_CHARS + 1];
    tls_ja4s(&library, &hello, ja4s); /* technical_details/JA4S.md */
    CHECK(strcmp(ja4s, "t120400_c030_4e8089b08790") == 0);
    made.bytes = 0;
    for (int i = 0; i < 6; i++)
        put(&made, ja3s_types[i], 2), put(&made, 0, 2);
    hello = (struct tls_server_hello){
        .legacy_version = 769, .suite = 47, .extensions = {made.data, made.bytes}};
    tls_ja3s(&library, &hello, ja3s); /* md5sum of 769,47,65281-0-11-35-5-16 */
    CHECK(strcmp(ja3s, "836ce314215654b5b1f85f97c73e506f") == 0);
}

/* Cut at any byte, or with any one byte changed: a verdict, no read outside. */
static void malformed(void)
{
    struct client client = {
        .version = 0x0303,
        .suites = ja4_suites, .suite_count = 16,
        .extensions = ja4_extensions, .extension_count = 17,
        .signatures = ja4_signatures, .signature_count = 8,
        .versions = ja4_versions, .version_count = 3,
        .protocol = "http/1.1", .protocol_bytes = 8,
    };
    struct made made = make_client(&client);
    uint32_t fine = 0;
    for (uint32_t bytes = 0; bytes < made.bytes; bytes++) {
        struct tls_client_hello hello;
        struct tls_server_hello server;
        struct tls_encrypted_extensions seen;
        struct slice body = {guarded(made.data, bytes), bytes};
        bool good = tls_client_hello_parse(body, &hello);
        fine += good;
        tls_server_hello_parse(body, &server);
        tls_encrypted_extensions_parse(body, &seen);
        CHECK(!good || hello.extensions.bytes == 0);
    }
    CHECK(fine == 1); /* without extensions at all it is whole */
    uint8_t *copy = guarded(made.data, made.bytes);
    for (uint32_t at = 0; at < made.bytes; at++) {
        static const uint8_t values[] = {0, 1, 0x7f, 0xff};
        for (size_t i = 0; i < sizeof values; i++) {
            struct tls_client_hello hello;
            char ja4[TLS_JA4_CHARS + 1], ja3[TLS_MD5_CHARS + 1];
            copy[at] = values[i];
            if (tls_client_hello_parse((struct slice){copy, made.bytes}, &hello)) {
                tls_ja3(&library, &hello, ja3);
                tls_ja4(&library, &hello, ja4);
                CHECK(strlen(ja4) == 36 && strlen(ja3) == 32);
            }
        }
        copy[at] = made.data[at];
    }
}

/* No client sends so many: no fingerprint, no overrun. */
static void too_many(void)
{
    static uint8_t suites[65534];
    for (uint32_t i = 0; i < sizeof suites; i++)
        suites[i] = (uint8_t)(i % 2 ? 0x35 : 0);
    struct tls_client_hello hello = {.version = 0x0303, .suites = {suites, sizeof suites}};
    char ja4[TLS_JA4_CHARS + 1], ja3[TLS_MD5_CHARS + 1];
    tls_ja3(&library, &hello, ja3);
    tls_ja4(&library, &hello, ja4);
    CHECK(!ja3[0] && !ja4[0]);
    hello = (struct tls_client_hello){.version = 0x0303, .extensions = {suites, sizeof suites}};
    memset(suites, 0, sizeof suites); /* 16383 empty server_name extensions */
    tls_ja3(&library, &hello, ja3);
    tls_ja4(&library, &hello, ja4);
    CHECK(!ja3[0] && !ja4[0]);
}

static void suite_table(void)
{
    uint32_t known = 0, readable = 0;
    for (uint32_t id = 0; id < 65536; id++) {
        const struct tls_suite *suite = tls_suite_of((uint16_t)id);
        if (!suite)
            continue;
        known++;
        readable += suite->algorithm != UNREADABLE;
        CHECK(suite->id == id);
        CHECK(strncmp(suite->name, "TLS_", 4) == 0);
        CHECK(suite->rsa == (suite->algorithm != UNREADABLE &&
                             strncmp(suite->name, "TLS_RSA_WITH_", 13) == 0));
    }
    CHECK(known == 364 && readable == 131);
    CHECK(tls_suite_of(0x1301)->algorithm == AES_128_GCM);
    CHECK(tls_suite_of(0x0005)->algorithm == UNREADABLE); /* RC4 */
    CHECK(tls_suite_of(0x000a)->algorithm == UNREADABLE); /* 3DES */
    CHECK(!tls_suite_of(0x0a0a));
    CHECK(tls_suite_prf(tls_suite_of(0x002f), TLS_1_1) == TLS_MD5_SHA1);
    CHECK(tls_suite_prf(tls_suite_of(0x002f), TLS_1_2) == TLS_SHA256);
    CHECK(tls_suite_prf(tls_suite_of(0xc030), TLS_1_2) == TLS_SHA384);
}

int main(void)
{
    CHECK(tls_library_open(&library));
    ja3_examples();
    ja4_examples();
    ja4_protocols();
    server_examples();
    malformed();
    too_many();
    suite_table();
    tls_library_close(&library);
    return checks_report("tls_hello");
}
