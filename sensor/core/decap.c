#include "decap.h"

#include <stdlib.h>
#include <string.h>

#include "ipfrag.h"
#include "walk.h"

enum {
    /* Steps down: four for a tunnel that carries Ethernet, one for a tag, a label or an extension
     * header. Seven tunnels in each other; Suricata's decoder.max-layers of 16 allows five. */
    LAYERS_MAX = 32,
};

struct decap {
    struct counters *counters;
    struct ipfrag *fragments; /* owned; closed in decap_close */
};

struct decap *decap_open(const struct limits *limits, struct budget *budget,
                         struct counters *counters)
{
    struct decap *decap = calloc(1, sizeof *decap);
    if (!decap)
        return NULL;
    decap->counters = counters;
    decap->fragments = ipfrag_open(limits, budget, counters);
    if (!decap->fragments) {
        decap_close(decap);
        return NULL;
    }
    return decap;
}

void decap_close(struct decap *decap)
{
    if (!decap)
        return;
    ipfrag_close(decap->fragments);
    free(decap);
}

static void note_vlan(struct datagram *datagram, uint16_t tci)
{
    uint16_t id = tci & 0x0fff;
    if (id != 0) /* 0 is a priority tag, which names no VLAN (IEEE 802.1Q 9.6) */
        datagram->vlan = id;
}

static enum step ethernet(struct walk *walk)
{
    enum { HEADER = 14 };
    if (walk->captured < HEADER)
        return walk_short(walk, HEADER);
    walk->type = be16(walk->data + 12);
    walk_past(walk, HEADER);
    return STEP_TYPE;
}

/* BSD loopback: an address family, in the byte order of whoever captured. */
static enum step loopback(struct walk *walk)
{
    enum { HEADER = 4 };
    if (walk->captured < HEADER)
        return walk_short(walk, HEADER);
    uint32_t family = be32(walk->data);
    if (family > 0xffff)
        family = __builtin_bswap32(family);
    walk_past(walk, HEADER);
    switch (family) {
    case 2: /* AF_INET everywhere */
        return STEP_IPV4;
    case 10: /* AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, Darwin */
    case 24:
    case 28:
    case 30:
        return STEP_IPV6;
    default:
        return STEP_NOT_IP;
    }
}

/* Linux cooked captures: the EtherType stands last (v1) or first (v2). */
static enum step cooked(struct walk *walk, uint32_t header, uint32_t type_at)
{
    if (walk->captured < header)
        return walk_short(walk, header);
    walk->type = be16(walk->data + type_at);
    walk_past(walk, header);
    return STEP_TYPE;
}

static enum step link_layer(struct walk *walk, uint16_t link)
{
    switch (link) {
    case LINK_ETHERNET:
        return ethernet(walk);
    case LINK_LINUX_SLL:
        return cooked(walk, 16, 14);
    case LINK_LINUX_SLL2:
        return cooked(walk, 20, 0);
    case LINK_NULL:
    case LINK_LOOP:
        return loopback(walk);
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
    case LINK_RAW:
        return STEP_IP;
    case LINK_IPV4:
        return STEP_IPV4;
    case LINK_IPV6:
        return STEP_IPV6;
    default:
        return STEP_UNKNOWN_LINK;
    }
}

static enum step vlan_tag(struct walk *walk)
{
    enum { TAG = 4 };
    if (walk->captured < TAG)
        return walk_short(walk, TAG);
    note_vlan(walk->datagram, be16(walk->data));
    walk->type = be16(walk->data + 2);
    walk_past(walk, TAG);
    return STEP_TYPE;
}

/* One label. Below the last one nothing says what follows: an IP version, or 0, the control word
 * of an Ethernet pseudowire (RFC 4385 section 3). */
static enum step mpls_label(struct walk *walk)
{
    enum { LABEL = 4 };
    if (walk->captured < LABEL + 1)
        return walk_short(walk, LABEL + 1);
    bool last = walk->data[2] & 1;
    unsigned nibble = walk->data[LABEL] >> 4;
    if (!last) {
        walk_past(walk, LABEL);
        return STEP_TYPE;
    }
    if (nibble == 4 || nibble == 6) {
        walk_past(walk, LABEL);
        return STEP_IP;
    }
    if (nibble != 0)
        return STEP_NOT_IP;
    if (walk->captured < LABEL + 4)
        return walk_short(walk, LABEL + 4);
    walk_past(walk, LABEL + 4);
    return STEP_ETHERNET;
}

