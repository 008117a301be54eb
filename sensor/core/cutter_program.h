/* The eBPF program of cutter.h, and what it shares with user space. */
#ifndef HOPTAP_CUTTER_PROGRAM_H
#define HOPTAP_CUTTER_PROGRAM_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernelfilter;

enum {
    CUTTER_MARKS = 1 << 15, /* two for each flow; when two meet in one place, one is not cut */
    CUTTER_WINDOW = 1 << 30,
    CUTTER_INSNS_MAX = 16384,
};
static const uint32_t CUTTER_FACTOR_HIGH = 0x9e3779b9; /* of the golden ratio: balanced bits */

/* One value of a map, mapped into user space: the marks, then counts of each source and CPU. A mark
 * is a tag, odd, above the number of the first byte to be cut; where a connection has just begun, the
 * tag is even, and the number that of the SYN. */
struct cutter_line { /* a cache line, so that CPUs do not share one */
    uint64_t filtered, filtered_bytes, cut, cut_bytes, unused[4];
};

struct cutter_code {
    struct bpf_insn insn[CUTTER_INSNS_MAX];
    uint32_t count;
    bool full;
};

struct cutter_program {
    const struct kernelfilter *ports; /* NULL: every packet is kept */
    bool ethernet;
    int map;           /* descriptor */
    uint32_t counts_at; /* offset of the source's first line in the value */
    uint32_t cpus;
    uint32_t seed, factor; /* of the hash; the factor is odd */
};

/* False: too long, or a classic program with instructions that kernelfilter.c does not use. */
bool cutter_assemble(struct cutter_code *code, const struct cutter_program *program);

/* The hash of the words that the program sees: addresses and ports as they lie in the packet. */
static inline uint64_t cutter_hash_step(uint64_t hash, uint32_t word, uint32_t factor)
{
    hash = (hash ^ word) * ((uint64_t)CUTTER_FACTOR_HIGH << 32 | factor);
    return hash ^ hash >> 32;
}

#endif
