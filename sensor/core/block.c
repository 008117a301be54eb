#include "block.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The size stands before the block. */
struct block {
    size_t bytes;
    max_align_t contents[];
};

static struct block *block_of(void *contents)
{
    return (struct block *)((char *)contents - offsetof(struct block, contents));
}

void *block_take(struct budget *budget, size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(struct block))
        return NULL;
    size_t whole = sizeof(struct block) + bytes;
    if (!budget_take(budget, whole))
        return NULL;
    struct block *block = malloc(whole);
    if (!block) {
        budget_give(budget, whole);
        return NULL;
    }
    block->bytes = whole;
    return block->contents;
}

void *block_resize(struct budget *budget, void *contents, size_t bytes)
{
    void *resized = block_take(budget, bytes);
    if (!resized || !contents)
        return resized;
    size_t had = block_of(contents)->bytes - sizeof(struct block);
    memcpy(resized, contents, had < bytes ? had : bytes);
    block_give(budget, contents);
    return resized;
}

void block_give(struct budget *budget, void *contents)
{
    if (!contents)
        return;
    struct block *block = block_of(contents);
    size_t bytes = block->bytes;
    explicit_bzero(block, bytes);
    free(block);
    budget_give(budget, bytes);
}
