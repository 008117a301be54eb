/* Reassembly of IP fragments, bounded by fragment_datagrams_max, fragment_timeout_ms and the
 * budget.
 *
 * IPv4: of bytes that came twice the first copy wins. IPv6: fragments that overlap doom their
 * datagram, those still to come too (RFC 5722); an exact copy is ignored (RFC 8200 section 4.5). */
#ifndef HOPTAP_IPFRAG_H
#define HOPTAP_IPFRAG_H

#include "budget.h"
#include "counters.h"
#include "bounds.h"
#include "packet.h"

struct fragment {
    uint8_t source[ADDRESS_BYTES];
    uint8_t destination[ADDRESS_BYTES];
    uint32_t id;
    uint32_t tunnel_id;
    uint16_t vlan;
    uint8_t ip_version;
    uint8_t tunnel;
    uint8_t protocol; /* of IPv6 the one in the first fragment counts */
    bool more;        /* not the last */
    uint32_t offset;  /* in bytes */
    uint32_t bytes;
    const uint8_t *data; /* borrowed during the call */
};

enum ipfrag_verdict { IPFRAG_HELD, IPFRAG_WHOLE, IPFRAG_DROPPED, IPFRAG_MALFORMED };

/* The payload of a datagram that has become whole. */
struct ipfrag_whole {
    const uint8_t *data; /* owned by ipfrag; freed in the next ipfrag_begin */
    uint32_t bytes;
    uint8_t protocol;
};

struct ipfrag;

struct ipfrag *ipfrag_open(const struct limits *limits, struct budget *budget,
                           struct counters *counters);
/* A new packet begins: frees what was handed out for the last one, drops what is too old. */
void ipfrag_begin(struct ipfrag *ipfrag, uint64_t time_ns);
/* WHOLE fills *whole. */
enum ipfrag_verdict ipfrag_add(struct ipfrag *ipfrag, const struct fragment *fragment,
                               struct ipfrag_whole *whole);
void ipfrag_close(struct ipfrag *ipfrag);

#endif
