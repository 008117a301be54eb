#include "ipfrag.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hash64.h"

enum {
    DATAGRAM_BYTES_MAX = 65535,
    /* FreeBSD allows 16 (net.inet.ip.maxfragsperpacket) and 64 for IPv6; 64 KiB at an MTU of 576
     * are 119. */
    FRAGMENTS_MAX = 128,
};

static const uint32_t END_UNKNOWN = UINT32_MAX;
static const uint64_t MS = 1000000;

struct piece {
    struct piece *next;
    uint32_t offset, bytes;
    uint8_t data[];
};

/* Compared and hashed as bytes: no padding. */
struct key {
    uint8_t source[ADDRESS_BYTES];
    uint8_t destination[ADDRESS_BYTES];
    uint32_t id;
    uint32_t tunnel_id;
    uint16_t vlan;
    uint8_t ip_version;
    uint8_t tunnel;
    uint8_t protocol; /* 0 for IPv6 */
    uint8_t zero[3];
};

enum state { GATHERING, DOOMED, DONE };

/* A datagram in parts. */
struct assembly {
    struct key key;
    struct assembly *table_next, *older, *newer;
    struct piece *pieces; /* sorted, no overlaps; owned, freed in free_pieces */
    struct piece *last_piece;
    uint64_t since_ns; /* of its first fragment; once done, of its last */
    uint32_t hash;
    uint32_t end; /* of the datagram, END_UNKNOWN before its last fragment came */
    uint32_t held_bytes;
    uint32_t fragments;
    uint8_t protocol;
    uint8_t state;
};

struct age_list {
    struct assembly *oldest, *newest;
};

struct whole {
    struct whole *next;
    uint32_t bytes;
    uint8_t data[];
};

struct ipfrag {
    struct budget *budget;
    struct counters *counters;
    struct assembly **table; /* owned, as the assemblies in it; freed in ipfrag_close */
    struct age_list gathering, done; /* each in the table, each in one of these lists */
    struct whole *wholes; /* handed out for the packet in hand; owned */
    uint64_t now_ns, timeout_ns, done_ns;
    uint64_t count, max;
    uint64_t seed; /* secret, so that nobody can fill one bucket */
    uint32_t mask;
};

struct ipfrag *ipfrag_open(const struct limits *limits, struct budget *budget,
                           struct counters *counters)
{
    struct ipfrag *ipfrag = calloc(1, sizeof *ipfrag);
    if (!ipfrag)
        return NULL;
    ipfrag->budget = budget;
    ipfrag->counters = counters;
    ipfrag->timeout_ns = limits->fragment_timeout_ms * MS;
    ipfrag->done_ns = limits->duplicate_window_ms * MS;
    ipfrag->max = limits->fragment_datagrams_max ? limits->fragment_datagrams_max : 1;
    uint32_t buckets = 16;
    while (buckets < ipfrag->max && buckets < 1u << 20)
        buckets *= 2;
    ipfrag->mask = buckets - 1;
    if (getrandom(&ipfrag->seed, sizeof ipfrag->seed, GRND_NONBLOCK) < 0)
        ipfrag->seed = (uint64_t)(uintptr_t)ipfrag;
    ipfrag->table = calloc(buckets, sizeof *ipfrag->table);
    if (!ipfrag->table) {
        ipfrag_close(ipfrag);
        return NULL;
    }
    return ipfrag;
}

static struct age_list *list_of(struct ipfrag *ipfrag, const struct assembly *assembly)
{
    return assembly->state == DONE ? &ipfrag->done : &ipfrag->gathering;
}

static void list_append(struct age_list *list, struct assembly *assembly)
{
    assembly->older = list->newest;
    assembly->newer = NULL;
    *(list->newest ? &list->newest->newer : &list->oldest) = assembly;
    list->newest = assembly;
}

static void list_remove(struct age_list *list, struct assembly *assembly)
{
    *(assembly->older ? &assembly->older->newer : &list->oldest) = assembly->newer;
    *(assembly->newer ? &assembly->newer->older : &list->newest) = assembly->older;
}

