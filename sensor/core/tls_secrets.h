/* The inside of the store: what one worker's flows share. */
#ifndef HOPTAP_TLS_SECRETS_H
#define HOPTAP_TLS_SECRETS_H

#include "tls.h"
#include "tls_cipher.h"
#include "tls_library.h"
#include "tls_rsa.h"
#include "tls_table.h"
#include "tls_vault.h"
#include "tls_waiting.h"

/* Of one flow: the TLS 1.3 traffic secrets that a KeyUpdate goes on from. In the vault. */
struct tls_traffic_secrets {
    uint8_t of[2][TLS_HASH_BYTES_MAX]; /* by direction */
};

struct tls_secrets {
    const struct tls_limits *limits;
    struct budget *budget;
    struct tls_counters *counters;
    struct tls_library library;
    uint64_t seed[TLS_SEED_WORDS];
    struct tls_table table;   /* what logs and private keys say */
    struct tls_table tickets; /* which full handshake a session id or ticket goes back to */
    struct tls_vault traffic; /* of struct tls_traffic_secrets */
    struct tls_rsa rsa;
    struct tls_waiting waiting;
    uint64_t generation;
    size_t held_bytes; /* ciphertext of all flows; kept by tls_held.c */
    void *spare_buffers; /* for records in parts; linked through their first bytes; owned */
    uint32_t spare_count;
    /* The record just decrypted. Owned; wiped and freed in tls_secrets_close. */
    uint8_t *plain;
};

/* Borrowed until the next secret is taken. NULL: not known. */
const struct tls_slot *tls_secrets_find(const struct tls_secrets *secrets, enum tls_label label,
                                        struct slice name);
uint64_t tls_secrets_hash(const struct tls_secrets *secrets, enum tls_label label,
                          struct slice name);
/* From the traffic itself: a master secret we derived, or where a session id or ticket leads. */
void tls_secrets_put(struct tls_secrets *secrets, enum tls_label label, struct slice name,
                     struct slice value, enum tls_key_source source);

/* A buffer of TLS_RECORD_BYTES_MAX for a record that comes in parts; NULL when memory is short. */
uint8_t *tls_buffer_take(struct tls_secrets *secrets);
void tls_buffer_give(struct tls_secrets *secrets, uint8_t *buffer); /* accepts NULL */

#endif
