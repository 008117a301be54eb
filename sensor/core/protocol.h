/* What the bytes of a TCP flow are: PROXY header, then HTTP/1, a CONNECT tunnel with either inside, or
 * an opaque stream. One `struct protocol` per flow. */
#ifndef HOPTAP_PROTOCOL_H
#define HOPTAP_PROTOCOL_H

#include "budget.h"
#include "counters.h"
#include "interest.h"
#include "bounds.h"
#include "operations.h"
#include "tls.h"
#include "transaction.h"

struct protocol_shared {
    const struct limits *limits;
    const struct interest *interest;
    struct budget *budget;
    struct counters *counters;
    struct operations *operations;
    struct changes *changes; /* memory of WANT_CHANGED_ONLY; operations.h */
    struct protocol_sink sink;
    const struct tls_shared *tls; /* its sink is protocol_tls_sink; NULL: TLS stays opaque */
};

struct protocol;

/* What a worker's struct tls_shared must have as its sink. */
extern const struct tls_sink protocol_tls_sink;

/* NULL when memory is short. `flow` is passed back to the sink; its ports say whether chunks are wanted. */
struct protocol *protocol_open(const struct protocol_shared *shared, struct flow *flow);
void protocol_data(struct protocol *protocol, enum direction direction, const uint8_t *data,
                   uint32_t bytes, uint64_t time_ns);
void protocol_gap(struct protocol *protocol, enum direction direction, uint64_t bytes,
                  uint64_t time_ns);
void protocol_end(struct protocol *protocol, enum direction direction, uint64_t time_ns);
/* Has HTTP been found on this flow? A gap in it may hide a transaction. */
bool protocol_is_http(const struct protocol *protocol);
/* Without keys nothing that this flow still says is of use, but its end. */
bool protocol_is_sealed(const struct protocol *protocol);
/* Reports requests still without a response, then frees. */
void protocol_close(struct protocol *protocol, uint64_t time_ns);

#endif
