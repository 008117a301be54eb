#include "tls_hello.h"

#include <string.h>

#include "tls_library.h"
#include "tls_wire.h"

static const uint8_t retry_random[TLS_RANDOM_BYTES] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

/* RFC 6066 section 3: the first name of type host_name. */
static struct slice host_name(struct slice extension)
{
    struct wire wire = wire_of(extension);
    struct wire list = wire_of(wire_vector(&wire, 2));
    while (list.left) {
        uint32_t type = wire_number(&list, 1);
        struct slice name = wire_vector(&list, 2);
        if (type == 0 && !list.bad)
            return name;
    }
    return (struct slice){NULL, 0};
}

/* RFC 7301 section 3.1. */
static struct slice first_protocol(struct slice extension)
{
    struct wire wire = wire_of(extension);
    struct wire list = wire_of(wire_vector(&wire, 2));
    struct slice name = wire_vector(&list, 1);
    return wire.bad || list.bad ? (struct slice){NULL, 0} : name;
}

static struct slice list_of(struct slice extension, uint32_t length_bytes)
{
    struct wire wire = wire_of(extension);
    struct slice list = wire_vector(&wire, length_bytes);
    return wire.bad ? (struct slice){NULL, 0} : list;
}

/* RFC 8446 section 4.2: calls `take` for each extension of a list; false when the list is broken. */
static bool each_extension(struct slice extensions,
                           void (*take)(void *seen, uint32_t type, struct slice data), void *seen)
{
    struct wire list = wire_of(extensions);
    while (list.left && !list.bad) {
        uint32_t type = wire_number(&list, 2);
        struct slice data = wire_vector(&list, 2);
        if (!list.bad)
            take(seen, type, data);
    }
    return !list.bad;
}

static void client_extension(void *seen, uint32_t type, struct slice data)
{
    struct tls_client_hello *hello = seen;
    switch (type) {
    case EXTENSION_SERVER_NAME:
        hello->has_server_name = true;
        hello->server_name = host_name(data);
        break;
    case EXTENSION_GROUPS:
        hello->groups = list_of(data, 2);
        break;
    case EXTENSION_POINT_FORMATS:
        hello->formats = list_of(data, 1);
        break;
    case EXTENSION_SIGNATURE_ALGORITHMS:
        hello->signatures = list_of(data, 2);
        break;
    case EXTENSION_ALPN:
        hello->protocol = first_protocol(data);
        break;
    case EXTENSION_SESSION_TICKET:
        hello->ticket = data;
        break;
    case EXTENSION_EARLY_DATA:
        hello->early_data = true;
        break;
    case EXTENSION_SUPPORTED_VERSIONS:
        hello->versions = list_of(data, 1);
        break;
    }
}

bool tls_client_hello_parse(struct slice body, struct tls_client_hello *hello)
{
    struct wire wire = wire_of(body);
    *hello = (struct tls_client_hello){0};
    hello->version = (uint16_t)wire_number(&wire, 2);
    hello->random = wire_bytes(&wire, TLS_RANDOM_BYTES).data;
    hello->session_id = wire_vector(&wire, 1);
    hello->suites = wire_vector(&wire, 2);
    wire_vector(&wire, 1); /* compression methods */
    if (wire.bad || hello->session_id.bytes > 32 || hello->suites.bytes % 2)
        return false;
    if (!wire.left)
        return true;
    hello->extensions = wire_vector(&wire, 2);
    return each_extension(hello->extensions, client_extension, hello) && !wire.bad;
}

static void server_extension(void *seen, uint32_t type, struct slice data)
{
    struct tls_server_hello *hello = seen;
    switch (type) {
    case EXTENSION_TRUNCATED_HMAC:
        hello->truncated_hmac = true;
        break;
    case EXTENSION_ALPN:
        hello->protocol = first_protocol(data);
        break;
    case EXTENSION_ENCRYPT_THEN_MAC:
        hello->encrypt_then_mac = true;
        break;
    case EXTENSION_EXTENDED_MASTER_SECRET:
        hello->extended_master_secret = true;
        break;
    case EXTENSION_PRE_SHARED_KEY:
        hello->pre_shared_key = true;
        break;
    case EXTENSION_SUPPORTED_VERSIONS:
        if (data.bytes == 2)
            hello->version = wire_u16(data.data);
        break;
    }
}

bool tls_server_hello_parse(struct slice body, struct tls_server_hello *hello)
{
    struct wire wire = wire_of(body);
    *hello = (struct tls_server_hello){0};
    hello->version = hello->legacy_version = (uint16_t)wire_number(&wire, 2);
    hello->random = wire_bytes(&wire, TLS_RANDOM_BYTES).data;
    hello->session_id = wire_vector(&wire, 1);
    hello->suite = (uint16_t)wire_number(&wire, 2);
    hello->compression = (uint8_t)wire_number(&wire, 1);
    if (wire.bad || hello->session_id.bytes > 32)
        return false;
    hello->retry = memcmp(hello->random, retry_random, sizeof retry_random) == 0;
    if (!wire.left)
        return true;
    hello->extensions = wire_vector(&wire, 2);
    return each_extension(hello->extensions, server_extension, hello) && !wire.bad;
}

static void encrypted_extension(void *seen, uint32_t type, struct slice data)
{
    struct tls_encrypted_extensions *extensions = seen;
    if (type == EXTENSION_ALPN)
        extensions->protocol = first_protocol(data);
    if (type == EXTENSION_EARLY_DATA)
        extensions->early_data = true;
}

bool tls_encrypted_extensions_parse(struct slice body, struct tls_encrypted_extensions *seen)
{
    struct wire wire = wire_of(body);
    *seen = (struct tls_encrypted_extensions){0};
    return each_extension(wire_vector(&wire, 2), encrypted_extension, seen) && !wire.bad;
}
