#include "tls_fingerprint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_wire.h"

void tls_text_add(struct tls_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text->at, text->left, format, arguments);
    va_end(arguments);
    if (bytes < 0 || (uint32_t)bytes >= text->left) {
        text->full = true;
        return;
    }
    text->at += bytes;
    text->left -= (uint32_t)bytes;
}

/* Numbers of a list, GREASE left out, with a separator between. */
static void add_numbers(struct tls_text *text, struct slice list, uint32_t width)
{
    struct wire wire = wire_of(list);
    const char *separator = "";
    while (wire.left >= width) {
        uint32_t number = wire_number(&wire, width);
        if (width == 2 && tls_is_grease(number))
            continue;
        tls_text_add(text, "%s%u", separator, number);
        separator = "-";
    }
}

/* Types of an extension block into `types`; the count, or UINT32_MAX when there are too many. */
static uint32_t extension_types(struct slice extensions, uint16_t *types)
{
    struct wire wire = wire_of(extensions);
    uint32_t count = 0;
    while (wire.left) {
        uint32_t type = wire_number(&wire, 2);
        wire_vector(&wire, 2);
        if (wire.bad || tls_is_grease(type))
            continue;
        if (count == TLS_ENTRIES_MAX)
            return UINT32_MAX;
        types[count++] = (uint16_t)type;
    }
    return count;
}

static bool add_extensions(struct tls_text *text, struct slice extensions)
{
    uint16_t types[TLS_ENTRIES_MAX];
    uint32_t count = extension_types(extensions, types);
    if (count == UINT32_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++)
        tls_text_add(text, "%s%u", i ? "-" : "", types[i]);
    return true;
}

static void digest_text(struct tls_library *library, enum tls_hash hash, const char *start,
                        const struct tls_text *text, char *hex)
{
    struct slice whole = {(const uint8_t *)start, (uint32_t)(text->at - start)};
    tls_digest_hex(library, hash, whole, hex);
}

void tls_ja3(struct tls_library *library, const struct tls_client_hello *hello,
             char ja3[TLS_MD5_CHARS + 1])
{
    char start[TLS_TEXT_BYTES_MAX];
    struct tls_text text = {start, sizeof start, false};
    ja3[0] = '\0';
    tls_text_add(&text, "%u,", hello->version);
    add_numbers(&text, hello->suites, 2);
    tls_text_add(&text, ",");
    bool good = add_extensions(&text, hello->extensions);
    tls_text_add(&text, ",");
    add_numbers(&text, hello->groups, 2);
    tls_text_add(&text, ",");
    add_numbers(&text, hello->formats, 1);
    if (good && !text.full)
        digest_text(library, TLS_MD5, start, &text, ja3);
}

void tls_ja3s(struct tls_library *library, const struct tls_server_hello *hello,
              char ja3s[TLS_MD5_CHARS + 1])
{
    char start[TLS_TEXT_BYTES_MAX];
    struct tls_text text = {start, sizeof start, false};
    ja3s[0] = '\0';
    tls_text_add(&text, "%u,%u,", hello->legacy_version, hello->suite);
    if (add_extensions(&text, hello->extensions) && !text.full)
        digest_text(library, TLS_MD5, start, &text, ja3s);
}

const char *tls_ja4_version(uint16_t version)
{
    switch (version) {
    case TLS_1_3:
        return "13";
    case TLS_1_2:
        return "12";
    case TLS_1_1:
        return "11";
    case TLS_1_0:
        return "10";
    case 0x0300:
        return "s3";
    case 0x0002:
        return "s2";
    default:
        return "00";
    }
}

static bool alphanumeric(uint8_t character)
{
    return (character >= '0' && character <= '9') || (character >= 'A' && character <= 'Z') ||
           (character >= 'a' && character <= 'z');
}

void tls_ja4_protocol(struct slice protocol, char two[3])
{
    memcpy(two, "00", 3);
    if (!protocol.bytes)
        return;
    uint8_t first = protocol.data[0], last = protocol.data[protocol.bytes - 1];
    if (alphanumeric(first) && alphanumeric(last)) {
        two[0] = (char)first;
        two[1] = (char)last;
    } else {
        two[0] = "0123456789abcdef"[first >> 4];
        two[1] = "0123456789abcdef"[last & 15];
    }
}

