/* One bound on the memory that traffic can make the core hold.
 *
 * Whoever keeps bytes on behalf of the peer (reassembly queues, fragments,
 * message heads, bodies) takes them here first and gives them back when freed.
 * A refusal is a reason to shed and to count, never to abort. */
#ifndef HOPTAP_BUDGET_H
#define HOPTAP_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

struct budget {
    size_t used_bytes;
    size_t limit_bytes;
};

static inline bool budget_take(struct budget *budget, size_t bytes)
{
    if (bytes > budget->limit_bytes - budget->used_bytes)
        return false;
    budget->used_bytes += bytes;
    return true;
}

static inline void budget_give(struct budget *budget, size_t bytes)
{
    budget->used_bytes -= bytes;
}

#endif
