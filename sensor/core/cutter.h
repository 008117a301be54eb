/* Packets that nobody will read any further are cut behind their headers by the kernel: an eBPF
 * socket filter in the place of the classic one (kernelfilter.h), which it contains.
 *
 * A flow of sealed TLS has nothing left to say but how much; its packets are most of what a
 * management network carries. The core marks such a direction in memory that the program looks
 * into; from then on the ring receives 54 bytes of each packet instead of up to 64 KiB. Lengths
 * and numbers stay in the headers, so flows, streams and counts are what they would be.
 *
 * Never cut: what is not marked; SYN, FIN and RST; and, since addresses and ports come again, what
 * is not within a gigabyte after the byte marked. A SYN takes the mark away, and a packet captured
 * before it, of the connection before, does not bring it back. */
#ifndef HOPTAP_CUTTER_H
#define HOPTAP_CUTTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"
#include "source.h"

struct kernelfilter;
struct cutter;

enum {
    /* Shorter ones are not looked at: a copy of less costs no more than the look. */
    CUTTER_FRAME_BYTES_MIN = 256,
};

struct cutter_counts {
    uint64_t filtered, filtered_bytes; /* kept out by the ports */
    uint64_t cut, cut_bytes;           /* whole frames, and what of them was left out */
};

/* For sources with an index below `sources`. NULL and a line in error[] where the kernel has no
 * such thing or forbids it. */
struct cutter *cutter_open(size_t sources, char error[SOURCE_ERROR_BYTES]);

/* Attaches to the socket of a source, at once replacing what was attached. `ports`: what else the
 * program keeps out; NULL: nothing. False and a line in error[]. */
bool cutter_attach(struct cutter *cutter, size_t source, const struct kernelfilter *ports,
                   bool ethernet, int socket, char error[SOURCE_ERROR_BYTES]);

/* What goes the way of this TCP datagram, and follows it, is to be cut. No system call. */
void cutter_mark(struct cutter *cutter, const struct datagram *datagram);

void cutter_count(const struct cutter *cutter, size_t source, struct cutter_counts *counts);

/* Accepts NULL; after the sockets. */
void cutter_close(struct cutter *cutter);

#endif