/* Payloads may hold credentials: nothing of them stays in freed memory. */
static void free_pieces(struct ipfrag *ipfrag, struct assembly *assembly)
{
    for (struct piece *piece = assembly->pieces, *next; piece; piece = next) {
        next = piece->next;
        budget_give(ipfrag->budget, sizeof *piece + piece->bytes);
        explicit_bzero(piece->data, piece->bytes);
        free(piece);
    }
    assembly->pieces = assembly->last_piece = NULL;
    assembly->fragments = 0;
}

static void forget(struct ipfrag *ipfrag, struct assembly *assembly)
{
    struct assembly **link = &ipfrag->table[assembly->hash & ipfrag->mask];
    while (*link != assembly)
        link = &(*link)->table_next;
    *link = assembly->table_next;
    list_remove(list_of(ipfrag, assembly), assembly);
    count(ipfrag->counters, COUNT_fragments_dropped, assembly->fragments);
    free_pieces(ipfrag, assembly);
    budget_give(ipfrag->budget, sizeof *assembly);
    free(assembly);
    ipfrag->count--;
}

static void release_wholes(struct ipfrag *ipfrag)
{
    for (struct whole *whole = ipfrag->wholes, *next; whole; whole = next) {
        next = whole->next;
        budget_give(ipfrag->budget, sizeof *whole + whole->bytes);
        explicit_bzero(whole->data, whole->bytes);
        free(whole);
    }
    ipfrag->wholes = NULL;
}

static bool is_old(const struct ipfrag *ipfrag, const struct assembly *assembly, uint64_t age_ns)
{
    return assembly && ipfrag->now_ns - assembly->since_ns > age_ns;
}

void ipfrag_begin(struct ipfrag *ipfrag, uint64_t time_ns)
{
    if (ipfrag->wholes)
        release_wholes(ipfrag);
    if (time_ns > ipfrag->now_ns)
        ipfrag->now_ns = time_ns;
    while (is_old(ipfrag, ipfrag->gathering.oldest, ipfrag->timeout_ns))
        forget(ipfrag, ipfrag->gathering.oldest);
    while (is_old(ipfrag, ipfrag->done.oldest, ipfrag->done_ns))
        forget(ipfrag, ipfrag->done.oldest);
}

static struct key key_of(const struct fragment *fragment)
{
    struct key key = {
        .id = fragment->id,
        .tunnel_id = fragment->tunnel_id,
        .vlan = fragment->vlan,
        .ip_version = fragment->ip_version,
        .tunnel = fragment->tunnel,
        .protocol = fragment->ip_version == 4 ? fragment->protocol : 0,
    };
    memcpy(key.source, fragment->source, ADDRESS_BYTES);
    memcpy(key.destination, fragment->destination, ADDRESS_BYTES);
    return key;
}

/* Drops the oldest other datagram; false when there is none. */
static bool make_room(struct ipfrag *ipfrag, const struct assembly *except)
{
    struct assembly *victim = ipfrag->done.oldest;
    if (!victim)
        victim = ipfrag->gathering.oldest;
    if (victim && victim == except)
        victim = victim->newer;
    if (!victim)
        return false;
    forget(ipfrag, victim);
    return true;
}

static void *take(struct ipfrag *ipfrag, size_t bytes, const struct assembly *except)
{
    while (!budget_take(ipfrag->budget, bytes))
        if (!make_room(ipfrag, except)) {
            count(ipfrag->counters, COUNT_memory_shed, 1);
            return NULL;
        }
    void *memory = malloc(bytes);
    if (!memory) {
        budget_give(ipfrag->budget, bytes);
        count(ipfrag->counters, COUNT_memory_shed, 1);
    }
    return memory;
}

