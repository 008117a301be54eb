/* The first certificate of a Certificate message: who it names, and its key. */
#ifndef HOPTAP_TLS_CERTIFICATE_H
#define HOPTAP_TLS_CERTIFICATE_H

#include "tls.h"
#include "tls_library.h"

struct tls_certificate {
    char *subject, *issuer; /* of TLS_SUBJECT_CHARS + 1; borrowed from the caller */
    char *fingerprint;      /* of TLS_FINGERPRINT_CHARS + 1; likewise */
    EVP_PKEY *key;          /* out, when wants_key: the caller frees it; NULL: not readable */
    bool wants_key;
};

/* DER of the first certificate in a message body; empty when the list is. */
struct slice tls_certificate_first(struct slice body, uint16_t version);
/* Leaves subject and issuer empty when the DER is not a certificate. */
void tls_certificate_read(struct tls_library *library, struct slice der,
                          struct tls_certificate *certificate);

#endif
