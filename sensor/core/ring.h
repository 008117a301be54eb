/* Reading a BPF ring buffer in place: linux/kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst.
 *
 * Knows memory only, not where it is mapped from. What the producer wrote is checked before it is
 * believed, so that a producer of ours gone wrong is an error line, not a crash. */
#ifndef HOPTAP_RING_H
#define HOPTAP_RING_H

#include <stddef.h>
#include <stdint.h>

enum ring_verdict {
    RING_RECORD,
    RING_EMPTY,
    RING_BUSY,   /* the next record is reserved, not yet written */
    RING_BROKEN, /* positions or a length that no producer leaves: final */
};

struct ring {
    const uint64_t *produced; /* the producer's position, as all below borrowed from who maps it */
    uint64_t *consumed;       /* ours, which frees room */
    const uint8_t *data;      /* mapped twice in a row, so that no record is split */
    uint64_t bytes;           /* of the data once: a power of two */
    uint64_t at;              /* where the next record begins */
};

void ring_begin(struct ring *ring, const uint64_t *produced, uint64_t *consumed,
                const uint8_t *data, uint64_t bytes);

/* The next record, which stays in place until ring_release(). Gives back what was discarded. */
enum ring_verdict ring_next(struct ring *ring, const uint8_t **record, uint32_t *bytes);

/* Everything up to the record that ring_next() gave last is the producer's again. */
void ring_release(struct ring *ring);

/* Looking ahead: the record that begins at *at, which moves behind it. Records that are reserved or
 * discarded are passed over; RING_EMPTY at the last. */
enum ring_verdict ring_peek(const struct ring *ring, uint64_t *at, const uint8_t **record,
                            uint32_t *bytes);

#endif
