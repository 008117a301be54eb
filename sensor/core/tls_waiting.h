/* Who waits for which secret. A secret nobody waits for costs one look at one bucket. */
#ifndef HOPTAP_TLS_WAITING_H
#define HOPTAP_TLS_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_table.h"

struct tls;

/* A flow's place in a queue; part of struct tls. */
struct tls_place {
    struct tls_place *before, *after; /* NULL when in no queue */
    struct tls *tls;
};

/* A circle through its own head. */
struct tls_queue {
    struct tls_place head;
};

/* One secret a flow waits for; part of struct tls. Equal hashes of unequal names wake in vain. */
struct tls_waiter {
    uint64_t hash;
    struct tls_waiter *next, **link; /* link: what points here; NULL when not waiting */
    struct tls_place *ready;         /* of the same flow */
};

struct tls_waiting {
    struct tls_waiter **buckets; /* owned; freed in tls_waiting_close */
    struct tls_queue held;       /* flows that hold ciphertext, the longest waiting first */
    struct tls_queue ready;      /* flows whose secret came, in the order it came */
};

void tls_queue_append(struct tls_queue *queue, struct tls_place *place);
void tls_queue_leave(struct tls_place *place); /* also when in none */
struct tls *tls_queue_first(const struct tls_queue *queue); /* NULL: empty */

bool tls_waiting_open(struct tls_waiting *waiting);
void tls_waiting_add(struct tls_waiting *waiting, struct tls_waiter *waiter, uint64_t hash);
void tls_waiting_remove(struct tls_waiter *waiter); /* also when not waiting */
/* Puts those who wait for this name in the queue of the ready. */
void tls_waiting_wake(struct tls_waiting *waiting, uint64_t hash);
void tls_waiting_close(struct tls_waiting *waiting);

#endif
