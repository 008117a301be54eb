/* Conditional jumps of classic BPF reach 255 instructions, so a test that keeps a packet is
 * followed by its own `return keep`, and only JA, which reaches everywhere, leaves a block.
 *
 * Layout: frame -> [tags] -> one block per place where an IP header may begin; those end in JA to
 * the two shared blocks, `udp` and `ports`, with X at the start of the TCP or UDP header. */
#include "kernelfilter.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    KEEP_BYTES = 256 << 10, /* of a kept packet: all of it */
    ETHERTYPE_AT = 12,
    VLAN_TAG_BYTES = 4,
    TAGS_LOOKED_INTO = 2,
    IPV6_HEADER_BYTES = 40,
    IPV4_FRAGMENT = 0x3fff, /* more fragments, or an offset; RFC 791 section 3.1 */
    PORTS = 65536,
    PATCHES_MAX = 1024,
    TOGETHER = 8, /* ranges that are compared one after the other */
};

/* What decap can see through must pass here: these lists hold what decap.c has. */
static const uint16_t vlan_types[] = {0x8100, 0x88a8, 0x9100, 0x9200}; /* 802.1Q, ad, older QinQ */
static const uint16_t opaque_types[] = {0x8847, 0x8848};               /* MPLS */
static const uint8_t ip_opaque[] = {4, 41, 47, 51}; /* IPv4, IPv6, GRE, authentication header */
/* hop by hop, routing, fragment, destination options, mobility, HIP, shim6 */
static const uint8_t ipv6_extensions[] = {0, 43, 44, 60, 135, 139, 140};
static const uint16_t udp_tunnels[] = {4789, 8472, 6081}; /* VXLAN, that of Linux, GENEVE */

struct patches { /* JA instructions whose target is not known yet */
    uint16_t at[PATCHES_MAX];
    uint16_t count;
};

struct assembler {
    struct kernelfilter *filter;
    struct patches to_udp, to_ports, to_end;
    bool full;
};

struct range {
    uint16_t first, last;
};

struct ranges {
    struct range range[PORTS / 2];
    size_t count;
};

static void emit(struct assembler *to, uint16_t code, uint8_t jump_true, uint8_t jump_false,
                 uint32_t k)
{
    if (to->filter->count == BPF_MAXINSNS) {
        to->full = true;
        return;
    }
    to->filter->code[to->filter->count++] =
        (struct sock_filter){code, jump_true, jump_false, k};
}

static void load(struct assembler *to, uint16_t size, uint32_t at)
{
    emit(to, BPF_LD | size | BPF_ABS, 0, 0, at);
}

static void give(struct assembler *to, uint32_t bytes)
{
    emit(to, BPF_RET | BPF_K, 0, 0, bytes);
}

static void keep_if(struct assembler *to, uint32_t value)
{
    emit(to, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
    give(to, KEEP_BYTES);
}

static void jump(struct assembler *to, struct patches *patches)
{
    if (patches->count == PATCHES_MAX) {
        to->full = true;
        return;
    }
    patches->at[patches->count++] = to->filter->count;
    emit(to, BPF_JMP | BPF_JA, 0, 0, 0);
}

static void land(struct assembler *to, const struct patches *patches)
{
    for (uint16_t i = 0; i < patches->count && !to->full; i++)
        to->filter->code[patches->at[i]].k = (uint32_t)(to->filter->count - patches->at[i] - 1);
}

/* A holds the protocol, X where its header begins: TCP and UDP go on, what hides another
 * header is kept. */
static void protocols(struct assembler *to)
{
    emit(to, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 6);
    jump(to, &to->to_ports);
    emit(to, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 17);
    jump(to, &to->to_udp);
    for (size_t i = 0; i < sizeof ip_opaque; i++)
        keep_if(to, ip_opaque[i]);
}

static void ipv4(struct assembler *to, uint32_t ip)
{
    load(to, BPF_H, ip + 6);
    emit(to, BPF_JMP | BPF_JSET | BPF_K, 0, 1, IPV4_FRAGMENT);
    give(to, KEEP_BYTES);
    emit(to, BPF_LDX | BPF_B | BPF_MSH, 0, 0, ip);
    emit(to, BPF_MISC | BPF_TXA, 0, 0, 0);
    emit(to, BPF_ALU | BPF_ADD | BPF_K, 0, 0, ip);
    emit(to, BPF_MISC | BPF_TAX, 0, 0, 0);
    load(to, BPF_B, ip + 9);
    protocols(to);
    give(to, 0);
}

static void ipv6(struct assembler *to, uint32_t ip)
{
    emit(to, BPF_LDX | BPF_IMM, 0, 0, ip + IPV6_HEADER_BYTES);
    load(to, BPF_B, ip + 6);
    protocols(to);
    for (size_t i = 0; i < sizeof ipv6_extensions; i++)
        keep_if(to, ipv6_extensions[i]);
    give(to, 0);
}

/* One IP version at a known place; a jump round it for whatever A does not match. */
static void ip_version(struct assembler *to, uint32_t value, uint32_t ip,
                       void (*block)(struct assembler *, uint32_t))
{
    emit(to, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, value);
    uint16_t round = to->filter->count;
    emit(to, BPF_JMP | BPF_JA, 0, 0, 0);
    block(to, ip);
    if (!to->full)
        to->filter->code[round].k = (uint32_t)(to->filter->count - round - 1);
}

static void ethernet_frame(struct assembler *to)
{
    const size_t types = sizeof vlan_types / sizeof *vlan_types;

    for (uint32_t tags = 0; tags <= TAGS_LOOKED_INTO; tags++) {
        uint32_t type_at = ETHERTYPE_AT + tags * VLAN_TAG_BYTES;
        load(to, BPF_H, type_at);
        ip_version(to, 0x0800, type_at + 2, ipv4);
        ip_version(to, 0x86dd, type_at + 2, ipv6);
        for (size_t i = 0; i < sizeof opaque_types / sizeof *opaque_types; i++)
            keep_if(to, opaque_types[i]);
        for (size_t i = 0; i < types; i++)
            if (tags == TAGS_LOOKED_INTO)
                keep_if(to, vlan_types[i]);
            else /* past the tests that follow, and past the drop */
                emit(to, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(types - i), 0, vlan_types[i]);
        give(to, 0);
    }
}

static void raw_frame(struct assembler *to)
{
    load(to, BPF_B, 0);
    emit(to, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf0);
    ip_version(to, 0x40, 0, ipv4);
    ip_version(to, 0x60, 0, ipv6);
    give(to, 0);
}

/* A holds a port: keeps the packet if it is in one of the ranges, else goes on behind the list. */
static void keep_ranges(struct assembler *to, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].first == ranges[i].last) {
            keep_if(to, ranges[i].first);
        } else {
            emit(to, BPF_JMP | BPF_JGE | BPF_K, 0, 2, ranges[i].first);
            emit(to, BPF_JMP | BPF_JGT | BPF_K, 1, 0, ranges[i].last);
            give(to, KEEP_BYTES);
        }
    }
    jump(to, &to->to_end);
}

