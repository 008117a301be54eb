/* TCP reassembly: the ordered bytes of each direction, with explicit gaps.
 *
 * Overlap rule: the copy that arrived first wins, whatever the system of the receiver would do; a
 * differing second copy is counted (tcp_overlap_conflicts).
 *
 * Bytes that acknowledge data of the other direction which we have not delivered yet are held until
 * that data comes or is a gap, so a response never overtakes its request whatever order the capture
 * has. In-order bytes are passed on without copy or allocation.
 *
 * Bytes that were held keep the time of their packet, unless later bytes of the flow were delivered
 * before: time never falls within a flow. A gap has the time when it was noticed.
 *
 * A RST ends both directions when stream_gap_timeout_ms have passed and its sender has sent nothing
 * more, so that bytes which it overtook are not lost.
 *
 * A flow that is `unread` goes on as before, but its bytes are only counted; so those which were
 * not captured are no gap.
 *
 * Only held bytes can be compared with a second copy; what was delivered is gone. */
#ifndef HOPTAP_STREAM_H
#define HOPTAP_STREAM_H

#include "budget.h"
#include "counters.h"
#include "bounds.h"
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

struct held_queue; /* held.h */

/* Private to stream.c and held.c but for `closed`. */
struct stream {
    /* First byte not yet delivered. Before the stream is anchored: the lowest seen. */
    uint32_t next_sequence;
    uint32_t initial_sequence; /* of the SYN, when syn_seen */
    uint32_t acknowledged;     /* by the other side, when acknowledged_seen: the highest */
    uint32_t fin_sequence;     /* end of the stream, when fin_seen */
    uint32_t fin_acknowledgement;
    uint32_t held_bytes;       /* of memory, with overhead */
    uint64_t fin_ns;
    uint64_t hole_since_ns;    /* packet time when the oldest hole appeared; 0: none */
    struct held_queue *held;   /* sorted by sequence, no overlaps; owned, freed by held_clear */
    bool seen : 1;      /* some packet of this direction was captured */
    bool started : 1;   /* next_sequence means something */
    bool anchored : 1;  /* and is where delivery goes on: known from a SYN, or settled on */
    bool delivered : 1; /* bytes or a gap were passed on */
    bool syn_seen : 1;
    bool acknowledged_seen : 1;
    bool fin_seen : 1;
    bool fin_acknowledges : 1;
    bool fin_guessed : 1; /* a number was acknowledged that nobody saw: we take it for a FIN */
    bool absent : 1;      /* this direction is not captured: nobody waits for it */
    bool closed : 1;
};

struct tcp {
    struct stream stream[2]; /* by direction */
    uint64_t delivered_ns;   /* time last passed to the sink; it never falls within a flow */
    uint64_t reset_ns;       /* packet time of a RST that waits for its turn, when reset_seen */
    uint32_t reset_sequence;
    uint8_t reset_direction;
    bool reset_seen;
    bool settled; /* no more waiting for a late SYN: streams begin where they are met */
    bool waiting; /* something depends on time: tcp_advance is to be called */
};

struct reassembly {
    const struct limits *limits;
    struct budget *budget;
    struct counters *counters;
    struct stream_sink sink;
};

/* flow->first_ns must be set. */
void tcp_segment(struct reassembly *reassembly, struct flow *flow, enum direction direction,
                 const struct datagram *datagram, uint64_t time_ns);
/* Holes older than stream_gap_timeout_ms become gaps; true while something waits. */
bool tcp_advance(struct reassembly *reassembly, struct flow *flow, uint64_t time_ns);
/* Packet time of the oldest thing that waits: tcp_advance has nothing to do until
 * stream_gap_timeout_ms later. UINT64_MAX when nothing does. */
uint64_t tcp_waiting_since(const struct tcp *tcp);
/* Delivers what is held (gaps between), closes both directions, frees. */
void tcp_finish(struct reassembly *reassembly, struct flow *flow, uint64_t time_ns);

#endif
