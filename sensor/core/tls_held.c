#include "tls_held.h"

#include <stdlib.h>
#include <string.h>

bool tls_held_append(struct tls_held *held, struct tls_secrets *secrets,
                     const struct tls_held_item *item, const uint8_t *data)
{
    size_t bytes = sizeof *item + item->bytes;
    const struct tls_limits *limits = secrets->limits;
    if (held->bytes > limits->tls_held_bytes_max ||
        bytes > limits->tls_held_bytes_max - held->bytes ||
        secrets->held_bytes > limits->tls_held_total_bytes_max ||
        bytes > limits->tls_held_total_bytes_max - secrets->held_bytes ||
        !budget_take(secrets->budget, bytes))
        return false;
    struct tls_held_item *made = malloc(bytes);
    if (!made) {
        budget_give(secrets->budget, bytes);
        return false;
    }
    *made = *item;
    made->next = NULL;
    if (item->bytes)
        memcpy(made->data, data, item->bytes);
    if (held->last)
        held->last->next = made;
    else
        held->first = made;
    held->last = made;
    held->bytes += bytes;
    secrets->held_bytes += bytes;
    return true;
}

void tls_held_pop(struct tls_held *held, struct tls_secrets *secrets)
{
    struct tls_held_item *item = held->first;
    size_t bytes = sizeof *item + item->bytes;
    held->first = item->next;
    if (!held->first)
        held->last = NULL;
    held->bytes -= bytes;
    secrets->held_bytes -= bytes;
    budget_give(secrets->budget, bytes);
    free(item);
}

void tls_held_clear(struct tls_held *held, struct tls_secrets *secrets)
{
    while (held->first)
        tls_held_pop(held, secrets);
}
