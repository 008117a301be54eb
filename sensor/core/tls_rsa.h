/* Private keys of servers, for the premaster secret of RSA key exchange (RFC 5246 section
 * 7.4.7.1). */
#ifndef HOPTAP_TLS_RSA_H
#define HOPTAP_TLS_RSA_H

#include "tls.h"
#include "tls_library.h"

enum { TLS_RSA_KEYS_MAX = 64 };

struct tls_rsa {
    EVP_PKEY *key[TLS_RSA_KEYS_MAX]; /* owned; freed, and wiped, in tls_rsa_close */
    uint32_t count;
};

enum tls_rsa_verdict tls_rsa_add(struct tls_rsa *rsa, struct tls_library *library,
                                 const char *pem, size_t bytes);
/* With the key of the server's certificate, or, when no certificate was seen, with any that fits.
 * `version` is the one the client asked for in its hello. False: no key opens it. */
bool tls_rsa_premaster(const struct tls_rsa *rsa, struct tls_library *library,
                       const EVP_PKEY *certified, struct slice sealed, uint16_t version,
                       uint8_t premaster[TLS_MASTER_BYTES]);
void tls_rsa_close(struct tls_rsa *rsa);

#endif