/* Halves the list until `together` are left. */
static void search(struct assembler *to, const struct range *ranges, size_t count,
                   size_t together)
{
    size_t half = count / 2;

    if (count <= together || to->full) {
        keep_ranges(to, ranges, count);
        return;
    }
    emit(to, BPF_JMP | BPF_JGE | BPF_K, 1, 0, ranges[half].first);
    uint16_t lower = to->filter->count;
    emit(to, BPF_JMP | BPF_JA, 0, 0, 0);
    search(to, ranges + half, count - half, together);
    if (!to->full)
        to->filter->code[lower].k = (uint32_t)(to->filter->count - lower - 1);
    search(to, ranges, half, together);
}

static void ports_of_interest(struct assembler *to, uint32_t at, const struct ranges *ranges,
                              size_t together)
{
    emit(to, BPF_LD | BPF_H | BPF_IND, 0, 0, at);
    to->to_end.count = 0;
    search(to, ranges->range, ranges->count, together);
    land(to, &to->to_end);
}

/* Neighbours are one range. NULL when memory is short; the caller frees. */
static struct ranges *ranges_of(const uint16_t *ports, size_t port_count)
{
    uint8_t *wanted = calloc(PORTS, 1);
    struct ranges *ranges = calloc(1, sizeof *ranges);

    for (size_t i = 0; wanted && i < port_count; i++)
        wanted[ports[i]] = 1;
    for (uint32_t port = 0; wanted && ranges && port < PORTS; port++) {
        if (!wanted[port])
            continue;
        uint32_t first = port;
        while (port + 1 < PORTS && wanted[port + 1])
            port++;
        ranges->range[ranges->count++] = (struct range){(uint16_t)first, (uint16_t)port};
    }
    if (!wanted) {
        free(ranges);
        ranges = NULL;
    }
    free(wanted);
    return ranges;
}

static bool build(struct kernelfilter *filter, bool ethernet, const struct ranges *ranges,
                  size_t together)
{
    struct assembler to = {.filter = filter};

    filter->count = 0;
    if (ethernet)
        ethernet_frame(&to);
    else
        raw_frame(&to);
    land(&to, &to.to_udp);
    emit(&to, BPF_LD | BPF_H | BPF_IND, 0, 0, 2);
    for (size_t i = 0; i < sizeof udp_tunnels / sizeof *udp_tunnels; i++)
        keep_if(&to, udp_tunnels[i]);
    land(&to, &to.to_ports);
    ports_of_interest(&to, 0, ranges, together);
    ports_of_interest(&to, 2, ranges, together);
    give(&to, 0);
    return !to.full;
}

bool kernelfilter_build(struct kernelfilter *filter, bool ethernet, const uint16_t *ports,
                        size_t port_count)
{
    struct ranges *ranges = ranges_of(ports, port_count);
    /* A list without halves is slower, but shorter. */
    bool built = ranges && (build(filter, ethernet, ranges, TOGETHER) ||
                            build(filter, ethernet, ranges, PORTS));

    free(ranges);
    return built;
}

void kernelfilter_build_closed(struct kernelfilter *filter)
{
    filter->code[0] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, 0};
    filter->count = 1;
}

bool kernelfilter_attach(const struct kernelfilter *filter, int socket)
{
    struct sock_fprog program = {filter->count, (struct sock_filter *)filter->code};

    return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}
