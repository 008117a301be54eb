/* Segments of one stream that cannot be delivered yet: a queue in order of sequence number.
 *
 * Invariant: no two overlap; all lie within 2^31 of each other. Memory is taken from the
 * budget first, and wiped before it is freed. */
#ifndef HOPTAP_HELD_H
#define HOPTAP_HELD_H

#include "sequence.h"
#include "stream.h"

/* Bytes of a stream as a packet carried them, or part of them. */
struct segment {
    const uint8_t *data; /* borrowed */
    uint32_t sequence;
    uint32_t bytes;      /* captured */
    uint32_t wire_bytes; /* as sent; the rest was cut by the capture */
    uint32_t acknowledgement;
    bool acknowledges;
    uint64_t time_ns;
};

struct held_segment {
    uint64_t time_ns;
    uint32_t sequence;
    uint32_t bytes, wire_bytes;
    uint32_t acknowledgement;
    bool acknowledges;
    uint8_t data[]; /* bytes of them */
};

/* What keeping these bytes takes of held_bytes and of the budget. */
size_t held_cost(uint32_t bytes);
/* Keeps what of the segment is not held already: the first copy wins. False when memory is short;
 * a part may have been kept then, and may be offered again. */
bool held_insert(struct stream *stream, const struct segment *segment, struct budget *budget,
                 struct counters *counters);
/* Whether some held byte differs from the segment's byte at the same place. */
bool held_conflicts(const struct stream *stream, const struct segment *segment);
/* The lowest; NULL when nothing is held. Valid until the queue changes. */
const struct held_segment *held_first(const struct stream *stream);
static inline uint32_t held_end(const struct held_segment *held)
{
    return held->sequence + held->wire_bytes;
}

struct segment held_as_segment(const struct held_segment *held);
void held_drop_first(struct stream *stream, struct budget *budget);
void held_clear(struct stream *stream, struct budget *budget);

#endif
