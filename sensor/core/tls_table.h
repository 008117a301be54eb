/* Secrets by what names them. Bounded: when full, the oldest is forgotten. Finding costs the same
 * however many others there are; bucket numbers depend on a seed, so peers cannot pile them up. */
#ifndef HOPTAP_TLS_TABLE_H
#define HOPTAP_TLS_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "tls_library.h"
#include "tls_vault.h"

enum { TLS_NAME_BYTES = 32, TLS_SECRET_BYTES_MAX = 48 };

enum tls_label {
    LABEL_MASTER, /* these five, by client random, in the order a log has them */
    LABEL_CLIENT_EARLY,
    LABEL_CLIENT_HANDSHAKE,
    LABEL_SERVER_HANDSHAKE,
    LABEL_CLIENT_TRAFFIC,
    LABEL_SERVER_TRAFFIC,
    LABEL_PREMASTER,  /* by the first 8 bytes of it encrypted */
    LABEL_SESSION_ID, /* value: a master secret, or the client random of the full handshake */
    LABEL_TICKET,     /* by SHA-256 of the ticket; value as above */
};

struct tls_name {
    uint8_t label; /* enum tls_label */
    uint8_t bytes[TLS_NAME_BYTES]; /* shorter ones end in zeros */
};

struct tls_slot {
    uint32_t next; /* in its bucket: index + 1 */
    struct tls_name name;
    uint8_t source; /* enum tls_key_source */
    uint8_t value_bytes;
    uint8_t value[TLS_SECRET_BYTES_MAX];
};

struct tls_table {
    struct tls_vault vault; /* of slots, in the order they came; owned, as buckets */
    uint32_t *buckets;      /* index + 1 of the newest slot; freed in tls_table_close */
    uint32_t bucket_mask;
    uint32_t oldest; /* the next to be forgotten, once the vault is full */
    const uint64_t *seed; /* borrowed */
};

enum { TLS_SEED_WORDS = 6 };

uint64_t tls_name_hash(const uint64_t seed[TLS_SEED_WORDS], const struct tls_name *name);
struct tls_name tls_name_of(enum tls_label label, struct slice bytes);

bool tls_table_open(struct tls_table *table, uint64_t room, const uint64_t *seed);
/* Borrowed until the next put. NULL: not known. */
const struct tls_slot *tls_table_find(const struct tls_table *table, const struct tls_name *name);

enum tls_put { TLS_PUT_NEW, TLS_PUT_KNOWN, TLS_PUT_FORGOT_ONE };
/* The newest value of a name counts. */
enum tls_put tls_table_put(struct tls_table *table, const struct tls_name *name,
                           struct slice value, uint8_t source);
void tls_table_close(struct tls_table *table);

#endif
