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

struct tls_held_item *tls_held_take(struct tls_held *held)
{
    struct tls_held_item *item = held->first;
    held->first = item->next;
    if (!held->first)
        held->last = NULL;
    held->bytes -= sizeof *item + item->bytes;
    return item;
}

void tls_held_put_back(struct tls_held *held, struct tls_held_item *item)
{
    item->next = held->first;
    held->first = item;
    if (!held->last)
        held->last = item;
    held->bytes += sizeof *item + item->bytes;
}

void tls_held_free(struct tls_held_item *item, struct tls_secrets *secrets)
{
    size_t bytes = sizeof *item + item->bytes;
    secrets->held_bytes -= bytes;
    budget_give(secrets->budget, bytes);
    free(item);
}

void tls_held_clear(struct tls_held *held, struct tls_secrets *secrets)
{
    while (held->first)
        tls_held_free(tls_held_take(held), secrets);
}
