#include "cutter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cutter_program.h"
#include "errorline.h"

enum { CPUS_MAX = 4096 };

struct cutter {
    uint8_t *value; /* of the map, shared with the kernel; owned, as map */
    size_t value_bytes, sources;
    uint32_t cpus, seed, factor;
    int map;
};

static int bpf(enum bpf_cmd command, union bpf_attr *attributes)
{
    return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static uint64_t *mark_at(const struct cutter *cutter, uint64_t hash)
{
    return (uint64_t *)cutter->value + hash % CUTTER_MARKS;
}

static size_t counts_at(const struct cutter *cutter, size_t source)
{
    return CUTTER_MARKS * sizeof(uint64_t) + source * cutter->cpus * sizeof(struct cutter_line);
}

static bool open_map(struct cutter *cutter, char *error)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    cutter->value_bytes = (counts_at(cutter, cutter->sources) + page - 1) / page * page;
    union bpf_attr attributes = {
        .map_type = BPF_MAP_TYPE_ARRAY,
        .key_size = sizeof(uint32_t),
        .value_size = (uint32_t)cutter->value_bytes,
        .max_entries = 1,
        .map_flags = BPF_F_MMAPABLE,
        .map_name = "hoptap_marks",
    };

    cutter->map = bpf(BPF_MAP_CREATE, &attributes);
    if (cutter->map < 0) {
        error_line(error, "no memory shared with the kernel: %m%s",
                   errno == EPERM ? " (CAP_BPF is needed)" : "");
        return false;
    }
    void *value = mmap(NULL, cutter->value_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                       cutter->map, 0);
    if (value == MAP_FAILED) {
        error_line(error, "cannot map the memory shared with the kernel: %m");
        return false;
    }
    cutter->value = value;
    return true;
}

struct cutter *cutter_open(size_t sources, char error[SOURCE_ERROR_BYTES])
{
    struct cutter *cutter = calloc(1, sizeof *cutter);
    long cpus = sysconf(_SC_NPROCESSORS_CONF);

    if (!cutter) {
        error_line(error, "out of memory");
        return NULL;
    }
    cutter->map = -1;
    cutter->sources = sources;
    cutter->cpus = cpus < 1 ? 1 : cpus > CPUS_MAX ? CPUS_MAX : (uint32_t)cpus;
    /* Secret, so that nobody can have his flow cut by the mark of another. */
    bool seeded = getrandom(&cutter->seed, sizeof cutter->seed, 0) == sizeof cutter->seed &&
                  getrandom(&cutter->factor, sizeof cutter->factor, 0) == sizeof cutter->factor;
    cutter->factor |= 1;
    if (!seeded)
        error_line(error, "no random numbers: %m");
    if (seeded && open_map(cutter, error))
        return cutter;
    cutter_close(cutter);
    return NULL;
}

static int load(const struct cutter_code *code, char *error)
{
    union bpf_attr attributes = {
        .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
        .insns = (uintptr_t)code->insn,
        .insn_cnt = code->count,
        .license = (uintptr_t)"BSD",
        .prog_name = "hoptap_cut",
    };

    int program = bpf(BPF_PROG_LOAD, &attributes);
    if (program < 0)
        error_line(error, "the kernel does not take the program: %m%s",
                   errno == EPERM ? " (CAP_BPF is needed)" : "");
    return program;
}

bool cutter_attach(struct cutter *cutter, size_t source, const struct kernelfilter *ports,
                   bool ethernet, int socket, char error[SOURCE_ERROR_BYTES])
{
    struct cutter_code *code = calloc(1, sizeof *code);
    struct cutter_program description = {
        .ports = ports,
        .ethernet = ethernet,
        .map = cutter->map,
        .counts_at = (uint32_t)counts_at(cutter, source),
        .cpus = cutter->cpus,
        .seed = cutter->seed,
        .factor = cutter->factor,
    };
    int program = -1;

    if (!code)
        error_line(error, "out of memory");
    else if (!cutter_assemble(code, &description))
        error_line(error, "too many ports");
    else
        program = load(code, error);
    free(code);
    if (program < 0)
        return false;
    bool attached =
        setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) == 0;
    if (!attached)
        error_line(error, "cannot attach the program: %m");
    close(program); /* the socket holds it */
    return attached;
}

static uint64_t hash_of(const struct cutter *cutter, const struct datagram *datagram)
{
    size_t skipped = datagram->ip_version == 4 ? 12 : 0;
    uint8_t words[2 * ADDRESS_BYTES + 4], *at = words;
    uint64_t hash = cutter->seed;

    memcpy(at, datagram->source + skipped, ADDRESS_BYTES - skipped);
    at += ADDRESS_BYTES - skipped;
    memcpy(at, datagram->destination + skipped, ADDRESS_BYTES - skipped);
    at += ADDRESS_BYTES - skipped;
    *at++ = (uint8_t)(datagram->source_port >> 8);
    *at++ = (uint8_t)datagram->source_port;
    *at++ = (uint8_t)(datagram->destination_port >> 8);
    *at++ = (uint8_t)datagram->destination_port;
    for (const uint8_t *word = words; word < at; word += 4) {
        uint32_t value;
        memcpy(&value, word, sizeof value);
        hash = cutter_hash_step(hash, value, cutter->factor);
    }
    return hash;
}

void cutter_mark(struct cutter *cutter, const struct datagram *datagram)
{
    uint64_t hash = hash_of(cutter, datagram);
    uint32_t end = datagram->tcp_sequence + datagram->payload_wire_bytes;
    uint64_t *mark = mark_at(cutter, hash), tag = hash >> 32 | 1;
    uint64_t found = __atomic_load_n(mark, __ATOMIC_RELAXED);

    if (found >> 32 == (tag ^ 1) && datagram->tcp_sequence - (uint32_t)found >= CUTTER_WINDOW)
        return;
    /* If the kernel wrote meanwhile, another connection begins. */
    __atomic_compare_exchange_n(mark, &found, tag << 32 | end, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
}

void cutter_count(const struct cutter *cutter, size_t source, struct cutter_counts *counts)
{
    const struct cutter_line *line =
        (const struct cutter_line *)(cutter->value + counts_at(cutter, source));

    *counts = (struct cutter_counts){0};
    for (uint32_t cpu = 0; cpu < cutter->cpus; cpu++, line++) {
        counts->filtered += __atomic_load_n(&line->filtered, __ATOMIC_RELAXED);
        counts->filtered_bytes += __atomic_load_n(&line->filtered_bytes, __ATOMIC_RELAXED);
        counts->cut += __atomic_load_n(&line->cut, __ATOMIC_RELAXED);
        counts->cut_bytes += __atomic_load_n(&line->cut_bytes, __ATOMIC_RELAXED);
    }
}

void cutter_close(struct cutter *cutter)
{
    if (!cutter)
        return;
    if (cutter->value)
        munmap(cutter->value, cutter->value_bytes);
    if (cutter->map >= 0)
        close(cutter->map);
    free(cutter);
}
