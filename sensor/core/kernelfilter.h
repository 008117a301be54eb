/* The classic BPF program that keeps uninteresting packets out of the ring.
 *
 * Kept: TCP and UDP with either port in the list, over IPv4 and IPv6; every fragment; IPv6 with
 * an extension header; and what it does not look into: GRE (ERSPAN), IP in IP, VXLAN, GENEVE,
 * MPLS, the authentication header, frames with more than two VLAN tags inside. (The outermost tag
 * left the frame before.)
 * Dropped: the rest, and frames too short for their headers. */
#ifndef HOPTAP_KERNELFILTER_H
#define HOPTAP_KERNELFILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernelfilter {
    struct sock_filter code[BPF_MAXINSNS];
    uint16_t count;
};

/* For frames that begin with an Ethernet header, or with the IP header. False when the ports need
 * more than BPF_MAXINSNS instructions: some 970 ports apart from each other. */
bool kernelfilter_build(struct kernelfilter *filter, bool ethernet, const uint16_t *ports,
                        size_t port_count);

/* Drops every packet. */
void kernelfilter_build_closed(struct kernelfilter *filter);

/* Attaches to a socket, at once replacing what was attached; errno on failure. */
bool kernelfilter_attach(const struct kernelfilter *filter, int socket);

#endif