static enum step by_type(struct walk *walk)
{
    switch (walk->type) {
    case TYPE_IPV4:
        return STEP_IPV4;
    case TYPE_IPV6:
        return STEP_IPV6;
    case 0x8100: /* 802.1Q */
    case 0x88a8: /* 802.1ad, and what was used for QinQ before it */
    case 0x9100:
    case 0x9200:
        return vlan_tag(walk);
    case 0x8847: /* MPLS, unicast and multicast */
    case 0x8848:
        return mpls_label(walk);
    case TYPE_TEB: /* Linux cooked captures of a GRE TAP device */
        return STEP_ETHERNET;
    default:
        return STEP_NOT_IP;
    }
}

static enum step by_version(struct walk *walk)
{
    if (walk->captured < 1)
        return walk_short(walk, 1);
    switch (walk->data[0] >> 4) {
    case 4:
        return STEP_IPV4;
    case 6:
        return STEP_IPV6;
    default:
        return STEP_NOT_IP;
    }
}

static void begin_datagram(struct datagram *datagram, uint8_t ip_version)
{
    datagram->ip_version = ip_version;
    datagram->source_port = 0;
    datagram->destination_port = 0;
    datagram->tcp_flags = 0;
    datagram->ip_id = 0;
    datagram->checksum = 0;
    datagram->tcp_sequence = 0;
    datagram->tcp_acknowledgement = 0;
}

static void map_address(uint8_t address[ADDRESS_BYTES], const uint8_t *ipv4)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    memcpy(address, prefix, sizeof prefix);
    memcpy(address + sizeof prefix, ipv4, 4);
}

static enum step fragment(struct decap *decap, struct walk *walk, struct fragment *fragment)
{
    const struct datagram *datagram = walk->datagram;
    if (walk->captured < walk->wire) {
        count(decap->counters, COUNT_fragments, 1);
        count(decap->counters, COUNT_fragments_dropped, 1);
        return STEP_TRUNCATED;
    }
    memcpy(fragment->source, datagram->source, ADDRESS_BYTES);
    memcpy(fragment->destination, datagram->destination, ADDRESS_BYTES);
    fragment->tunnel = datagram->tunnel;
    fragment->tunnel_id = datagram->tunnel_id;
    fragment->vlan = datagram->vlan;
    fragment->ip_version = datagram->ip_version;
    fragment->protocol = walk->protocol;
    fragment->data = walk->data;
    fragment->bytes = walk->wire;
    struct ipfrag_whole whole;
    switch (ipfrag_add(decap->fragments, fragment, &whole)) {
    case IPFRAG_HELD:
        return STEP_HELD;
    case IPFRAG_DROPPED:
        return STEP_FRAGMENT_DROPPED;
    case IPFRAG_MALFORMED:
        return STEP_MALFORMED;
    case IPFRAG_WHOLE:
        break;
    }
    walk->data = whole.data;
    walk->captured = walk->wire = whole.bytes;
    walk->protocol = whole.protocol;
    return STEP_PROTOCOL;
}

static enum step ipv4(struct decap *decap, struct walk *walk)
{
    enum { HEADER = 20, MORE_FRAGMENTS = 0x2000, OFFSET = 0x1fff };
    const uint8_t *at = walk->data;
    if (walk->captured < HEADER)
        return walk_short(walk, HEADER);
    uint32_t header = (at[0] & 0x0fu) * 4, total = be16(at + 2);
    if (total == 0) /* more than 64 KiB, of a sender with segmentation offload */
        total = walk->wire;
    if (at[0] >> 4 != 4 || header < HEADER || total < header)
        return STEP_MALFORMED;
    if (walk->captured < header)
        return walk_short(walk, header);
    begin_datagram(walk->datagram, 4);
    map_address(walk->datagram->source, at + 12);
    map_address(walk->datagram->destination, at + 16);
    walk->datagram->ip_id = be16(at + 4);
    walk->protocol = at[9];
    walk_set_length(walk, total);
    walk_past(walk, header);
    uint16_t place = be16(at + 6);
    if (!(place & (MORE_FRAGMENTS | OFFSET)))
        return STEP_PROTOCOL;
    struct fragment piece = {.id = walk->datagram->ip_id,
                             .offset = (place & OFFSET) * 8u,
                             .more = place & MORE_FRAGMENTS};
    return fragment(decap, walk, &piece);
}

