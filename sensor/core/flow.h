/* The flow table: bounded, keyed by 5-tuple and VLAN, expired in packet time. */
#ifndef HOPTAP_FLOW_H
#define HOPTAP_FLOW_H

#include <stddef.h>

#include "budget.h"
#include "counters.h"
#include "limits.h"
#include "packet.h"
#include "stream.h"

enum { FLOW_UID_CHARS = 18 }; /* 'C' and 17 base-62 digits, then NUL */
enum { COMMUNITY_ID_CHARS = 30 }; /* "1:" and 28 of base64 */

struct flow {
    /* Endpoint [TO_SERVER] is the server, [TO_CLIENT] the client: address[d] is where
     * packets of direction d go. Who is the client: the SYN says; else the lower port is the server. */
    uint8_t address[2][ADDRESS_BYTES];
    uint16_t port[2];
    uint8_t protocol;
    uint8_t ip_version;
    uint8_t tunnel;
    uint16_t vlan;
    uint16_t source;
    uint32_t tunnel_id;
    uint32_t number; /* counts flows of this table from 1; names the flow in a batch */
    uint64_t uid;    /* stable: from the key and the client's initial sequence number (TCP), or the first packet's time */
    uint64_t first_ns;
    uint64_t last_ns;
    uint64_t packets[2];
    uint64_t bytes[2]; /* L4 payload on the wire */
    struct tcp tcp;    /* reassembly state of both streams; unused for UDP */
    void *protocol_state; /* owned by the engine; freed through flow_ended */
    bool announced;       /* the batch has described this flow */
    bool ended;
    /* private to flow.c: table and age links */
    struct flow *table_next, *older, *newer;
    uint64_t hash;
    uint64_t closed_ns;
};

struct flow_table;

/* Called once per flow, for whatever reason it ends, after its streams have been closed. */
typedef void flow_ended(void *context, struct flow *flow, uint64_t time_ns);

struct flow_table *flow_table_open(const struct limits *limits, struct budget *budget,
                                   struct counters *counters, const struct stream_sink *sink,
                                   flow_ended *ended, void *context);

/* The flow of this datagram, made if need be; *direction says which way it goes.
 * A SYN with a new sequence number on a known tuple ends the old flow first.
 * NULL when memory is short (counted). */
struct flow *flow_of(struct flow_table *table, const struct datagram *datagram,
                     const struct packet *packet, enum direction *direction);

/* Hands a TCP datagram of this flow to reassembly, and keeps count of flows with holes. */
void flow_table_segment(struct flow_table *table, struct flow *flow, enum direction direction,
                        const struct datagram *datagram, uint64_t time_ns);

/* Ends flows idle at time_ns and turns old holes into gaps. Cheap when nothing is due. */
void flow_table_advance(struct flow_table *table, uint64_t time_ns);

/* Ends every flow: end of input. */
void flow_table_flush(struct flow_table *table, uint64_t time_ns);
/* Ends what is left (the callback is called), then frees; accepts NULL. */
void flow_table_close(struct flow_table *table);

/* Symmetric hash of the 5-tuple, equal for both directions: which worker owns the datagram. */
uint64_t flow_hash(const struct datagram *datagram);

void flow_uid(const struct flow *flow, char uid[FLOW_UID_CHARS + 1]);

/* Community ID v1, https://github.com/corelight/community-id-spec */
void community_id(const struct flow *flow, uint16_t seed, char id[COMMUNITY_ID_CHARS + 1]);

#endif
