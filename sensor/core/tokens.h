/* The session tokens seen on one flow, as hashes: which value is new there. */
#ifndef HOPTAP_TOKENS_H
#define HOPTAP_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"

struct tokens {
    uint64_t *hash; /* owned; freed in tokens_free */
    uint32_t count, room;
    uint32_t next; /* the oldest, once count has reached the limit */
};

/* Remembers the value; true when it was not remembered yet. Forgets the oldest past `limit`. */
bool tokens_note(struct tokens *tokens, struct budget *budget, uint64_t limit, uint64_t hash);
void tokens_free(struct tokens *tokens, struct budget *budget);

#endif
