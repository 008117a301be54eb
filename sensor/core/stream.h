/* TCP reassembly: the ordered bytes of each direction, with explicit gaps.
 *
 * Overlap rule: the copy that arrived first wins, whatever the system of the
 * receiver would do; a differing second copy is counted (tcp_overlap_conflicts).
 *
 * Bytes that acknowledge data of the other direction which we have not delivered yet are
 * held until that data comes or is a gap, so a response never overtakes its request
 * whatever order the capture has. In-order bytes are passed on without copy or allocation. */
#ifndef HOPTAP_STREAM_H
#define HOPTAP_STREAM_H

#include "budget.h"
#include "counters.h"
#include "limits.h"
#include "packet.h"

struct flow;

struct stream_sink {
    void *context;
    void (*data)(void *context, struct flow *flow, enum direction direction,
                 const uint8_t *data, uint32_t bytes, uint64_t time_ns);
    void (*gap)(void *context, struct flow *flow, enum direction direction, uint64_t bytes,
                uint64_t time_ns);
    /* The direction is over: FIN reached, RST, idle or end of input. Once per direction. */
    void (*close)(void *context, struct flow *flow, enum direction direction, uint64_t time_ns);
};

struct held_segment; /* stream.c */

struct stream {
    uint32_t next_sequence; /* first byte not yet delivered */
    uint32_t fin_sequence;
    uint32_t held_bytes;
    uint64_t hole_since_ns;    /* packet time when the oldest hole appeared; 0: none */
    struct held_segment *held; /* sorted by sequence, no overlaps; owned, freed in tcp_reset */
    bool started, fin_seen, closed;
};

struct tcp {
    struct stream stream[2]; /* by direction */
};

struct reassembly {
    const struct limits *limits;
    struct budget *budget;
    struct counters *counters;
    struct stream_sink sink;
};

void tcp_segment(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                 const struct datagram *datagram, uint64_t time_ns);
/* Holes older than stream_gap_timeout_ms become gaps; true while any hole is left. */
bool tcp_advance(struct reassembly *reassembly, struct flow *flow, uint64_t time_ns);
/* Delivers what is held (gaps between), closes both directions, frees. */
void tcp_finish(struct reassembly *reassembly, struct flow *flow, uint64_t time_ns);

#endif
