#include "kept.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT_BYTES_MIN = 512 }; /* most heads fit */

static bool grow(struct kept *kept, struct budget *budget, uint32_t room)
{
    if (!budget_take(budget, room))
        return false;
    uint8_t *data = malloc(room);
    if (!data) {
        budget_give(budget, room);
        return false;
    }
    uint32_t bytes = kept->bytes;
    if (bytes)
        memcpy(data, kept->data, bytes);
    kept_free(kept, budget);
    *kept = (struct kept){data, bytes, room};
    return true;
}

void kept_expect(struct kept *kept, struct budget *budget, uint32_t bytes)
{
    if (bytes > kept->room)
        grow(kept, budget, bytes);
}

bool kept_append(struct kept *kept, struct budget *budget, const uint8_t *data, uint32_t bytes)
{
    if (bytes > UINT32_MAX - kept->bytes)
        return false;
    uint32_t need = kept->bytes + bytes;
    if (need > kept->room) {
        uint32_t room = kept->room < UINT32_MAX / 2 ? kept->room * 2 : UINT32_MAX;
        if (room < need)
            room = need;
        if (room < KEPT_BYTES_MIN)
            room = KEPT_BYTES_MIN;
        if (!grow(kept, budget, room) && !grow(kept, budget, need))
            return false;
    }
    if (bytes)
        memcpy(kept->data + kept->bytes, data, bytes);
    kept->bytes = need;
    return true;
}

void kept_shorten(struct kept *kept, uint32_t by_bytes)
{
    kept->bytes -= by_bytes;
    explicit_bzero(kept->data + kept->bytes, by_bytes);
}

void kept_free(struct kept *kept, struct budget *budget)
{
    if (kept->data) {
        explicit_bzero(kept->data, kept->bytes);
        free(kept->data);
        budget_give(budget, kept->room);
    }
    *kept = (struct kept){0};
}
