/* From a frame to its innermost datagram: link layers, VLAN and QinQ, GRE, ERSPAN I/II/III,
 * VXLAN, GENEVE, IP in IP, IPv6 extension headers, and reassembled fragments. */
#ifndef HOPTAP_DECAP_H
#define HOPTAP_DECAP_H

#include "budget.h"
#include "counters.h"
#include "bounds.h"
#include "packet.h"

enum decap_verdict {
    DECAP_DATAGRAM, /* *datagram is filled */
    DECAP_HELD,     /* a fragment: kept until its datagram is whole */
    DECAP_SKIPPED,  /* not IP, cut short, malformed, too deep: the counter says which */
};

struct decap;

struct decap *decap_open(const struct limits *limits, struct budget *budget,
                         struct counters *counters);
enum decap_verdict decap(struct decap *decap, const struct packet *packet,
                         struct datagram *datagram);
void decap_close(struct decap *decap);

/* Recognises the same datagram seen twice within duplicate_window_ms (two span sources, or
 * ingress and egress of one). TTL, VLAN, tunnel and source do not count as differences; IP id,
 * sequence numbers and checksum do. */
struct duplicates;

struct duplicates *duplicates_open(const struct limits *limits);
bool duplicate_seen(struct duplicates *duplicates, const struct datagram *datagram,
                    uint64_t time_ns);
void duplicates_close(struct duplicates *duplicates);

#endif
