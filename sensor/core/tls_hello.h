/* The fields of a ClientHello, a ServerHello and EncryptedExtensions that matter to us. */
#ifndef HOPTAP_TLS_HELLO_H
#define HOPTAP_TLS_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#include "tls_suite.h"
#include "transaction.h"

enum tls_handshake_type {
    HANDSHAKE_HELLO_REQUEST = 0,
    HANDSHAKE_CLIENT_HELLO = 1,
    HANDSHAKE_SERVER_HELLO = 2,
    HANDSHAKE_NEW_SESSION_TICKET = 4,
    HANDSHAKE_END_OF_EARLY_DATA = 5,
    HANDSHAKE_ENCRYPTED_EXTENSIONS = 8,
    HANDSHAKE_CERTIFICATE = 11,
    HANDSHAKE_SERVER_HELLO_DONE = 14,
    HANDSHAKE_CLIENT_KEY_EXCHANGE = 16,
    HANDSHAKE_FINISHED = 20,
    HANDSHAKE_KEY_UPDATE = 24,
};

enum tls_extension {
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_TRUNCATED_HMAC = 4,
    EXTENSION_GROUPS = 10,
    EXTENSION_POINT_FORMATS = 11,
    EXTENSION_SIGNATURE_ALGORITHMS = 13,
    EXTENSION_ALPN = 16,
    EXTENSION_ENCRYPT_THEN_MAC = 22,
    EXTENSION_EXTENDED_MASTER_SECRET = 23,
    EXTENSION_SESSION_TICKET = 35,
    EXTENSION_PRE_SHARED_KEY = 41,
    EXTENSION_EARLY_DATA = 42,
    EXTENSION_SUPPORTED_VERSIONS = 43,
};

/* Slices borrow from the message. */
struct tls_client_hello {
    uint16_t version; /* legacy_version */
    const uint8_t *random; /* 32 bytes */
    struct slice session_id, suites, extensions;
    struct slice server_name;  /* the first host name */
    struct slice protocol;     /* the first of ALPN */
    struct slice versions;     /* list of supported_versions */
    struct slice groups, formats, signatures; /* the lists without their lengths */
    struct slice ticket;
    bool has_server_name, early_data;
};

struct tls_server_hello {
    uint16_t version; /* as negotiated */
    uint16_t legacy_version;
    const uint8_t *random;
    struct slice session_id, extensions;
    struct slice protocol;
    uint16_t suite;
    uint8_t compression;
    bool retry; /* HelloRetryRequest, RFC 8446 section 4.1.3 */
    bool encrypt_then_mac, extended_master_secret, truncated_hmac, pre_shared_key;
};

struct tls_encrypted_extensions {
    struct slice protocol;
    bool early_data;
};

/* body: the message without its header of 4 bytes. False: malformed. */
bool tls_client_hello_parse(struct slice body, struct tls_client_hello *hello);
bool tls_server_hello_parse(struct slice body, struct tls_server_hello *hello);
bool tls_encrypted_extensions_parse(struct slice body, struct tls_encrypted_extensions *seen);

/* Values that mean nothing (RFC 8701): 0x0a0a, 0x1a1a ... 0xfafa. */
static inline bool tls_is_grease(uint32_t value)
{
    return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

#endif
