/* What one fill() hands up: events in order, with all their bytes in one arena.
 *
 * Invariant: an event's bytes are copied into the arena when it is added, so a batch
 * outlives the packets and flows it speaks of. */
#ifndef HOPTAP_BATCH_H
#define HOPTAP_BATCH_H

#include <stddef.h>

#include "flow.h"
#include "framed.h"
#include "process.h"
#include "tls.h"
#include "transaction.h"

enum event_kind {
    EVENT_FLOW,
    EVENT_TRANSACTION,
    EVENT_CHUNK,
    EVENT_GAP,
    EVENT_DATAGRAM,
    EVENT_PROXY_HEADER,
    EVENT_FLOW_END,
    EVENT_TLS,
    EVENT_MESSAGE,
};

/* Bytes in the arena; positions, not pointers, because the arena moves when it grows. */
struct extent {
    size_t at;
    uint32_t bytes;
};

struct flow_description {
    uint8_t address[2][ADDRESS_BYTES];
    uint16_t port[2];
    uint8_t protocol;
    uint8_t tunnel;
    uint16_t vlan;
    uint16_t source;
    struct flow_tap tap; /* pid 0: packets; its process is not to be followed */
    char process[PROCESS_NAME_BYTES], cgroup[PROCESS_CGROUP_BYTES]; /* of a tap's; "": not known */
    char uid[FLOW_UID_CHARS + 1];
    char community[COMMUNITY_ID_CHARS + 1];
};

struct flow_totals {
    uint64_t packets[2];
    uint64_t bytes[2];
};

enum { TRANSACTION_SLICES = 10 };

struct event_transaction {
    uint64_t request_ns, response_ns, end_ns;
    uint16_t status, flags;
    struct extent slice[TRANSACTION_SLICES]; /* in the order of struct transaction */
};

struct event_message {
    uint64_t size_bytes, start_ns;
    uint32_t session;
    uint8_t protocol, flags;
    struct extent data;
};

struct event {
    uint8_t kind;
    uint8_t direction;
    uint32_t flow;
    uint64_t time_ns; /* never falls from one event to the next */
    uint64_t ordinal; /* of the packet that caused it */
    union {
        struct extent bytes; /* CHUNK, DATAGRAM, PROXY_HEADER */
        uint64_t gap_bytes;
        struct flow_totals totals;
        size_t at; /* in the arena; FLOW: struct flow_description, TRANSACTION: struct event_transaction,
                      TLS: struct tls_info, MESSAGE: struct event_message */
    } value;
};

struct batch {
    struct event *events; /* owned by batch; freed in batch_close */
    size_t event_count, event_room;
    uint8_t *arena; /* owned by batch; wiped and freed in batch_close */
    size_t arena_bytes, arena_room;
    uint64_t time_ns, ordinal; /* stamp of the next events: the packet being processed */
    uint64_t lost; /* events dropped for lack of memory */
};

struct batch *batch_open(void);
bool batch_full(const struct batch *batch);
/* Describes the flow first, if this is its first event. */
void batch_transaction(struct batch *batch, struct flow *flow,
                       const struct transaction *transaction);
void batch_bytes(struct batch *batch, enum event_kind kind, struct flow *flow,
                 enum direction direction, struct slice bytes);
void batch_gap(struct batch *batch, struct flow *flow, enum direction direction,
               uint64_t gap_bytes);
void batch_tls(struct batch *batch, struct flow *flow, const struct tls_info *info);
void batch_message(struct batch *batch, struct flow *flow, enum direction direction,
                   const struct framed *framed);
void batch_flow_end(struct batch *batch, struct flow *flow);
void batch_close(struct batch *batch);

#endif
