/* Tunnel headers: GRE (RFC 2784, 2890), ERSPAN I, II and III (draft-foschiano-erspan-03), VXLAN
 * (RFC 7348), GENEVE (RFC 8926), IP in IP (RFC 2003, 4213). */
#include "walk.h"

enum {
    TYPE_ERSPAN = 0x88be, /* I and II */
    TYPE_ERSPAN_III = 0x22eb,
    TYPE_MPLS = 0x8847,
    TYPE_MPLS_MULTICAST = 0x8848,
    TYPE_VLAN = 0x8100,
    TYPE_PROVIDER_VLAN = 0x88a8,
};

/* The VLAN of the outer frame is how the copy travelled, not where the packet was seen. */
static void enter(struct walk *walk, enum tunnel tunnel, uint32_t id)
{
    walk->datagram->tunnel = (uint8_t)tunnel;
    walk->datagram->tunnel_id = id;
    walk->datagram->vlan = VLAN_NONE;
}

static enum step ethertype(struct walk *walk, uint16_t type)
{
    walk->type = type;
    return type == TYPE_TEB ? STEP_ETHERNET : STEP_TYPE;
}

/* Version 1 is type II, version 2 type III; what the EtherType says is not always true. */
static enum step erspan(struct walk *walk)
{
    enum { HEADER_II = 8, HEADER_III = 12, PLATFORM_SUBHEADER = 8 };
    enum { FRAME_ETHERNET = 0, FRAME_IP = 2 };
    if (walk->captured < HEADER_II)
        return walk_short(walk, HEADER_II);
    unsigned version = walk->data[0] >> 4;
    uint16_t vlan = be16(walk->data) & 0x0fff;
    uint32_t session = be16(walk->data + 2) & 0x03ff;
    uint32_t header = HEADER_II;
    unsigned frame = FRAME_ETHERNET;
    if (version == 2) {
        if (walk->captured < HEADER_III)
            return walk_short(walk, HEADER_III);
        frame = walk->data[10] >> 2 & 0x1f;
        header = walk->data[11] & 1 ? HEADER_III + PLATFORM_SUBHEADER : HEADER_III;
        if (walk->wire < header)
            return STEP_MALFORMED;
    } else if (version != 1) {
        return STEP_MALFORMED;
    }
    if (frame != FRAME_ETHERNET && frame != FRAME_IP)
        return STEP_NOT_IP;
    walk_past(walk, header);
    enter(walk, TUNNEL_ERSPAN, session);
    if (vlan) /* where the mirrored port was, unless the frame has a tag of its own */
        walk->datagram->vlan = vlan;
    return frame == FRAME_IP ? STEP_IP : STEP_ETHERNET;
}

enum step walk_gre(struct walk *walk)
{
    enum { CHECKSUM = 0x8000, ROUTING = 0x4000, KEY = 0x2000, SEQUENCE = 0x1000, VERSION = 7 };
    if (walk->captured < 4)
        return walk_short(walk, 4);
    uint16_t flags = be16(walk->data), type = be16(walk->data + 2);
    if (flags & (ROUTING | VERSION)) /* RFC 1701 source routes; version 1 is PPTP */
        return STEP_DATAGRAM;
    uint32_t key_at = flags & CHECKSUM ? 8 : 4;
    uint32_t header = key_at + (flags & KEY ? 4 : 0) + (flags & SEQUENCE ? 4 : 0);
    switch (type) {
    case TYPE_IPV4:
    case TYPE_IPV6:
    case TYPE_TEB:
    case TYPE_ERSPAN:
    case TYPE_ERSPAN_III:
    case TYPE_MPLS:
    case TYPE_MPLS_MULTICAST:
    case TYPE_VLAN:
    case TYPE_PROVIDER_VLAN:
        break;
    default:
        return STEP_DATAGRAM;
    }
    if (walk->captured < header)
        return walk_short(walk, header);
    uint32_t key = flags & KEY ? be32(walk->data + key_at) : 0;
    walk_past(walk, header);
    if (type == TYPE_ERSPAN_III || (type == TYPE_ERSPAN && flags & SEQUENCE))
        return erspan(walk);
    if (type == TYPE_ERSPAN) { /* type I has neither sequence number nor header of its own */
        enter(walk, TUNNEL_ERSPAN, 0);
        return STEP_ETHERNET;
    }
    enter(walk, TUNNEL_GRE, key);
    return ethertype(walk, type);
}

enum step walk_vxlan(struct walk *walk)
{
    /* Linux drops what has other flags (vxlan_rcv); G is that of group policies. */
    enum { HEADER = 8, FLAG_VNI = 0x08, FLAG_GROUP = 0x80 };
    if (walk->wire < HEADER)
        return STEP_DATAGRAM;
    if (walk->captured < HEADER)
        return STEP_TRUNCATED;
    if ((walk->data[0] & ~FLAG_GROUP) != FLAG_VNI)
        return STEP_DATAGRAM;
    uint32_t vni = be24(walk->data + 4);
    walk_past(walk, HEADER);
    enter(walk, TUNNEL_VXLAN, vni);
    return STEP_ETHERNET;
}

enum step walk_geneve(struct walk *walk)
{
    enum { HEADER = 8 };
    if (walk->wire < HEADER)
        return STEP_DATAGRAM;
    if (walk->captured < HEADER)
        return STEP_TRUNCATED;
    uint16_t type = be16(walk->data + 2);
    if (walk->data[0] >> 6 != 0 || (type != TYPE_TEB && type != TYPE_IPV4 && type != TYPE_IPV6))
        return STEP_DATAGRAM;
    uint32_t header = HEADER + (walk->data[0] & 0x3fu) * 4;
    if (walk->captured < header)
        return walk_short(walk, header);
    uint32_t vni = be24(walk->data + 4);
    walk_past(walk, header);
    enter(walk, TUNNEL_GENEVE, vni);
    return ethertype(walk, type);
}

enum step walk_ip_in_ip(struct walk *walk, enum step version)
{
    enter(walk, TUNNEL_IPIP, 0);
    return version;
}
