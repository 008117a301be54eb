/* Ed25519 signatures (RFC 8032) by libcrypto: of checkpoints of the evidence log. */
#ifndef HOPTAP_SIGNATURE_H
#define HOPTAP_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

enum { SIGNATURE_BYTES = 64, SIGNATURE_KEY_BYTES = 32 };

enum signature_verdict {
    SIGNATURE_GOOD,
    SIGNATURE_BAD,         /* of verify only: not by this key, or of other bytes */
    SIGNATURE_NOT_A_KEY,   /* the PEM holds none that can be read without a passphrase */
    SIGNATURE_NOT_ED25519,
    SIGNATURE_FAILED,      /* libcrypto has no Ed25519, or no memory */
};

struct signed_bytes {
    const uint8_t *data;
    size_t bytes;
};

/* `pem` is a private key. Nothing of it is kept. */
enum signature_verdict signature_make(struct signed_bytes pem, struct signed_bytes message,
                                      uint8_t signature[SIGNATURE_BYTES]);
/* `pem` is a public or a private key; `raw` is its public half. */
enum signature_verdict signature_public(struct signed_bytes pem, uint8_t raw[SIGNATURE_KEY_BYTES]);
enum signature_verdict signature_check(const uint8_t raw[SIGNATURE_KEY_BYTES],
                                       struct signed_bytes message, struct signed_bytes signature);

#endif
