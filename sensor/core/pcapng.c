/* pcapng, https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/
 *
 * A block is looked at only when the whole of it is at hand; unknown blocks that are long are
 * passed over unread. */
#include <stdlib.h>

#include "capturefile.h"

static const struct source_ops pcapng_ops;

enum {
    BLOCK_SECTION = 0x0a0d0d0a, /* reads the same in both byte orders */
    BLOCK_INTERFACE = 1,
    BLOCK_OLD_PACKET = 2,
    BLOCK_SIMPLE_PACKET = 3,
    BLOCK_PACKET = 6,
    BLOCK_SECRETS = 10,

    OPTION_END = 0,
    OPTION_RESOLUTION = 9,
    OPTION_OFFSET = 14,

    BLOCK_HEADER_BYTES = 8,
    BLOCK_FRAME_BYTES = 12, /* header, and the length again at the end */
    PACKET_HEADER_BYTES = 20,
    SKIP_UNREAD_BYTES = 256 << 10,
    BLOCK_BYTES_MAX = 17 << 20, /* the longest packet, 16 MiB, with its options */
    SECRETS_BYTES_MAX = 64 << 20, /* a key log of 350,000 TLS 1.3 sessions */
    INTERFACES_MAX = 1 << 16,
};

static const uint32_t order_magic = 0x1a2b3c4d;
static const uint64_t second_ns = 1000000000;

struct block {
    const uint8_t *body;
    uint32_t bytes; /* of the body */
    uint32_t type;
};

/* What one block means to next(). */
enum block_verdict {
    BLOCK_IS_PACKET,
    BLOCK_IS_NONE,
    BLOCK_IS_BAD, /* base.error holds the line */
};

static enum block_verdict bad(struct capturefile *file, const char *what, uint64_t value)
{
    capturefile_bad(file, what, value);
    return BLOCK_IS_BAD;
}

/* Doubles an array of `room` members to hold one more than `count`. */
static bool grow(void **array, uint32_t count, uint32_t *room, size_t member_bytes)
{
    if (count < *room)
        return true;
    uint32_t larger = *room ? *room * 2 : 4;
    void *moved = realloc(*array, larger * member_bytes);
    if (!moved)
        return false;
    *array = moved;
    *room = larger;
    return true;
}

/* if_tsresol: 10^-n seconds, or 2^-n with the highest bit set. The scale is what a count is
 * multiplied by (n up to 9) or divided by (n above 9) to make nanoseconds. */
static void set_resolution(struct pcapng_interface *interface, uint8_t resolution)
{
    unsigned exponent = resolution & 0x7f;
    unsigned steps = exponent > 9 ? exponent - 9 : 9 - exponent;

    interface->resolution = resolution;
    interface->scale = 1;
    for (unsigned i = 0; i < steps && interface->scale; i++)
        interface->scale = i < 19 ? interface->scale * 10 : 0; /* 10^20 exceeds 64 bits */
}

static uint64_t packet_time(const struct pcapng_interface *interface, uint32_t high, uint32_t low)
{
    uint64_t units = (uint64_t)high << 32 | low;
    unsigned exponent = interface->resolution & 0x7f;
    __int128 time_ns;

    if (interface->resolution & 0x80)
        time_ns = (__int128)((unsigned __int128)units * second_ns >> exponent);
    else if (exponent <= 9)
        time_ns = (__int128)units * interface->scale;
    else
        time_ns = interface->scale ? units / interface->scale : 0;
    time_ns += interface->offset_ns;
    if (time_ns < 0)
        return 0;
    return time_ns > (__int128)UINT64_MAX ? UINT64_MAX : (uint64_t)time_ns;
}

static enum block_verdict section(struct capturefile *file, const struct block *block)
{
    if (block->bytes < 16)
        return bad(file, "section header of impossible length", block->bytes);
    uint16_t major = capturefile_16(block->body + 4, file->swapped);
    if (major != 1)
        return bad(file, "unsupported pcapng version", major);
    file->pcapng.interface_count = 0;
    return BLOCK_IS_NONE;
}

static enum block_verdict interface_options(struct capturefile *file, const struct block *block,
                                            struct pcapng_interface *interface)
{
    const uint8_t *at = block->body + 8;
    uint32_t left = block->bytes - 8;

    while (left >= 4) {
        uint16_t code = capturefile_16(at, file->swapped);
        uint16_t bytes = capturefile_16(at + 2, file->swapped);
        uint32_t padded = (bytes + 3u) & ~3u;
        if (code == OPTION_END)
            break;
        if (padded > left - 4)
            return bad(file, "interface description with a cut option", code);
        if (code == OPTION_RESOLUTION && bytes == 1)
            set_resolution(interface, at[4]);
        if (code == OPTION_OFFSET && bytes == 8) {
            uint32_t first = capturefile_32(at + 4, file->swapped);
            uint32_t second = capturefile_32(at + 8, file->swapped);
            bool big_endian = file->swapped != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
            uint64_t seconds = big_endian ? (uint64_t)first << 32 | second
                                          : (uint64_t)second << 32 | first;
            interface->offset_ns = (__int128)(int64_t)seconds * second_ns;
        }
        at += 4 + padded;
        left -= 4 + padded;
    }
    return BLOCK_IS_NONE;
}

