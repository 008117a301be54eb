/* Where packets come from: a capture file, standard input, or an interface.
 *
 * Contract of next(): SOURCE_PACKET fills *packet, whose data stay valid until
 * the next call; SOURCE_IDLE means nothing within timeout_ms (live only; packet->time_ns
 * is then the time up to which the source is known to be quiet); SOURCE_END and
 * SOURCE_ERROR are final, and error[] then holds one line that names the file and
 * offset, or the interface. A truncated file yields every whole packet first. */
#ifndef HOPTAP_SOURCE_H
#define HOPTAP_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "packet.h"

enum source_verdict { SOURCE_PACKET, SOURCE_IDLE, SOURCE_END, SOURCE_ERROR };

enum { SOURCE_ERROR_BYTES = 512 };

struct source_stats {
    uint64_t received; /* packets the kernel saw for us; for a file: packets read */
    uint64_t dropped;  /* PACKET_STATISTICS tp_drops, accumulated */
    uint64_t frozen;   /* tp_freeze_q_cnt, accumulated */
    uint64_t truncated; /* captured_bytes < wire_bytes */
    uint64_t filtered, filtered_bytes; /* by the program of cutter.h, as what follows; 0 without */
    uint64_t cut, cut_bytes;
    uint64_t secrets_shed; /* decryption secrets blocks past 64 MiB a file: not kept */
    uint64_t last_ns;      /* time of the last packet; 0 before the first */
    bool cuts;             /* the program of cutter.h is attached */
};

struct source;
struct cutter;

struct source_ops {
    enum source_verdict (*next)(struct source *source, struct packet *packet, int timeout_ms);
    void (*stats)(const struct source *source, struct source_stats *stats);
    /* Decryption secrets of a pcapng (block type 0x0A), in file order; NULL past the last. */
    const uint8_t *(*secret)(const struct source *source, size_t index, uint32_t *secrets_type,
                             size_t *bytes);
    /* To poll when next() was idle; -1 when there is none: a file, always ready, or several
     * sources, which wait by themselves. */
    int (*descriptor)(const struct source *source);
    void (*close)(struct source *source); /* accepts a half-opened source */
};

struct source {
    const struct source_ops *ops;
    bool live; /* an interface: what waits in its ring too long is lost */
    char error[SOURCE_ERROR_BYTES];
};

/* A pcap or pcapng file, plain, gzip or zstd; "-" is standard input.
 * NULL and a line in error[] when it cannot be opened or is no capture. Of a pipe nothing is
 * read yet: what it holds turns out at the first next(), which may be SOURCE_IDLE as well. */
struct source *pcapfile_open(const char *path, uint16_t index, char error[SOURCE_ERROR_BYTES]);

/* Whether a file that pcapfile_open opened is a pcapng, which may hold secrets. */
bool pcapfile_holds_secrets(const struct source *source);

struct afpacket_options {
    const char *interface;
    uint16_t index;
    uint16_t fanout_group; /* 0: no fanout */
    uint32_t ring_bytes;
    uint32_t block_bytes; /* at least 128 KiB: GRO super-packets reach 65,226 bytes */
    uint32_t block_timeout_ms;
    int promiscuous;
    /* TCP and UDP server ports of interest; none: everything. The kernel filter keeps them, fragments, and every
     * tunnel it cannot look into (GRE, VXLAN, GENEVE, IP in IP). */
    const uint16_t *ports;
    size_t port_count;
    struct cutter *cutter; /* borrowed; NULL: the classic program, as where this one is refused */
};

struct source *afpacket_open(const struct afpacket_options *options,
                             char error[SOURCE_ERROR_BYTES]);

/* Several sources as one, in order of packet time (ties: lower index first); numbers the
 * packets (ordinal). Takes ownership of sources[0..count), also on failure; the array itself stays
 * the caller's. A source that errs is reported after every other source has ended, but error[]
 * holds its line from the moment it does.
 *
 * A packet of an interface waits for the other sources' clocks to reach its time, for
 * a second at most. */
struct source *merge_open(struct source **sources, size_t count, char error[SOURCE_ERROR_BYTES]);

#endif
