/* What a flow received while it could not go on: both directions in the order they came, with
 * times. Bounded per flow, over all flows, and by the shared budget. */
#ifndef HOPTAP_TLS_HELD_H
#define HOPTAP_TLS_HELD_H

#include "tls_secrets.h"

enum tls_held_kind { HELD_DATA, HELD_GAP, HELD_END };

struct tls_held_item {
    struct tls_held_item *next;
    uint64_t time_ns;
    uint64_t gap_bytes;
    uint32_t bytes, used; /* of data: used were consumed already */
    uint8_t kind, direction;
    uint8_t data[];
};

struct tls_held {
    struct tls_held_item *first, *last; /* owned; freed in tls_held_clear */
    size_t bytes;                       /* with what each item costs beside its data */
};

/* False when there is no room. item: all but next and data. */
bool tls_held_append(struct tls_held *held, struct tls_secrets *secrets,
                     const struct tls_held_item *item, const uint8_t *data);
/* The first, now the caller's: to be put back in front, or freed. The budget still counts it. */
struct tls_held_item *tls_held_take(struct tls_held *held);
void tls_held_put_back(struct tls_held *held, struct tls_held_item *item);
void tls_held_free(struct tls_held_item *item, struct tls_secrets *secrets);
void tls_held_clear(struct tls_held *held, struct tls_secrets *secrets);

#endif