static enum block_verdict interface_description(struct capturefile *file,
                                                const struct block *block)
{
    struct pcapng *pcapng = &file->pcapng;

    if (block->bytes < 8)
        return bad(file, "interface description of impossible length", block->bytes);
    if (pcapng->interface_count == INTERFACES_MAX)
        return bad(file, "more interfaces than", INTERFACES_MAX);
    struct pcapng_interface interface = {
        .link = capturefile_16(block->body, file->swapped),
        .snap_bytes = capturefile_32(block->body + 4, file->swapped),
    };
    set_resolution(&interface, 6); /* the default: microseconds */
    enum block_verdict verdict = interface_options(file, block, &interface);
    if (verdict != BLOCK_IS_NONE)
        return verdict;
    if (!grow((void **)&pcapng->interfaces, pcapng->interface_count, &pcapng->interface_room,
              sizeof *pcapng->interfaces))
        return bad(file, "out of memory for interface", pcapng->interface_count);
    pcapng->interfaces[pcapng->interface_count++] = interface;
    return BLOCK_IS_NONE;
}

/* Past the bound the newest secrets are shed: packets already read may need the older ones. */
static enum block_verdict secrets(struct capturefile *file, const struct block *block)
{
    struct pcapng *pcapng = &file->pcapng;

    if (block->bytes < 8)
        return bad(file, "decryption secrets of impossible length", block->bytes);
    uint32_t bytes = capturefile_32(block->body + 4, file->swapped);
    if (bytes > block->bytes - 8)
        return bad(file, "decryption secrets longer than their block:", bytes);
    uint8_t *data = NULL;
    if (bytes <= SECRETS_BYTES_MAX - pcapng->secret_bytes)
        data = malloc(bytes ? bytes : 1);
    if (!data || !grow((void **)&pcapng->secrets, pcapng->secret_count, &pcapng->secret_room,
                       sizeof *pcapng->secrets)) {
        free(data);
        file->stats.secrets_shed++;
        return BLOCK_IS_NONE;
    }
    memcpy(data, block->body + 8, bytes);
    pcapng->secrets[pcapng->secret_count++] = (struct pcapng_secret){
        .data = data,
        .bytes = bytes,
        .type = capturefile_32(block->body, file->swapped),
    };
    pcapng->secret_bytes += bytes;
    return BLOCK_IS_NONE;
}

static enum block_verdict deliver(struct capturefile *file, struct packet *packet,
                                  const uint8_t *data, uint32_t captured, uint32_t wire,
                                  uint16_t link)
{
    if (captured > capturefile_packet_bytes_max(link))
        return bad(file, "impossible captured length", captured);
    *packet = (struct packet){
        .data = data,
        .captured_bytes = captured,
        .wire_bytes = wire > captured ? wire : captured,
        .time_ns = file->last_ns,
        .ordinal = file->stats.received++,
        .link = link,
        .source = file->index,
    };
    file->stats.truncated += captured < wire;
    return BLOCK_IS_PACKET;
}

/* Enhanced packets, and the packet block before them: 16 bits of interface and 16 of drops. */
static enum block_verdict enhanced_packet(struct capturefile *file, const struct block *block,
                                          struct packet *packet)
{
    const uint8_t *body = block->body;
    bool swapped = file->swapped;

    if (block->bytes < PACKET_HEADER_BYTES)
        return bad(file, "packet block of impossible length", block->bytes);
    uint32_t which =
        block->type == BLOCK_PACKET ? capturefile_32(body, swapped) : capturefile_16(body, swapped);
    uint32_t captured = capturefile_32(body + 12, swapped);
    if (which >= file->pcapng.interface_count)
        return bad(file, "packet of an undescribed interface", which);
    if (captured > block->bytes - PACKET_HEADER_BYTES)
        return bad(file, "packet longer than its block:", captured);
    const struct pcapng_interface *interface = &file->pcapng.interfaces[which];
    uint64_t before_ns = file->last_ns;
    file->last_ns = packet_time(interface, capturefile_32(body + 4, swapped),
                                capturefile_32(body + 8, swapped));
    enum block_verdict verdict = deliver(file, packet, body + PACKET_HEADER_BYTES, captured,
                                         capturefile_32(body + 16, swapped), interface->link);
    if (verdict != BLOCK_IS_PACKET)
        file->last_ns = before_ns;
    return verdict;
}

/* A simple packet has no time: it gets that of the packet before it. */
static enum block_verdict simple_packet(struct capturefile *file, const struct block *block,
                                        struct packet *packet)
{
    if (block->bytes < 4)
        return bad(file, "packet block of impossible length", block->bytes);
    if (file->pcapng.interface_count == 0)
        return bad(file, "packet of an undescribed interface", 0);
    const struct pcapng_interface *interface = &file->pcapng.interfaces[0];
    uint32_t wire = capturefile_32(block->body, file->swapped);
    uint32_t captured = block->bytes - 4;
    if (captured > wire)
        captured = wire; /* the rest is padding */
    if (interface->snap_bytes && captured > interface->snap_bytes)
        captured = interface->snap_bytes;
    return deliver(file, packet, block->body + 4, captured, wire, interface->link);
}

