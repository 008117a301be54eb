/* The flow table: bounded, keyed by 5-tuple and VLAN (or VXLAN, GENEVE network), expired in packet
 * time.
 *
 * Where a router stands between two mirrored segments, the directions of a connection are seen
 * on different VLANs. So a packet of a known 5-tuple on another VLAN joins the flow if its TCP
 * numbers fit, or if nothing of its direction was seen yet; else it opens a flow of its own. */
#ifndef HOPTAP_FLOW_H
#define HOPTAP_FLOW_H

#include <stddef.h>

#include "budget.h"
#include "counters.h"
#include "bounds.h"
#include "packet.h"
#include "stream.h"

enum { FLOW_UID_CHARS = 18 }; /* 'C' and 17 base-62 digits, then NUL */
enum { COMMUNITY_ID_CHARS = 30 }; /* "1:" and 28 of base64 */

/* In the order in which a packet needs it: the first cache line finds the flow, the second
 * counts. */
struct flow {
    /* Endpoint [TO_SERVER] is the server, [TO_CLIENT] the client: address[d] is where packets of
     * direction d go. Who is the client: the SYN says; else the lower port is the server. */
    uint8_t address[2][ADDRESS_BYTES];
    uint16_t port[2];
    uint8_t protocol;
    uint8_t ip_version;
    uint8_t tunnel;
    bool announced : 1; /* the batch has described this flow */
    bool unread : 1;    /* its streams are followed and counted, and given to nobody */
    bool tapped : 1;    /* no packets of it were captured: `tap` says where its bytes come from */
    uint16_t vlan;  /* as tunnel, tunnel_id and source: of the first packet */
    uint16_t source;
    uint32_t tunnel_id;
    uint32_t segment[2];     /* private: the network where each direction was seen last */
    struct flow *table_next; /* private to flow.c, as all that is called so below */
    uint64_t last_ns;
    uint64_t packets[2];
    uint64_t bytes[2]; /* L4 payload on the wire */
    void *protocol_state; /* owned by the engine; freed through flow_ended */
    uint64_t listed_ns;   /* private: packet time when it went to the young end of its list */
    uint32_t number; /* counts flows of this table from 1; names the flow in a batch */
    bool ended;
    bool is_waiting; /* private: in the list of flows with holes */
    bool is_closed;  /* private: both streams are, late packets are swallowed */
    struct tcp tcp;  /* reassembly state of both streams; unused for UDP */
    /* Stable: from the 5-tuple and the client's initial sequence number; without a SYN, and for
     * other protocols than TCP, from the 5-tuple and the first packet's time. */
    uint64_t uid;
    uint64_t first_ns;
    uint64_t hash;                                 /* private */
    const struct flow_tap *tap; /* owned by tapped.c; when tapped */
    struct flow *older, *newer;                    /* private: age */
    struct flow *waiting_before, *waiting_after;   /* private */
};

struct process; /* process.h */

/* Of a flow whose bytes a tap read in a process. */
struct flow_tap {
    uint32_t pid;
    uint16_t number; /* of the tap */
    bool serves;     /* the process is the server */
    bool placed;     /* its socket was found; else the flow's addresses and ports are 0 */
    const struct process *process; /* borrowed; another one's, if its pid is not this */
};

struct flow_table;

/* Called once per flow, for whatever reason it ends, after its streams have been closed. A flow
 * whose streams are both closed ends flow_closed_timeout_ms later, so that its counts include
 * late packets. */
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

/* A flow that a tap has met; the caller fills in its endpoints, and finds it again by itself: no
 * datagram ever belongs to it. NULL when memory is short (counted). */
struct flow *flow_table_tapped(struct flow_table *table, const struct flow_tap *tap,
                               uint64_t time_ns);
/* It said something. */
void flow_table_heard(struct flow_table *table, struct flow *flow, enum direction direction,
                      uint64_t bytes, uint64_t time_ns);
void flow_table_end(struct flow_table *table, struct flow *flow, uint64_t time_ns);
/* The guess of who is the client was wrong, and nobody has been told yet. */
void flow_turn_round(struct flow *flow);

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
