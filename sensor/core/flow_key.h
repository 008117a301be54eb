/* What belongs to which flow: comparison, hash, name. */
#ifndef HOPTAP_FLOW_KEY_H
#define HOPTAP_FLOW_KEY_H

#include <string.h>

#include "flow.h"

/* The network that a datagram was seen on: its VLAN, and of an overlay its network. Mirrors (GRE,
 * ERSPAN) have ids too, but those name the mirror. */
static inline uint32_t flow_segment(const struct datagram *datagram)
{
    bool overlay = datagram->tunnel == TUNNEL_VXLAN || datagram->tunnel == TUNNEL_GENEVE;
    uint32_t network = overlay ? datagram->tunnel_id + 1 : 0;
    return network * 0x9e3779b1u + datagram->vlan;
}

static inline bool same_address(const uint8_t *a, const uint8_t *b)
{
    uint64_t words_a[2], words_b[2];
    memcpy(words_a, a, sizeof words_a);
    memcpy(words_b, b, sizeof words_b);
    return words_a[0] == words_b[0] && words_a[1] == words_b[1];
}

static inline bool goes(const struct flow *flow, const struct datagram *datagram,
                        enum direction direction)
{
    return flow->port[direction] == datagram->destination_port &&
           flow->port[!direction] == datagram->source_port &&
           same_address(flow->address[direction], datagram->destination) &&
           same_address(flow->address[!direction], datagram->source);
}

/* Equal 5-tuples, either way round; which one, is in *direction. */
static inline bool flow_matches(const struct flow *flow, const struct datagram *datagram,
                                enum direction *direction)
{
    if (flow->protocol != datagram->protocol || flow->ip_version != datagram->ip_version ||
        flow->tapped)
        return false;
    *direction = TO_SERVER;
    if (goes(flow, datagram, TO_SERVER))
        return true;
    *direction = TO_CLIENT;
    return goes(flow, datagram, TO_CLIENT);
}

/* flow_hash() with a secret. */
uint64_t flow_hash_seeded(const struct datagram *datagram, uint64_t seed);

/* Whether a datagram with the flow's 5-tuple that comes from another segment is of this flow. */
bool flow_fits(const struct flow *flow, const struct datagram *datagram,
               enum direction direction);

/* Whether this SYN is of another connection than the one the flow has seen. */
bool flow_begins_anew(const struct flow *flow, const struct datagram *datagram,
                      enum direction direction);

/* flow->uid, where this datagram is the first of the flow or its SYN. */
uint64_t flow_uid_of(const struct flow *flow, const struct datagram *datagram, uint64_t first_ns);

#endif
