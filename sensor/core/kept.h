/* Bytes kept on behalf of the peer: they grow within the budget and are wiped before the memory
 * goes back, since they may hold passwords and tokens. A zeroed struct kept is empty and valid. */
#ifndef HOPTAP_KEPT_H
#define HOPTAP_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"

struct kept {
    uint8_t *data; /* owned; freed in kept_free */
    uint32_t bytes;
    uint32_t room;
};

/* False, and nothing changed, when memory is short. */
bool kept_append(struct kept *kept, struct budget *budget, const uint8_t *data, uint32_t bytes);
/* Makes room for that many bytes at once, if there is memory. */
void kept_expect(struct kept *kept, struct budget *budget, uint32_t bytes);
/* Takes the last bytes off again. */
void kept_shorten(struct kept *kept, uint32_t by_bytes);
void kept_free(struct kept *kept, struct budget *budget);

#endif