static struct assembly *assembly_of(struct ipfrag *ipfrag, const struct fragment *fragment)
{
    struct key key = key_of(fragment);
    uint32_t hash = (uint32_t)hash64(ipfrag->seed, (const uint8_t *)&key, sizeof key);
    for (struct assembly *each = ipfrag->table[hash & ipfrag->mask]; each;
         each = each->table_next)
        if (each->hash == hash && memcmp(&each->key, &key, sizeof key) == 0)
            return each;
    while (ipfrag->count >= ipfrag->max && make_room(ipfrag, NULL))
        ;
    struct assembly *assembly = take(ipfrag, sizeof *assembly, NULL);
    if (!assembly)
        return NULL;
    *assembly = (struct assembly){
        .key = key,
        .since_ns = ipfrag->now_ns,
        .hash = hash,
        .end = END_UNKNOWN,
        .protocol = fragment->protocol,
        .state = GATHERING,
    };
    struct assembly **bucket = &ipfrag->table[hash & ipfrag->mask];
    assembly->table_next = *bucket;
    *bucket = assembly;
    list_append(&ipfrag->gathering, assembly);
    ipfrag->count++;
    return assembly;
}

/* RFC 791 section 3.1: all but the last are multiples of 8; none reaches beyond a datagram. */
static bool is_possible(const struct fragment *fragment)
{
    return fragment->bytes > 0 && (!fragment->more || fragment->bytes % 8 == 0) &&
           fragment->offset <= DATAGRAM_BYTES_MAX &&
           fragment->bytes <= DATAGRAM_BYTES_MAX - fragment->offset;
}

/* Two ends of one datagram, or bytes beyond its end. */
static bool contradicts(const struct assembly *assembly, const struct fragment *fragment)
{
    uint32_t end = fragment->offset + fragment->bytes;
    if (assembly->end != END_UNKNOWN &&
        (end > assembly->end || (!fragment->more && end < assembly->end)))
        return true;
    const struct piece *last = assembly->last_piece;
    return !fragment->more && last && last->offset + last->bytes > end;
}

enum overlap { OVERLAP_NONE, OVERLAP_COPY, OVERLAP_OTHER };

static enum overlap overlap_of(const struct assembly *assembly, const struct fragment *fragment)
{
    uint32_t end = fragment->offset + fragment->bytes;
    for (const struct piece *each = assembly->pieces; each && each->offset < end;
         each = each->next) {
        if (each->offset + each->bytes <= fragment->offset)
            continue;
        bool copy = each->offset == fragment->offset && each->bytes == fragment->bytes &&
                    memcmp(each->data, fragment->data, each->bytes) == 0;
        return copy ? OVERLAP_COPY : OVERLAP_OTHER;
    }
    return OVERLAP_NONE;
}

static struct piece *keep_piece(struct ipfrag *ipfrag, struct assembly *assembly,
                                const struct fragment *fragment, uint32_t from, uint32_t to)
{
    uint32_t bytes = to - from;
    struct piece *piece = take(ipfrag, sizeof *piece + bytes, assembly);
    if (!piece)
        return NULL;
    piece->offset = from;
    piece->bytes = bytes;
    memcpy(piece->data, fragment->data + (from - fragment->offset), bytes);
    assembly->held_bytes += bytes;
    return piece;
}

/* Keeps what of the fragment fits between the pieces already there. */
static bool keep(struct ipfrag *ipfrag, struct assembly *assembly, const struct fragment *fragment)
{
    uint32_t at = fragment->offset, end = at + fragment->bytes;
    struct piece **link = &assembly->pieces;
    if (assembly->last_piece && assembly->last_piece->offset + assembly->last_piece->bytes <= at)
        link = &assembly->last_piece->next;
    while (at < end) {
        while (*link && (*link)->offset + (*link)->bytes <= at)
            link = &(*link)->next;
        struct piece *after = *link;
        uint32_t to = after && after->offset < end ? after->offset : end;
        if (to > at) {
            struct piece *piece = keep_piece(ipfrag, assembly, fragment, at, to);
            if (!piece)
                return false;
            piece->next = after;
            *link = piece;
            if (!after)
                assembly->last_piece = piece;
        }
        at = after ? after->offset + after->bytes : end;
    }
    return true;
}

