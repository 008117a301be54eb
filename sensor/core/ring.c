#include "ring.h"

#include <stdbool.h>

#include <linux/bpf.h>

_Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "positions are of the kernel's long");

enum { ALIGNMENT = 8 };

void ring_begin(struct ring *ring, const uint64_t *produced, uint64_t *consumed,
                const uint8_t *data, uint64_t bytes)
{
    *ring = (struct ring){produced, consumed, data, bytes, 0};
    ring->at = __atomic_load_n(consumed, __ATOMIC_RELAXED); /* nobody else writes it */
}

struct record {
    const uint8_t *data;
    uint32_t bytes;
    uint64_t end;
    bool discarded;
};

/* Acquire: what the producer wrote before it moved on, or took the busy bit away. */
static enum ring_verdict look(const struct ring *ring, uint64_t at, struct record *record)
{
    uint64_t left = __atomic_load_n(ring->produced, __ATOMIC_ACQUIRE) - at;
    if (left == 0)
        return RING_EMPTY;
    if (left > ring->bytes || left < BPF_RINGBUF_HDR_SZ || at % ALIGNMENT)
        return RING_BROKEN;
    const uint8_t *head = ring->data + (at & (ring->bytes - 1));
    uint32_t length = __atomic_load_n((const uint32_t *)head, __ATOMIC_ACQUIRE);
    uint32_t bytes = length & ~(uint32_t)(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
    uint64_t whole = ((uint64_t)bytes + BPF_RINGBUF_HDR_SZ + ALIGNMENT - 1) & -(uint64_t)ALIGNMENT;
    if (whole > left)
        return RING_BROKEN;
    *record = (struct record){
        .data = head + BPF_RINGBUF_HDR_SZ,
        .bytes = bytes,
        .end = at + whole,
        .discarded = (length & BPF_RINGBUF_DISCARD_BIT) != 0,
    };
    return length & BPF_RINGBUF_BUSY_BIT ? RING_BUSY : RING_RECORD;
}

enum ring_verdict ring_next(struct ring *ring, const uint8_t **data, uint32_t *bytes)
{
    for (;;) {
        struct record record;
        enum ring_verdict verdict = look(ring, ring->at, &record);
        if (verdict != RING_RECORD)
            return verdict;
        ring->at = record.end;
        if (!record.discarded) {
            *data = record.data;
            *bytes = record.bytes;
            return RING_RECORD;
        }
        ring_release(ring);
    }
}

void ring_release(struct ring *ring)
{
    /* Release: our reads of the record are done before the producer may write there. */
    __atomic_store_n(ring->consumed, ring->at, __ATOMIC_RELEASE);
}

enum ring_verdict ring_peek(const struct ring *ring, uint64_t *at, const uint8_t **data,
                            uint32_t *bytes)
{
    for (;;) {
        struct record record;
        enum ring_verdict verdict = look(ring, *at, &record);
        if (verdict == RING_EMPTY || verdict == RING_BROKEN)
            return verdict;
        *at = record.end;
        if (verdict == RING_BUSY || record.discarded)
            continue;
        *data = record.data;
        *bytes = record.bytes;
        return RING_RECORD;
    }
}