static enum block_verdict take_block(struct capturefile *file, const struct block *block,
                                     struct packet *packet)
{
    switch (block->type) {
    case BLOCK_PACKET:
    case BLOCK_OLD_PACKET:
        return enhanced_packet(file, block, packet);
    case BLOCK_SIMPLE_PACKET:
        return simple_packet(file, block, packet);
    case BLOCK_SECTION:
        return section(file, block);
    case BLOCK_INTERFACE:
        return interface_description(file, block);
    case BLOCK_SECRETS:
        return secrets(file, block);
    default:
        return BLOCK_IS_NONE;
    }
}

static bool may_pass_unread(uint32_t type, uint32_t bytes)
{
    switch (type) {
    case BLOCK_SECTION:
    case BLOCK_INTERFACE:
    case BLOCK_OLD_PACKET:
    case BLOCK_SIMPLE_PACKET:
    case BLOCK_PACKET:
        return false;
    case BLOCK_SECRETS:
        return bytes > SECRETS_BYTES_MAX;
    default:
        return bytes > SKIP_UNREAD_BYTES;
    }
}

/* Learns the byte order of a section from the first 12 bytes of its header, which are at hand. */
static bool section_order(struct capturefile *file)
{
    uint32_t magic;

    memcpy(&magic, file->in.at + BLOCK_HEADER_BYTES, sizeof magic);
    file->swapped = magic == bswap_32(order_magic);
    return magic == order_magic || file->swapped;
}

static enum source_verdict pcapng_next(struct source *source, struct packet *packet,
                                       int timeout_ms)
{
    struct capturefile *file = (struct capturefile *)source;
    struct bytein *in = &file->in;

    for (;;) {
        enum bytein_verdict verdict = bytein_need(in, BLOCK_FRAME_BYTES, timeout_ms);
        if (verdict != BYTEIN_READY)
            return capturefile_short(file, verdict, "block", packet);
        uint32_t type = capturefile_32(in->at, file->swapped);
        if (type == BLOCK_SECTION && !section_order(file))
            return capturefile_bad(file, "section header without byte order, block type", type);
        uint32_t bytes = capturefile_32(in->at + 4, file->swapped);
        if (bytes < BLOCK_FRAME_BYTES || bytes % 4)
            return capturefile_bad(file, "impossible block length", bytes);
        if (may_pass_unread(type, bytes)) {
            file->stats.secrets_shed += type == BLOCK_SECRETS;
            file->pcapng.dropped_offset = bytein_offset(in);
            bytein_drop(in, bytes);
            continue;
        }
        if (bytes > BLOCK_BYTES_MAX && type != BLOCK_SECRETS)
            return capturefile_bad(file, "impossible block length", bytes);
        verdict = bytein_need(in, bytes, timeout_ms);
        if (verdict != BYTEIN_READY)
            return capturefile_short(file, verdict, "block", packet);
        if (capturefile_32(in->at + bytes - 4, file->swapped) != bytes)
            return capturefile_bad(file, "block whose end does not repeat its length", bytes);
        struct block block = {in->at + BLOCK_HEADER_BYTES, bytes - BLOCK_FRAME_BYTES, type};
        enum block_verdict taken = take_block(file, &block, packet);
        if (taken == BLOCK_IS_BAD)
            return SOURCE_ERROR;
        in->at += bytes;
        __builtin_prefetch(in->at); /* the next header, while the caller works on this packet */
        if (taken == BLOCK_IS_PACKET)
            return SOURCE_PACKET;
    }
}

static const uint8_t *pcapng_secret(const struct source *source, size_t index,
                                    uint32_t *secrets_type, size_t *bytes)
{
    const struct pcapng *pcapng = &((const struct capturefile *)source)->pcapng;

    if (index >= pcapng->secret_count)
        return NULL;
    *secrets_type = pcapng->secrets[index].type;
    *bytes = pcapng->secrets[index].bytes;
    return pcapng->secrets[index].data;
}

void pcapng_free(struct pcapng *pcapng)
{
    for (uint32_t i = 0; i < pcapng->secret_count; i++) {
        explicit_bzero(pcapng->secrets[i].data, pcapng->secrets[i].bytes);
        free(pcapng->secrets[i].data);
    }
    free(pcapng->secrets);
    free(pcapng->interfaces);
}

static const struct source_ops pcapng_ops = {
    pcapng_next, capturefile_stats, pcapng_secret, capturefile_descriptor, capturefile_close,
};

bool pcapng_begin(struct capturefile *file)
{
    if (capturefile_32(file->in.at, false) != BLOCK_SECTION || !section_order(file))
        return false;
    file->base.ops = &pcapng_ops;
    return true;
}
