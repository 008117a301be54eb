#include "held.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUE_ROOM_MIN = 16 };

/* An array, so that finding a place among thousands is a binary search and making room a
 * memmove: no order of arrival is expensive (a linked list was CVE-2018-5390 in Linux). */
struct held_queue {
    uint32_t first, count, room;
    struct held_segment *segment[]; /* [first .. first + count); owned */
};

size_t held_cost(uint32_t bytes)
{
    return sizeof(struct held_segment) + sizeof(struct held_segment *) + bytes;
}

const struct held_segment *held_first(const struct stream *stream)
{
    const struct held_queue *queue = stream->held;
    return queue && queue->count ? queue->segment[queue->first] : NULL;
}

struct segment held_as_segment(const struct held_segment *held)
{
    return (struct segment){.data = held->data,
                            .sequence = held->sequence,
                            .bytes = held->bytes,
                            .wire_bytes = held->wire_bytes,
                            .acknowledgement = held->acknowledgement,
                            .acknowledges = held->acknowledges,
                            .time_ns = held->time_ns};
}

/* Position of the first held segment that ends after `sequence`. */
static uint32_t place_of(const struct held_queue *queue, uint32_t sequence)
{
    uint32_t low = queue->first, high = queue->first + queue->count;
    if (low < high && sequence_ahead(sequence, held_end(queue->segment[high - 1])) >= 0)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sequence_ahead(held_end(queue->segment[middle]), sequence) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool make_room(struct stream *stream, struct budget *budget)
{
    struct held_queue *queue = stream->held;
    if (queue && queue->first + queue->count < queue->room)
        return true;
    if (queue && queue->first >= queue->room / 2) {
        memmove(queue->segment, queue->segment + queue->first,
                queue->count * sizeof *queue->segment);
        queue->first = 0;
        return true;
    }
    uint32_t room = queue ? queue->room * 2 : QUEUE_ROOM_MIN;
    size_t more = (room - (queue ? queue->room : 0)) * sizeof *queue->segment;
    if (!budget_take(budget, more))
        return false;
    struct held_queue *grown = realloc(queue, sizeof *queue + room * sizeof *queue->segment);
    if (!grown) {
        budget_give(budget, more);
        return false;
    }
    if (!queue)
        grown->first = grown->count = 0;
    grown->room = room;
    stream->held = grown;
    return true;
}

static struct held_segment *copy_part(const struct segment *segment, uint32_t skip, uint32_t wire,
                                      struct budget *budget)
{
    uint32_t captured = segment->bytes > skip ? segment->bytes - skip : 0;
    if (captured > wire)
        captured = wire;
    if (!budget_take(budget, held_cost(captured)))
        return NULL;
    struct held_segment *held = malloc(sizeof *held + captured);
    if (!held) {
        budget_give(budget, held_cost(captured));
        return NULL;
    }
    held->time_ns = segment->time_ns;
    held->sequence = segment->sequence + skip;
    held->bytes = captured;
    held->wire_bytes = wire;
    held->acknowledgement = segment->acknowledgement;
    held->acknowledges = segment->acknowledges;
    if (captured)
        memcpy(held->data, segment->data + skip, captured);
    return held;
}

static bool insert_at(struct stream *stream, uint32_t place, struct held_segment *held,
                      struct budget *budget)
{
    uint32_t rank = place - (stream->held ? stream->held->first : 0);
    if (!make_room(stream, budget))
        return false;
    struct held_queue *queue = stream->held;
    struct held_segment **at = queue->segment + queue->first + rank;
    memmove(at + 1, at, (queue->count - rank) * sizeof(struct held_segment *));
    *at = held;
    queue->count++;
    stream->held_bytes += (uint32_t)held_cost(held->bytes);
    return true;
}

static void free_segment(struct stream *stream, struct held_segment *held, struct budget *budget)
{
    size_t cost = held_cost(held->bytes);
    stream->held_bytes -= (uint32_t)cost;
    budget_give(budget, cost);
    explicit_bzero(held->data, held->bytes); /* may hold credentials */
    free(held);
}

/* Its memory stays as it was allocated; only what is accounted for shrinks, and is wiped. */
static void shorten(struct stream *stream, struct held_segment *held, uint32_t wire_bytes,
                    struct budget *budget)
{
    held->wire_bytes = wire_bytes;
    if (held->bytes <= wire_bytes)
        return;
    explicit_bzero(held->data + wire_bytes, held->bytes - wire_bytes);
    budget_give(budget, held->bytes - wire_bytes);
    stream->held_bytes -= held->bytes - wire_bytes;
    held->bytes = wire_bytes;
}

static bool keep_part(struct stream *stream, uint32_t place, const struct segment *segment,
                      uint32_t from, uint32_t to, struct budget *budget)
{
    struct held_segment *held =
        copy_part(segment, from - segment->sequence, to - from, budget);
    if (!held)
        return false;
    if (insert_at(stream, place, held, budget))
        return true;
    stream->held_bytes += (uint32_t)held_cost(held->bytes);
    free_segment(stream, held, budget);
    return false;
}

/* Cuts a held segment in two; false when memory is short. */
static bool split(struct stream *stream, uint32_t place, uint32_t sequence, struct budget *budget)
{
    struct held_segment *held = stream->held->segment[place];
    struct segment whole = held_as_segment(held);
    uint32_t first = stream->held->first;
    if (!keep_part(stream, place + 1, &whole, sequence, held_end(held), budget))
        return false;
    shorten(stream, stream->held->segment[place - first + stream->held->first],
            sequence - whole.sequence, budget);
    return true;
}

/* A second copy of held bytes that acknowledges less: no more had their sender received when
 * they were sent first. */
static void note_earlier(struct stream *stream, uint32_t place, const struct segment *segment,
                         uint32_t from, uint32_t to, struct budget *budget)
{
    const struct held_segment *held = stream->held->segment[place];
    uint32_t rank = place - stream->held->first;
    if (!segment->acknowledges || !held->acknowledges ||
        sequence_ahead(segment->acknowledgement, held->acknowledgement) >= 0)
        return;
    if (from != held->sequence) {
        if (!split(stream, place, from, budget))
            return;
        rank++;
    }
    place = stream->held->first + rank;
    if (to != held_end(stream->held->segment[place]) && !split(stream, place, to, budget))
        return;
    stream->held->segment[stream->held->first + rank]->acknowledgement =
        segment->acknowledgement;
}

bool held_insert(struct stream *stream, const struct segment *segment, struct budget *budget,
                 struct counters *counters)
{
    uint32_t at = segment->sequence, end = at + segment->wire_bytes;
    while (at != end) {
        struct held_queue *queue = stream->held;
        uint32_t place = queue ? place_of(queue, at) : 0, stop = end;
        const struct held_segment *after =
            queue && place < queue->first + queue->count ? queue->segment[place] : NULL;
        if (after && sequence_ahead(after->sequence, at) <= 0) { /* at is held already */
            if (sequence_ahead(held_end(after), end) < 0)
                stop = held_end(after);
            count(counters, COUNT_tcp_retransmitted_bytes, stop - at);
            note_earlier(stream, place, segment, at, stop, budget);
        } else {
            if (after && sequence_ahead(after->sequence, end) < 0)
                stop = after->sequence;
            if (!keep_part(stream, place, segment, at, stop, budget))
                return false;
        }
        at = stop;
    }
    return true;
}

static bool differs(const struct held_segment *held, const struct segment *segment)
{
    int32_t shift = sequence_ahead(segment->sequence, held->sequence);
    uint32_t in_held = shift > 0 ? (uint32_t)shift : 0;
    uint32_t in_segment = shift < 0 ? (uint32_t)-shift : 0;
    if (in_held >= held->bytes || in_segment >= segment->bytes)
        return false;
    uint32_t bytes = held->bytes - in_held;
    if (bytes > segment->bytes - in_segment)
        bytes = segment->bytes - in_segment;
    return memcmp(held->data + in_held, segment->data + in_segment, bytes) != 0;
}

bool held_conflicts(const struct stream *stream, const struct segment *segment)
{
    const struct held_queue *queue = stream->held;
    if (!queue)
        return false;
    uint32_t end = segment->sequence + segment->wire_bytes;
    for (uint32_t i = place_of(queue, segment->sequence); i < queue->first + queue->count; i++) {
        if (sequence_ahead(queue->segment[i]->sequence, end) >= 0)
            break;
        if (differs(queue->segment[i], segment))
            return true;
    }
    return false;
}

void held_drop_first(struct stream *stream, struct budget *budget)
{
    struct held_queue *queue = stream->held;
    free_segment(stream, queue->segment[queue->first], budget);
    queue->first++;
    if (--queue->count == 0)
        queue->first = 0;
}

void held_clear(struct stream *stream, struct budget *budget)
{
    while (held_first(stream))
        held_drop_first(stream, budget);
    if (!stream->held)
        return;
    budget_give(budget, stream->held->room * sizeof *stream->held->segment);
    free(stream->held);
    stream->held = NULL;
}
