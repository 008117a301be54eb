/* The skip loop of Wu and Manber, "A fast algorithm for multi-pattern searching" (1994), with
 * blocks of two bytes: where a block occurs in no needle, none can end there, and the search leaps
 * as far as the shortest needle allows. */
#include "needles.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 2, SHIFTS = 1024, LEAP = 0, SHIFT_MAX = 250 };

struct needle {
    char *text; /* owned */
    size_t bytes;
};

struct needle_set {
    struct needle *needles; /* owned */
    size_t count;
    size_t shortest;
    /* By hash of the block under the window's end: LEAP, or 1 + how far it is from the window's end
     * in the needle where it is nearest. */
    uint8_t shift[SHIFTS];
};

static uint32_t block_hash(const uint8_t *at)
{
    return ((uint32_t)at[0] << 5 ^ at[1]) & (SHIFTS - 1);
}

static void learn(struct needle_set *set, const struct needle *needle)
{
    for (size_t i = 0; i + BLOCK_BYTES <= set->shortest; i++) {
        size_t distance = set->shortest - BLOCK_BYTES - i;
        uint8_t shift = (uint8_t)(1 + (distance < SHIFT_MAX ? distance : SHIFT_MAX));
        uint8_t *known = &set->shift[block_hash((const uint8_t *)needle->text + i)];
        if (*known == LEAP || *known > shift)
            *known = shift;
    }
}

struct needle_set *needle_set_open(const char *const *text, size_t count)
{
    struct needle_set *set = calloc(1, sizeof *set);
    if (!set)
        return NULL;
    set->needles = calloc(count ? count : 1, sizeof *set->needles);
    set->shortest = SIZE_MAX;
    for (; set->needles && set->count < count; set->count++) {
        struct needle *needle = &set->needles[set->count];
        needle->text = strdup(text[set->count]);
        if (!needle->text)
            break;
        needle->bytes = strlen(needle->text);
        if (needle->bytes < set->shortest)
            set->shortest = needle->bytes;
    }
    if (!set->needles || set->count < count) {
        needle_set_close(set);
        return NULL;
    }
    if (set->shortest > SHIFT_MAX)
        set->shortest = SHIFT_MAX;
    for (size_t i = 0; i < count; i++)
        learn(set, &set->needles[i]);
    return set;
}

static bool any_at(const struct needle_set *set, const uint8_t *at, size_t left)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct needle *needle = &set->needles[i];
        if (needle->bytes <= left && *at == (uint8_t)needle->text[0] &&
            memcmp(at, needle->text, needle->bytes) == 0)
            return true;
    }
    return false;
}

static bool any_by_memmem(const struct needle_set *set, struct slice body)
{
    for (size_t i = 0; i < set->count; i++) {
        if (memmem(body.data, body.bytes, set->needles[i].text, set->needles[i].bytes))
            return true;
    }
    return false;
}

bool needle_set_in(const struct needle_set *set, struct slice body)
{
    if (set->shortest == 0)
        return true;
    if (body.bytes < set->shortest)
        return false;
    if (set->shortest < BLOCK_BYTES)
        return any_by_memmem(set, body);
    const uint8_t *at = body.data + set->shortest - BLOCK_BYTES; /* block at the window's end */
    const uint8_t *last = body.data + body.bytes - BLOCK_BYTES;
    const size_t leap = set->shortest - BLOCK_BYTES + 1;
    while (at <= last) {
        uint8_t shift = set->shift[block_hash(at)];
        if (shift == LEAP) {
            if ((size_t)(last - at) < leap)
                return false;
            at += leap;
            continue;
        }
        const uint8_t *window = at - (set->shortest - BLOCK_BYTES);
        if (shift == 1 && any_at(set, window, (size_t)(body.data + body.bytes - window)))
            return true;
        size_t step = shift > 1 ? (size_t)shift - 1 : 1;
        if ((size_t)(last - at) < step)
            return false;
        at += step;
    }
    return false;
}

void needle_set_close(struct needle_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; set->needles && i < set->count; i++)
        free(set->needles[i].text);
    free(set->needles);
    free(set);
}