static int by_value(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

static uint32_t cipher_ids(struct slice suites, uint16_t *ids)
{
    struct wire wire = wire_of(suites);
    uint32_t count = 0;
    while (wire.left >= 2) {
        uint32_t id = wire_number(&wire, 2);
        if (tls_is_grease(id))
            continue;
        if (count == TLS_ENTRIES_MAX)
            return UINT32_MAX;
        ids[count++] = (uint16_t)id;
    }
    return count;
}

static uint16_t highest_version(const struct tls_client_hello *hello)
{
    uint16_t highest = 0;
    struct wire wire = wire_of(hello->versions);
    while (wire.left >= 2) {
        uint16_t version = (uint16_t)wire_number(&wire, 2);
        if (!tls_is_grease(version) && version > highest)
            highest = version;
    }
    return highest ? highest : hello->version;
}

static void digest_twelve(struct tls_library *library, const char *start,
                          const struct tls_text *text, char twelve[13])
{
    char hex[TLS_FINGERPRINT_CHARS + 1] = "";
    memcpy(twelve, "000000000000", 13); /* what the specification says for an empty list */
    if (text->at == start)
        return;
    digest_text(library, TLS_SHA256, start, text, hex);
    memcpy(twelve, hex, 12);
}

static void cipher_part(struct tls_library *library, uint16_t *ids, uint32_t count,
                        char twelve[13])
{
    char start[TLS_TEXT_BYTES_MAX];
    struct tls_text text = {start, sizeof start, false};
    qsort(ids, count, sizeof *ids, by_value);
    for (uint32_t i = 0; i < count; i++)
        tls_text_add(&text, "%s%04x", i ? "," : "", ids[i]);
    digest_twelve(library, start, &text, twelve);
}

/* Sorted, without SNI and ALPN, which the first part tells; then the signature algorithms as
 * sent. */
static void extension_part(struct tls_library *library, uint16_t *types, uint32_t count,
                           struct slice signatures, char twelve[13])
{
    char start[TLS_TEXT_BYTES_MAX];
    struct tls_text text = {start, sizeof start, false};
    const char *separator = "";
    qsort(types, count, sizeof *types, by_value);
    for (uint32_t i = 0; i < count; i++) {
        if (types[i] == EXTENSION_SERVER_NAME || types[i] == EXTENSION_ALPN)
            continue;
        tls_text_add(&text, "%s%04x", separator, types[i]);
        separator = ",";
    }
    struct wire wire = wire_of(signatures);
    separator = "_";
    while (text.at != start && wire.left >= 2 && !text.full) {
        uint32_t signature = wire_number(&wire, 2);
        if (tls_is_grease(signature))
            continue;
        tls_text_add(&text, "%s%04x", separator, signature);
        separator = ",";
    }
    digest_twelve(library, start, &text, twelve);
}

void tls_ja4(struct tls_library *library, const struct tls_client_hello *hello,
             char ja4[TLS_JA4_CHARS + 1])
{
    uint16_t ids[TLS_ENTRIES_MAX], types[TLS_ENTRIES_MAX];
    uint32_t ciphers = cipher_ids(hello->suites, ids);
    uint32_t extensions = extension_types(hello->extensions, types);
    ja4[0] = '\0';
    if (ciphers == UINT32_MAX || extensions == UINT32_MAX ||
        hello->signatures.bytes > 2 * TLS_ENTRIES_MAX)
        return;
    char protocol[3], cipher_hash[13], extension_hash[13];
    tls_ja4_protocol(hello->protocol, protocol);
    cipher_part(library, ids, ciphers, cipher_hash);
    extension_part(library, types, extensions, hello->signatures, extension_hash);
    snprintf(ja4, TLS_JA4_CHARS + 1, "t%s%c%02u%02u%s_%s_%s",
             tls_ja4_version(highest_version(hello)), hello->has_server_name ? 'd' : 'i',
             ciphers < 99 ? ciphers : 99, extensions < 99 ? extensions : 99, protocol, cipher_hash,
             extension_hash);
}
