#include "tls_waiting.h"

#include <stdlib.h>

enum { BUCKETS = 1 << 13 }; /* 64 KiB; the flows that wait at one time, not the secrets, matter */

static void queue_open(struct tls_queue *queue)
{
    queue->head = (struct tls_place){&queue->head, &queue->head, NULL};
}

void tls_queue_append(struct tls_queue *queue, struct tls_place *place)
{
    place->before = queue->head.before;
    place->after = &queue->head;
    place->before->after = place;
    queue->head.before = place;
}

void tls_queue_leave(struct tls_place *place)
{
    if (!place->before)
        return;
    place->before->after = place->after;
    place->after->before = place->before;
    place->before = place->after = NULL;
}

struct tls *tls_queue_first(const struct tls_queue *queue)
{
    return queue->head.after->tls; /* the head's own is NULL */
}

bool tls_waiting_open(struct tls_waiting *waiting)
{
    queue_open(&waiting->held);
    queue_open(&waiting->ready);
    waiting->buckets = calloc(BUCKETS, sizeof(struct tls_waiter *));
    return waiting->buckets != NULL;
}

void tls_waiting_add(struct tls_waiting *waiting, struct tls_waiter *waiter, uint64_t hash)
{
    struct tls_waiter **bucket = &waiting->buckets[hash % BUCKETS];
    waiter->hash = hash;
    waiter->next = *bucket;
    waiter->link = bucket;
    if (*bucket)
        (*bucket)->link = &waiter->next;
    *bucket = waiter;
}

void tls_waiting_remove(struct tls_waiter *waiter)
{
    if (!waiter->link)
        return;
    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    waiter->link = NULL;
    waiter->next = NULL;
}

void tls_waiting_wake(struct tls_waiting *waiting, uint64_t hash)
{
    struct tls_waiter *waiter = waiting->buckets[hash % BUCKETS];
    for (; waiter; waiter = waiter->next)
        if (waiter->hash == hash && !waiter->ready->before)
            tls_queue_append(&waiting->ready, waiter->ready);
}

void tls_waiting_close(struct tls_waiting *waiting)
{
    free(waiting->buckets);
    waiting->buckets = NULL;
}
