/* Cipher suites: their names, and how those we decrypt protect a record. */
#ifndef HOPTAP_TLS_SUITE_H
#define HOPTAP_TLS_SUITE_H

#include <stdbool.h>
#include <stdint.h>

enum tls_version { TLS_1_0 = 0x0301, TLS_1_1 = 0x0302, TLS_1_2 = 0x0303, TLS_1_3 = 0x0304 };

enum tls_algorithm_id {
    UNREADABLE, /* NULL, RC4, DES, ARIA...: named, not decrypted */
    AES_128_GCM,
    AES_256_GCM,
    AES_128_CCM,
    AES_256_CCM,
    AES_128_CCM_8,
    AES_256_CCM_8,
    CHACHA20_POLY1305,
    AES_128_CBC,
    AES_256_CBC,
    TLS_ALGORITHMS,
};

enum tls_hash { TLS_MD5, TLS_SHA1, TLS_MD5_SHA1, TLS_SHA256, TLS_SHA384, TLS_HASHES };

struct tls_suite {
    uint16_t id;
    uint8_t algorithm; /* enum tls_algorithm_id */
    uint8_t hash;      /* enum tls_hash: the MAC of CBC suites, else of the PRF or HKDF */
    bool rsa;          /* the premaster secret is encrypted to the server's RSA key */
    const char *name;
};

/* NULL when the registry has no such suite. */
const struct tls_suite *tls_suite_of(uint16_t id);
/* The hash of the PRF (RFC 5246 section 5; MD5 and SHA-1 together before) or of HKDF. */
enum tls_hash tls_suite_prf(const struct tls_suite *suite, uint16_t version);

#endif
