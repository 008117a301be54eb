#include "operations.h"

#include <stdlib.h>
#include <string.h>

#include "hash64.h"
#include "http_path.h"

enum { KEY_BYTES = OPERATION_SERVICE_CHARS + OPERATION_NAME_CHARS };

/* Service and name as they stand in a row: each ends in at least one NUL, the rest is NUL too, so
 * keys compare and hash as blocks. */
struct key {
    char service[OPERATION_SERVICE_CHARS];
    char name[OPERATION_NAME_CHARS];
};

struct operations {
    struct operation_row *rows; /* owned; freed in operations_close */
    uint32_t *slots;            /* owned; index of a row plus 1, 0 is free; at most half full */
    uint32_t row_count, row_limit, slot_mask;
    struct counters *counters;
};

static uint32_t power_of_two(uint64_t least)
{
    uint32_t power = 16;
    while (power < least && power < (uint32_t)1 << 30)
        power *= 2;
    return power;
}

struct operations *operations_open(const struct limits *limits, struct counters *counters)
{
    struct operations *operations = calloc(1, sizeof *operations);
    if (!operations)
        return NULL;
    uint64_t most = limits->operations_max < 1 << 20 ? limits->operations_max : 1 << 20;
    operations->counters = counters;
    operations->row_limit = (uint32_t)most;
    operations->slot_mask = power_of_two(most * 2) - 1;
    operations->rows = calloc(most ? most : 1, sizeof *operations->rows);
    operations->slots = calloc((size_t)operations->slot_mask + 1, sizeof *operations->slots);
    if (!operations->rows || !operations->slots) {
        operations_close(operations);
        return NULL;
    }
    return operations;
}

/* Rows end up in metrics and on screens: what is no visible ASCII becomes '?'. */
static void copy_visible(char *to, uint32_t room, struct slice from)
{
    uint32_t bytes = from.bytes < room - 1 ? from.bytes : room - 1;
    for (uint32_t i = 0; i < bytes; i++)
        to[i] = from.data[i] > ' ' && from.data[i] < 0x7f ? (char)from.data[i] : '?';
}

static struct slice first_segment(struct slice target)
{
    struct slice path = http_path(target);
    if (!path.bytes || path.data[0] != '/')
        return (struct slice){0};
    const uint8_t *at = path.data + 1;
    uint32_t left = path.bytes - 1;
    const uint8_t *slash = left ? memchr(at, '/', left) : NULL;
    return (struct slice){at, slash ? (uint32_t)(slash - at) : left};
}

/* The row of key, or a new one; NULL when the table is full. */
static struct operation_row *row_of(struct operations *operations, const struct key *key)
{
    uint32_t slot = (uint32_t)hash64(0, (const uint8_t *)key, sizeof *key);
    for (;; slot++) {
        uint32_t *index = &operations->slots[slot & operations->slot_mask];
        if (!*index) {
            if (operations->row_count == operations->row_limit)
                return NULL;
            struct operation_row *row = &operations->rows[operations->row_count++];
            memcpy(row->service, key->service, sizeof row->service);
            memcpy(row->name, key->name, sizeof row->name);
            *index = operations->row_count;
            return row;
        }
        struct operation_row *row = &operations->rows[*index - 1];
        if (memcmp(row->service, key->service, sizeof row->service) == 0 &&
            memcmp(row->name, key->name, sizeof row->name) == 0)
            return row;
    }
}

void operations_count(struct operations *operations, struct slice target, struct slice name,
                      enum outcome outcome)
{
    struct key key = {0};
    _Static_assert(sizeof key == KEY_BYTES, "no padding between the parts of a key");
    copy_visible(key.service, sizeof key.service, first_segment(target));
    copy_visible(key.name, sizeof key.name, name);
    struct operation_row *row = row_of(operations, &key);
    if (row)
        row->count[outcome]++;
    else
        count(operations->counters, COUNT_operations_uncounted, 1);
}

const struct operation_row *operations_row(const struct operations *operations, uint32_t index)
{
    return index < operations->row_count ? &operations->rows[index] : NULL;
}

void operations_close(struct operations *operations)
{
    if (!operations)
        return;
    free(operations->rows);
    free(operations->slots);
    free(operations);
}

enum {
    CHANGES_MAX = 1 << 16, /* a few days of a large inventory's distinct answers, in 1.5 MiB */
    CHANGE_SLOTS = CHANGES_MAX * 2,
    CHANGE_MASK = CHANGE_SLOTS - 1,
};

/* A set of hashes with linear probing, and the order they came in. 0 marks a free slot. */
struct changes {
    uint64_t slots[CHANGE_SLOTS];
    uint64_t order[CHANGES_MAX]; /* a ring; next is the oldest once it is full */
    uint32_t next;
};

struct changes *changes_open(void)
{
    return calloc(1, sizeof(struct changes));
}

static uint32_t slot_of(const struct changes *changes, uint64_t hash)
{
    uint32_t slot = (uint32_t)hash & CHANGE_MASK;
    while (changes->slots[slot] && changes->slots[slot] != hash)
        slot = (slot + 1) & CHANGE_MASK;
    return slot;
}

/* Removal without tombstones: later members of the run move up when the hole is on their way. */
static void forget(struct changes *changes, uint64_t hash)
{
    uint32_t hole = slot_of(changes, hash);
    for (uint32_t at = (hole + 1) & CHANGE_MASK; changes->slots[at]; at = (at + 1) & CHANGE_MASK) {
        uint32_t home = (uint32_t)changes->slots[at] & CHANGE_MASK;
        if (((at - home) & CHANGE_MASK) >= ((at - hole) & CHANGE_MASK)) {
            changes->slots[hole] = changes->slots[at];
            hole = at;
        }
    }
    changes->slots[hole] = 0;
}

bool changes_is_new(struct changes *changes, uint64_t hash)
{
    if (!hash)
        hash = 1;
    if (changes->slots[slot_of(changes, hash)])
        return false;
    uint64_t *oldest = &changes->order[changes->next];
    if (*oldest)
        forget(changes, *oldest);
    *oldest = hash;
    changes->slots[slot_of(changes, hash)] = hash;
    changes->next = (changes->next + 1) % CHANGES_MAX;
    return true;
}

void changes_close(struct changes *changes)
{
    free(changes);
}
