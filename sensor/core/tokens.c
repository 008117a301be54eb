#include "tokens.h"

#include <stdlib.h>
#include <string.h>

enum { TOKENS_MIN = 2 }; /* a client keeps to one session, and changes it once: at login */

static bool grow(struct tokens *tokens, struct budget *budget, uint64_t limit)
{
    uint64_t room = tokens->room ? (uint64_t)tokens->room * 2 : TOKENS_MIN;
    if (room > limit)
        room = limit;
    if (!budget_take(budget, room * sizeof *tokens->hash))
        return false;
    uint64_t *hash = malloc(room * sizeof *hash);
    if (!hash) {
        budget_give(budget, room * sizeof *hash);
        return false;
    }
    struct tokens old = *tokens;
    if (old.count)
        memcpy(hash, old.hash, old.count * sizeof *hash);
    *tokens = (struct tokens){hash, old.count, (uint32_t)room, 0};
    tokens_free(&old, budget);
    return true;
}

bool tokens_note(struct tokens *tokens, struct budget *budget, uint64_t limit, uint64_t hash)
{
    for (uint32_t i = 0; i < tokens->count; i++) {
        if (tokens->hash[i] == hash)
            return false;
    }
    if (tokens->count == tokens->room && tokens->room < limit)
        grow(tokens, budget, limit < UINT32_MAX ? limit : UINT32_MAX);
    if (tokens->count < tokens->room) {
        tokens->hash[tokens->count++] = hash;
    } else if (tokens->count) {
        tokens->hash[tokens->next] = hash;
        tokens->next = (tokens->next + 1) % tokens->count;
    }
    return true;
}

void tokens_free(struct tokens *tokens, struct budget *budget)
{
    free(tokens->hash);
    budget_give(budget, tokens->room * sizeof *tokens->hash);
    *tokens = (struct tokens){0};
}