static enum step ipv6(struct walk *walk)
{
    enum { HEADER = 40 };
    const uint8_t *at = walk->data;
    if (walk->captured < HEADER)
        return walk_short(walk, HEADER);
    if (at[0] >> 4 != 6)
        return STEP_MALFORMED;
    begin_datagram(walk->datagram, 6);
    memcpy(walk->datagram->source, at + 8, ADDRESS_BYTES);
    memcpy(walk->datagram->destination, at + 24, ADDRESS_BYTES);
    walk->protocol = at[6];
    walk_past(walk, HEADER);
    uint32_t length = be16(at + 4);
    if (length != 0) /* 0: a jumbogram (RFC 2675), the length is that of the frame */
        walk_set_length(walk, length);
    return STEP_PROTOCOL;
}

/* Any header that begins with the next protocol and its own length. */
static enum step extension(struct walk *walk, uint32_t unit_bytes, uint32_t first_bytes)
{
    if (walk->captured < 2)
        return walk_short(walk, 2);
    uint32_t header = walk->data[1] * unit_bytes + first_bytes;
    if (walk->captured < header)
        return walk_short(walk, header);
    walk->protocol = walk->data[0];
    walk_past(walk, header);
    return STEP_PROTOCOL;
}

static enum step fragment_header(struct decap *decap, struct walk *walk)
{
    enum { HEADER = 8 };
    if (walk->captured < HEADER)
        return walk_short(walk, HEADER);
    uint16_t place = be16(walk->data + 2);
    struct fragment piece = {
        .id = be32(walk->data + 4), .offset = place & 0xfff8u, .more = place & 1};
    walk->protocol = walk->data[0];
    walk_past(walk, HEADER);
    if (piece.offset == 0 && !piece.more) /* atomic: whole in itself, RFC 6946 */
        return STEP_PROTOCOL;
    return fragment(decap, walk, &piece);
}

static enum step tcp(struct walk *walk)
{
    enum { HEADER = 20 };
    const uint8_t *at = walk->data;
    if (walk->captured < HEADER)
        return walk_short(walk, HEADER);
    uint32_t header = (at[12] >> 4) * 4u;
    if (header < HEADER || header > walk->wire)
        return STEP_MALFORMED;
    struct datagram *datagram = walk->datagram;
    datagram->source_port = be16(at);
    datagram->destination_port = be16(at + 2);
    datagram->tcp_sequence = be32(at + 4);
    datagram->tcp_acknowledgement = be32(at + 8);
    datagram->tcp_flags = at[13];
    datagram->checksum = be16(at + 16);
    walk_past(walk, header);
    return STEP_DATAGRAM;
}

static enum step udp(struct walk *walk)
{
    enum { HEADER = 8, VXLAN = 4789, VXLAN_LINUX = 8472, GENEVE = 6081 };
    const uint8_t *at = walk->data;
    if (walk->captured < HEADER)
        return walk_short(walk, HEADER);
    uint32_t length = be16(at + 4);
    if (length == 0) /* longer than 64 KiB: RFC 2675 section 4 */
        length = walk->wire;
    if (length < HEADER || length > walk->wire)
        return STEP_MALFORMED;
    walk->datagram->source_port = be16(at);
    walk->datagram->destination_port = be16(at + 2);
    walk->datagram->checksum = be16(at + 6);
    walk_set_length(walk, length);
    walk_past(walk, HEADER);
    switch (walk->datagram->destination_port) {
    case VXLAN:
    case VXLAN_LINUX:
        return walk_vxlan(walk);
    case GENEVE:
        return walk_geneve(walk);
    default:
        return STEP_DATAGRAM;
    }
}

static enum step sctp(struct walk *walk)
{
    if (walk->captured < 4)
        return walk_short(walk, 4);
    walk->datagram->source_port = be16(walk->data);
    walk->datagram->destination_port = be16(walk->data + 2);
    return STEP_DATAGRAM;
}

/* The type that answers this one, as Community ID pairs them; -1 when the message stands alone. */
static int icmp_answer(uint8_t protocol, uint8_t type)
{
    static const uint8_t pairs_v4[][2] = {{8, 0}, {13, 14}, {15, 16}, {10, 9}, {17, 18}};
    static const uint8_t pairs_v6[][2] = {{128, 129}, {130, 131}, {133, 134},
                                          {135, 136}, {139, 140}, {144, 145}};
    bool v4 = protocol == PROTO_ICMP;
    const uint8_t(*pairs)[2] = v4 ? pairs_v4 : pairs_v6;
    size_t count = v4 ? sizeof pairs_v4 / 2 : sizeof pairs_v6 / 2;
    for (size_t i = 0; i < count; i++) {
        if (pairs[i][0] == type)
            return pairs[i][1];
        if (pairs[i][1] == type)
            return pairs[i][0];
    }
    return -1;
}