/* The datagram in one stretch, its assembly emptied; NULL when memory is short. */
static struct whole *join(struct ipfrag *ipfrag, struct assembly *assembly)
{
    struct whole *whole = take(ipfrag, sizeof *whole + assembly->end, assembly);
    if (!whole)
        return NULL;
    whole->bytes = assembly->end;
    for (const struct piece *each = assembly->pieces; each; each = each->next)
        memcpy(whole->data + each->offset, each->data, each->bytes);
    whole->next = ipfrag->wholes;
    ipfrag->wholes = whole;
    free_pieces(ipfrag, assembly);
    return whole;
}

/* Remembered for the duplicate window, so that late copies of its fragments do not begin it
 * again. */
static void retire(struct ipfrag *ipfrag, struct assembly *assembly)
{
    if (ipfrag->done_ns == 0) {
        forget(ipfrag, assembly);
        return;
    }
    list_remove(&ipfrag->gathering, assembly);
    assembly->state = DONE;
    assembly->since_ns = ipfrag->now_ns;
    list_append(&ipfrag->done, assembly);
}

static enum ipfrag_verdict dropped(struct ipfrag *ipfrag)
{
    count(ipfrag->counters, COUNT_fragments_dropped, 1);
    return IPFRAG_DROPPED;
}

static enum ipfrag_verdict doom(struct ipfrag *ipfrag, struct assembly *assembly)
{
    count(ipfrag->counters, COUNT_fragments_dropped, assembly->fragments);
    free_pieces(ipfrag, assembly);
    assembly->state = DOOMED;
    return dropped(ipfrag);
}

static enum ipfrag_verdict gather(struct ipfrag *ipfrag, struct assembly *assembly,
                                  const struct fragment *fragment, struct ipfrag_whole *out)
{
    bool strict = fragment->ip_version == 6;
    if (contradicts(assembly, fragment))
        return strict ? doom(ipfrag, assembly) : dropped(ipfrag);
    if (strict)
        switch (overlap_of(assembly, fragment)) {
        case OVERLAP_OTHER:
            return doom(ipfrag, assembly);
        case OVERLAP_COPY:
            return IPFRAG_HELD;
        case OVERLAP_NONE:
            break;
        }
    uint32_t held_before = assembly->held_bytes;
    if (!keep(ipfrag, assembly, fragment))
        return doom(ipfrag, assembly);
    if (assembly->held_bytes == held_before) /* nothing new in it */
        return IPFRAG_HELD;
    if (assembly->fragments == FRAGMENTS_MAX)
        return doom(ipfrag, assembly);
    assembly->fragments++;
    if (!fragment->more)
        assembly->end = fragment->offset + fragment->bytes;
    if (fragment->offset == 0)
        assembly->protocol = fragment->protocol;
    if (assembly->held_bytes != assembly->end)
        return IPFRAG_HELD;
    struct whole *whole = join(ipfrag, assembly);
    if (!whole)
        return doom(ipfrag, assembly);
    *out = (struct ipfrag_whole){whole->data, whole->bytes, assembly->protocol};
    retire(ipfrag, assembly);
    return IPFRAG_WHOLE;
}

enum ipfrag_verdict ipfrag_add(struct ipfrag *ipfrag, const struct fragment *fragment,
                               struct ipfrag_whole *whole)
{
    count(ipfrag->counters, COUNT_fragments, 1);
    if (!is_possible(fragment)) {
        count(ipfrag->counters, COUNT_fragments_dropped, 1);
        return IPFRAG_MALFORMED;
    }
    struct assembly *assembly = assembly_of(ipfrag, fragment);
    if (!assembly)
        return dropped(ipfrag);
    switch (assembly->state) {
    case DOOMED:
        return dropped(ipfrag);
    case DONE:
        count(ipfrag->counters, COUNT_duplicates, 1);
        return IPFRAG_DROPPED;
    default:
        return gather(ipfrag, assembly, fragment, whole);
    }
}

void ipfrag_close(struct ipfrag *ipfrag)
{
    if (!ipfrag)
        return;
    release_wholes(ipfrag);
    while (ipfrag->done.oldest)
        forget(ipfrag, ipfrag->done.oldest);
    while (ipfrag->gathering.oldest)
        forget(ipfrag, ipfrag->gathering.oldest);
    free(ipfrag->table);
    free(ipfrag);
}
