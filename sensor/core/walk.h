/* The state of one walk down the layers of a frame; shared by decap.c and tunnel.c only.
 *
 * Invariant: captured <= wire, and data[0 .. captured) may be read. A layer that claims to be
 * shorter than what is left (padding, trailers) shortens both; one that claims to be longer
 * lengthens `wire`, because a mirror or a snap length may have cut the frame. */
#ifndef HOPTAP_WALK_H
#define HOPTAP_WALK_H

#include "packet.h"

struct walk {
    const uint8_t *data;
    uint32_t captured;
    uint32_t wire;
    uint16_t type;    /* EtherType of the layer in hand */
    uint8_t protocol; /* IP protocol of the layer in hand */
    struct datagram *datagram;
};

/* What the layer in hand is, or how the walk ended. */
enum step {
    STEP_ETHERNET,
    STEP_TYPE, /* as walk->type says */
    STEP_IP,   /* as the version nibble says */
    STEP_IPV4,
    STEP_IPV6,
    STEP_PROTOCOL, /* as walk->protocol says */
    STEP_DATAGRAM,
    STEP_HELD,
    STEP_FRAGMENT_DROPPED,
    STEP_NOT_IP,
    STEP_TRUNCATED,
    STEP_MALFORMED,
    STEP_UNKNOWN_LINK,
};

enum {
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    TYPE_TEB = 0x6558, /* transparent Ethernet bridging, RFC 1701 */
};

static inline uint16_t be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t be24(const uint8_t *at)
{
    return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

static inline uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | be24(at + 1);
}

/* Why `bytes` are not at hand: the capture cut them, or the sender never put them there. */
static inline enum step walk_short(const struct walk *walk, uint32_t bytes)
{
    return bytes <= walk->wire ? STEP_TRUNCATED : STEP_MALFORMED;
}

/* Goes past bytes that are on the wire, whether or not they were captured. */
static inline void walk_past(struct walk *walk, uint32_t bytes)
{
    uint32_t at_hand = bytes < walk->captured ? bytes : walk->captured;
    walk->data += at_hand;
    walk->captured -= at_hand;
    walk->wire -= bytes;
}

/* The layer in hand says how long it is: no more than that is its own. */
static inline void walk_set_length(struct walk *walk, uint32_t bytes)
{
    walk->wire = bytes;
    if (walk->captured > bytes)
        walk->captured = bytes;
}

/* tunnel.c: the header at hand is that of the tunnel. STEP_DATAGRAM when it is none of those
 * we look into: then nothing was consumed. */
enum step walk_gre(struct walk *walk);
enum step walk_vxlan(struct walk *walk);
enum step walk_geneve(struct walk *walk);
enum step walk_ip_in_ip(struct walk *walk, enum step version);

#endif