static enum step icmp(struct walk *walk)
{
    if (walk->captured < 4)
        return walk_short(walk, 4);
    int answer = icmp_answer(walk->protocol, walk->data[0]);
    walk->datagram->source_port = walk->data[0];
    walk->datagram->destination_port = answer < 0 ? walk->data[1] : (uint16_t)answer;
    walk->datagram->checksum = be16(walk->data + 2);
    return STEP_DATAGRAM;
}

static enum step ipv6_protocol(struct decap *decap, struct walk *walk)
{
    switch (walk->protocol) {
    case 0:   /* hop-by-hop options */
    case 43:  /* routing */
    case 60:  /* destination options */
    case 135: /* mobility */
    case 139: /* HIP */
    case 140: /* shim6 */
        return extension(walk, 8, 8);
    case 44:
        return fragment_header(decap, walk);
    default:
        return STEP_DATAGRAM;
    }
}

static enum step by_protocol(struct decap *decap, struct walk *walk)
{
    walk->datagram->protocol = walk->protocol;
    switch (walk->protocol) {
    case PROTO_TCP:
        return tcp(walk);
    case PROTO_UDP:
        return udp(walk);
    case PROTO_SCTP:
        return sctp(walk);
    case PROTO_ICMP:
    case PROTO_ICMPV6:
        return icmp(walk);
    case 4:
        return walk_ip_in_ip(walk, STEP_IPV4);
    case 41:
        return walk_ip_in_ip(walk, STEP_IPV6);
    case 47:
        return walk_gre(walk);
    case 51: /* authentication header: its length counts 4-byte words, less two */
        return extension(walk, 4, 8);
    default:
        return walk->datagram->ip_version == 6 ? ipv6_protocol(decap, walk) : STEP_DATAGRAM;
    }
}

static enum decap_verdict skipped(struct decap *decap, enum counter why)
{
    count(decap->counters, why, 1);
    return DECAP_SKIPPED;
}

static enum decap_verdict verdict(struct decap *decap, const struct walk *walk, enum step step)
{
    switch (step) {
    case STEP_DATAGRAM:
        walk->datagram->payload = walk->data;
        walk->datagram->payload_bytes = walk->captured;
        walk->datagram->payload_wire_bytes = walk->wire;
        return DECAP_DATAGRAM;
    case STEP_HELD:
        return DECAP_HELD;
    case STEP_FRAGMENT_DROPPED: /* counted where it was dropped */
        return DECAP_SKIPPED;
    case STEP_NOT_IP:
        return skipped(decap, COUNT_decap_not_ip);
    case STEP_TRUNCATED:
        return skipped(decap, COUNT_decap_truncated);
    case STEP_MALFORMED:
        return skipped(decap, COUNT_decap_malformed);
    case STEP_UNKNOWN_LINK:
        return skipped(decap, COUNT_decap_unknown_link);
    default:
        return skipped(decap, COUNT_decap_too_deep);
    }
}

static bool over(enum step step)
{
    return step >= STEP_DATAGRAM;
}

static enum step descend(struct decap *decap, struct walk *walk, enum step step)
{
    switch (step) {
    case STEP_ETHERNET:
        return ethernet(walk);
    case STEP_TYPE:
        return by_type(walk);
    case STEP_IP:
        return by_version(walk);
    case STEP_IPV4:
        return ipv4(decap, walk);
    case STEP_IPV6:
        return ipv6(walk);
    case STEP_PROTOCOL:
        return by_protocol(decap, walk);
    default:
        return step;
    }
}

enum decap_verdict decap(struct decap *decap, const struct packet *packet,
                         struct datagram *datagram)
{
    uint32_t captured = packet->captured_bytes;
    struct walk walk = {
        .data = packet->data,
        .captured = captured,
        .wire = packet->wire_bytes > captured ? packet->wire_bytes : captured,
        .datagram = datagram,
    };
    datagram->tunnel = TUNNEL_NONE;
    datagram->tunnel_id = 0;
    datagram->vlan = VLAN_NONE;
    if (packet->has_vlan)
        note_vlan(datagram, packet->vlan_tci);
    ipfrag_begin(decap->fragments, packet->time_ns);
    enum step step = link_layer(&walk, packet->link);
    for (unsigned layers = 0; layers < LAYERS_MAX && !over(step); layers++)
        step = descend(decap, &walk, step);
    if (datagram->tunnel != TUNNEL_NONE)
        count(decap->counters, COUNT_decap_tunnel_gre + (datagram->tunnel - TUNNEL_GRE), 1);
    return verdict(decap, &walk, step);
}
