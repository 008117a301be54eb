/* What we use of libcrypto, fetched once per worker: a library context of our own, so that neither
 * the host's openssl.cnf nor another worker's locks matter. */
#ifndef HOPTAP_TLS_LIBRARY_H
#define HOPTAP_TLS_LIBRARY_H

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdbool.h>
#include <stdint.h>

#include "tls_suite.h"
#include "transaction.h"

enum { TLS_HASH_BYTES_MAX = 48, TLS_MASTER_BYTES = 48, TLS_RANDOM_BYTES = 32 };

struct tls_library {
    OSSL_LIB_CTX *context;              /* owned, as all below; freed in tls_library_close */
    EVP_CIPHER *cipher[TLS_ALGORITHMS]; /* NULL: not in this libcrypto, so unsupported */
    EVP_MD *hash[TLS_HASHES];
    EVP_MAC *hmac;
    EVP_KDF_CTX *prf, *hkdf; /* reused; reset, which wipes, after each use */
    EVP_MD_CTX *digest;      /* reused */
};

bool tls_library_open(struct tls_library *library);
void tls_library_close(struct tls_library *library);

uint32_t tls_hash_bytes(enum tls_hash hash);
const char *tls_hash_name(enum tls_hash hash);

/* RFC 5246 section 5: PRF(secret, label, first + second). */
bool tls_prf(struct tls_library *library, enum tls_hash hash, struct slice secret,
             const char *label, struct slice first, struct slice second, uint8_t *out,
             uint32_t bytes);
/* RFC 8446 section 7.1: HKDF-Expand-Label(secret, label, "", bytes). */
bool tls_expand(struct tls_library *library, enum tls_hash hash, struct slice secret,
                const char *label, uint8_t *out, uint32_t bytes);
/* Lower-case hex of a digest over data; hex has room for two characters a byte and NUL. */
bool tls_digest_hex(struct tls_library *library, enum tls_hash hash, struct slice data,
                    char *hex);

static inline void tls_hex(const uint8_t *data, uint32_t bytes, char *hex)
{
    for (uint32_t i = 0; i < bytes; i++) {
        hex[2 * i] = "0123456789abcdef"[data[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[data[i] & 15];
    }
    hex[2 * bytes] = '\0';
}

#endif
