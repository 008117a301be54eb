/* The protection of one direction under one key: opens records, in any order of sequence numbers
 * but for TLS 1.0 CBC, whose records are chained. */
#ifndef HOPTAP_TLS_CIPHER_H
#define HOPTAP_TLS_CIPHER_H

#include "tls_library.h"

enum {
    TLS_HEADER_BYTES = 5,
    TLS_PLAIN_BYTES_MAX = 16384,
    /* RFC 5246 section 6.2.3 allows 2048 bytes of expansion, RFC 8446 section 5.2 256. */
    TLS_BODY_BYTES_MAX = TLS_PLAIN_BYTES_MAX + 2048,
    TLS_RECORD_BYTES_MAX = TLS_HEADER_BYTES + TLS_BODY_BYTES_MAX,
};

enum tls_content {
    CONTENT_CHANGE_CIPHER_SPEC = 20,
    CONTENT_ALERT = 21,
    CONTENT_HANDSHAKE = 22,
    CONTENT_DATA = 23,
    CONTENT_HEARTBEAT = 24,
};

struct tls_cipher;

/* What a handshake agreed on, as far as the keys depend on it. */
struct tls_agreement {
    const struct tls_suite *suite;
    uint16_t version;
    bool encrypt_then_mac; /* RFC 7366 */
    uint8_t client_random[TLS_RANDOM_BYTES], server_random[TLS_RANDOM_BYTES];
};

bool tls_cipher_supported(const struct tls_library *library, const struct tls_suite *suite,
                          uint16_t version);
/* TLS 1.3: from a traffic secret. NULL when memory is short. */
struct tls_cipher *tls_cipher_open13(struct tls_library *library, const struct tls_suite *suite,
                                     struct slice secret);
/* Up to TLS 1.2: the write keys of the client or of the server, from the master secret. */
struct tls_cipher *tls_cipher_open12(struct tls_library *library,
                                     const struct tls_agreement *agreement, struct slice master,
                                     bool client);
void tls_cipher_close(struct tls_cipher *cipher);

/* True when the record authenticates under this sequence number: then `plain` (room for `bytes`,
 * apart from `body`) holds *plain_bytes and *content says of what. Otherwise `plain` is garbage
 * that nobody may see. header is the record's, of 5 bytes; body the rest, of `bytes`. */
bool tls_cipher_record(struct tls_cipher *cipher, uint64_t sequence, const uint8_t *header,
                       const uint8_t *body, uint32_t bytes, uint8_t *plain,
                       uint32_t *plain_bytes, uint8_t *content);
/* Whether a record can be opened without those before it. */
bool tls_cipher_seekable(const struct tls_cipher *cipher);

#endif
