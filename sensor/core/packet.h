/* A captured frame and the datagram found in it.
 *
 * Owns no memory: every pointer here borrows from the source (until its next
 * packet) or from the fragment table (until the next decap() call). */
#ifndef HOPTAP_PACKET_H
#define HOPTAP_PACKET_H

#include <stdbool.h>
#include <stdint.h>

enum direction { TO_SERVER = 0, TO_CLIENT = 1 };

/* LINKTYPE_ values of https://www.tcpdump.org/linktypes.html */
enum link_type {
    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_RAW_BSD = 12,
    LINK_RAW_OPENBSD = 14,
    LINK_RAW = 101,
    LINK_LOOP = 108,
    LINK_LINUX_SLL = 113,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
    LINK_LINUX_SLL2 = 276,
    LINK_TAP = 0xffff, /* no frame: tap.h */
};

struct packet {
    const uint8_t *data; /* captured_bytes bytes, borrowed from the source */
    uint32_t captured_bytes;
    uint32_t wire_bytes;
    uint64_t time_ns; /* since the epoch */
    uint64_t ordinal; /* position in the merged input, from 0 */
    uint16_t link;    /* enum link_type */
    uint16_t source;  /* index of the file or interface */
    uint16_t vlan_tci; /* from auxiliary data, when has_vlan */
    uint16_t vlan_tpid;
    bool has_vlan;
};

enum tunnel { /* counters.h has the same order */
    TUNNEL_NONE,
    TUNNEL_GRE,
    TUNNEL_ERSPAN,
    TUNNEL_VXLAN,
    TUNNEL_GENEVE,
    TUNNEL_IPIP,
    TUNNELS,
};

enum { PROTO_TCP = 6, PROTO_UDP = 17, PROTO_SCTP = 132, PROTO_ICMP = 1, PROTO_ICMPV6 = 58 };
enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_PSH = 0x08, TCP_ACK = 0x10 };

enum { ADDRESS_BYTES = 16, VLAN_NONE = 0xffff };

/* The innermost IP datagram of a packet, in host byte order but for the
 * addresses, which are 16 bytes in network order (IPv4 as ::ffff:a.b.c.d). */
struct datagram {
    uint8_t source[ADDRESS_BYTES];
    uint8_t destination[ADDRESS_BYTES];
    /* 0 for protocols without ports. ICMP: as Community ID has them, the type and the type that
     * answers it, or type and code where no type does. */
    uint16_t source_port;
    uint16_t destination_port;
    uint8_t ip_version; /* 4 or 6 */
    uint8_t protocol;   /* PROTO_* or any IANA number */
    uint8_t tunnel;     /* enum tunnel: the innermost one crossed */
    uint8_t tcp_flags;
    uint16_t vlan; /* innermost VLAN id, or VLAN_NONE */
    uint16_t ip_id; /* IPv4 identification; 0 for IPv6 */
    uint16_t checksum; /* of the TCP, UDP or ICMP header, as sent */
    uint32_t tunnel_id; /* VNI, GRE key or ERSPAN session id */
    uint32_t tcp_sequence;
    uint32_t tcp_acknowledgement;
    const uint8_t *payload; /* above TCP or UDP; the IP payload otherwise */
    uint32_t payload_bytes; /* captured */
    uint32_t payload_wire_bytes; /* as the headers say; more when the capture was cut */
};

#endif
