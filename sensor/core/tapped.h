/* From the events of a tap to flows: each session of a TLS library is a flow with two streams.
 *
 * Order within a direction is that of the ring. Byte counts that run ahead of what came are a gap;
 * what lies behind them has been delivered. Nothing waits here. */
#ifndef HOPTAP_TAPPED_H
#define HOPTAP_TAPPED_H

#include "flow.h"
#include "source.h"
#include "stream.h"

struct tapped;

struct tapped_options {
    const struct limits *limits; /* borrowed, as all below */
    struct budget *budget;
    struct counters *counters;
    struct flow_table *flows;
    struct stream_sink sink; /* as that of reassembly; close comes from the flow table */
    /* A line of a key log, without its end. */
    void (*secret)(void *context, const char *line, size_t bytes);
    /* What was made of the flow's bytes is to be forgotten: they were read the wrong way round. */
    void (*forget)(void *context, struct flow *flow, uint64_t time_ns);
    void *context;
    const struct source *tap; /* of tap_open; NULL: sockets are not looked up */
};

/* NULL when memory is short. */
struct tapped *tapped_open(const struct tapped_options *options);
/* A packet of link type LINK_TAP. */
void tapped_event(struct tapped *tapped, const struct packet *packet);
/* The flow table has ended this flow, which is tapped. */
void tapped_ended(struct tapped *tapped, struct flow *flow);
/* After the flow table is closed; accepts NULL. */
void tapped_close(struct tapped *tapped);

#endif
