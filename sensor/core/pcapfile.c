/* Classic pcap, https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/, and telling it from
 * pcapng. */
#include <stdio.h>
#include <stdlib.h>

#include "capturefile.h"

enum {
    FILE_HEADER_BYTES = 24,
    RECORD_BYTES = 16,
    PATCHED_RECORD_BYTES = 24, /* interface, protocol and packet type follow; libpcap sf-pcap.c */
    MAGIC_BYTES = 12, /* pcapng_begin() wants that many */
    /* MAXIMUM_SNAPLEN of libpcap; the link types that may exceed it carry no IP. */
    PACKET_BYTES_MAX = 256 << 10,
    FOREIGN_PACKET_BYTES_MAX = 16 << 20, /* MAX_BLOCKSIZE of libpcap */
};

static const uint32_t magic_microseconds = 0xa1b2c3d4, magic_nanoseconds = 0xa1b23c4d,
                      magic_patched = 0xa1b2cd34;

static const struct source_ops stream_ops, classic_ops;

uint32_t capturefile_packet_bytes_max(uint16_t link)
{
    switch (link) {
    case LINK_NULL:
    case LINK_ETHERNET:
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
    case LINK_RAW:
    case LINK_LOOP:
    case LINK_LINUX_SLL:
    case LINK_IPV4:
    case LINK_IPV6:
    case LINK_LINUX_SLL2:
        return PACKET_BYTES_MAX;
    default:
        return FOREIGN_PACKET_BYTES_MAX;
    }
}

static const char *unpacked(const struct capturefile *file)
{
    return file->in.unpack ? " (unpacked)" : "";
}

enum source_verdict capturefile_short(struct capturefile *file, enum bytein_verdict verdict,
                                      const char *part, struct packet *packet)
{
    const struct bytein *in = &file->in;
    bool cut = in->owed || in->at < in->end;
    uint64_t offset = in->owed ? file->pcapng.dropped_offset : bytein_offset(in);

    if (verdict == BYTEIN_WAIT) {
        packet->time_ns = file->last_ns;
        return SOURCE_IDLE;
    }
    if (!cut && !in->fault[0])
        return SOURCE_END;
    if (cut)
        error_line(file->base.error, "%s: truncated %s at offset %llu%s%s%s", in->name, part,
                   (unsigned long long)offset, unpacked(file), in->fault[0] ? ": " : "",
                   in->fault);
    else
        error_line(file->base.error, "%s: %s at offset %llu%s", in->name, in->fault,
                   (unsigned long long)offset, unpacked(file));
    return SOURCE_ERROR;
}

enum source_verdict capturefile_bad(struct capturefile *file, const char *what, uint64_t value)
{
    error_line(file->base.error, "%s: %s %llu at offset %llu%s", file->in.name, what,
               (unsigned long long)value, (unsigned long long)bytein_offset(&file->in),
               unpacked(file));
    return SOURCE_ERROR;
}

static enum source_verdict classic_next(struct source *source, struct packet *packet,
                                        int timeout_ms)
{
    struct capturefile *file = (struct capturefile *)source;
    const struct classic *classic = &file->classic;
    struct bytein *in = &file->in;
    enum bytein_verdict verdict = bytein_need(in, classic->record_bytes, timeout_ms);

    if (verdict != BYTEIN_READY)
        return capturefile_short(file, verdict, "packet header", packet);
    uint32_t captured = capturefile_32(in->at + 8, file->swapped);
    uint32_t wire = capturefile_32(in->at + 12, file->swapped);
    /* Files before 2.3 hold the lengths the other way round, and some of 2.3; libpcap sf-pcap.c */
    if (classic->minor < 3 || (classic->minor == 3 && captured > wire)) {
        uint32_t swap = captured;
        captured = wire;
        wire = swap;
    }
    if (captured > capturefile_packet_bytes_max(classic->link))
        return capturefile_bad(file, "impossible captured length", captured);
    verdict = bytein_need(in, (size_t)classic->record_bytes + captured, timeout_ms);
    if (verdict != BYTEIN_READY)
        return capturefile_short(file, verdict, "packet", packet);
    const uint8_t *record = in->at;
    in->at += (size_t)classic->record_bytes + captured;
    __builtin_prefetch(in->at); /* the next header, while the caller works on this packet */
    *packet = (struct packet){
        .data = record + classic->record_bytes,
        .captured_bytes = captured,
        .wire_bytes = wire > captured ? wire : captured,
        .time_ns = (uint64_t)capturefile_32(record, file->swapped) * 1000000000 +
                   (uint64_t)capturefile_32(record + 4, file->swapped) * classic->tick_ns,
        .ordinal = file->stats.received++,
        .link = classic->link,
        .source = file->index,
    };
    file->last_ns = packet->time_ns;
    file->stats.truncated += captured < wire;
    return SOURCE_PACKET;
}

/* Reads the file header. False when the magic number is none of classic pcap's. */
static bool classic_begin(struct capturefile *file)
{
    const uint8_t *header = file->in.at;
    uint32_t magic = capturefile_32(header, false);
    bool swapped = magic == bswap_32(magic_microseconds) ||
                   magic == bswap_32(magic_nanoseconds) || magic == bswap_32(magic_patched);

    if (swapped)
        magic = bswap_32(magic);
    if (magic != magic_microseconds && magic != magic_nanoseconds && magic != magic_patched)
        return false;
    file->swapped = swapped;
    file->classic = (struct classic){
        .record_bytes = magic == magic_patched ? PATCHED_RECORD_BYTES : RECORD_BYTES,
        .tick_ns = magic == magic_nanoseconds ? 1 : 1000,
        .minor = capturefile_16(header + 6, swapped),
        /* The upper half tells of frame check sequences; decap goes by the lengths of IP. */
        .link = (uint16_t)capturefile_32(header + 20, swapped),
    };
    file->base.ops = &classic_ops;
    return true;
}

/* Finds out the format: SOURCE_PACKET when it is known and next() may go on. */
static enum source_verdict begin(struct capturefile *file, struct packet *packet, int timeout_ms)
{
    struct bytein *in = &file->in;
    enum bytein_verdict verdict = bytein_need(in, MAGIC_BYTES, timeout_ms);

    if (verdict == BYTEIN_READY && pcapng_begin(file))
        return SOURCE_PACKET;
    if (verdict == BYTEIN_READY)
        verdict = bytein_need(in, FILE_HEADER_BYTES, timeout_ms);
    if (verdict == BYTEIN_READY && classic_begin(file)) {
        uint16_t major = capturefile_16(in->at + 4, file->swapped);
        if (major != 2)
            return capturefile_bad(file, "unsupported pcap version", major);
        in->at += FILE_HEADER_BYTES;
        return SOURCE_PACKET;
    }
    if (verdict == BYTEIN_WAIT || in->fault[0])
        return capturefile_short(file, verdict, "file header", packet);
    error_line(file->base.error, "%s: %s", in->name,
               in->at == in->end ? "empty, not a capture" : "not a pcap or pcapng file");
    return SOURCE_ERROR;
}

static enum source_verdict stream_next(struct source *source, struct packet *packet,
                                       int timeout_ms)
{
    enum source_verdict verdict = begin((struct capturefile *)source, packet, timeout_ms);

    return verdict == SOURCE_PACKET ? source->ops->next(source, packet, timeout_ms) : verdict;
}

void capturefile_stats(const struct source *source, struct source_stats *stats)
{
    const struct capturefile *file = (const struct capturefile *)source;
    *stats = file->stats;
    stats->last_ns = file->last_ns;
}

static const uint8_t *no_secret(const struct source *source, size_t index,
                                uint32_t *secrets_type, size_t *bytes)
{
    (void)source, (void)index, (void)secrets_type, (void)bytes;
    return NULL;
}

int capturefile_descriptor(const struct source *source)
{
    return bytein_descriptor(&((const struct capturefile *)source)->in);
}

void capturefile_close(struct source *source)
{
    struct capturefile *file = (struct capturefile *)source;

    if (!file)
        return;
    bytein_close(&file->in);
    pcapng_free(&file->pcapng);
    free(file);
}

static const struct source_ops stream_ops = {
    stream_next, capturefile_stats, no_secret, capturefile_descriptor, capturefile_close,
};

static const struct source_ops classic_ops = {
    classic_next, capturefile_stats, no_secret, capturefile_descriptor, capturefile_close,
};

bool pcapfile_holds_secrets(const struct source *source)
{
    return source->ops->secret != no_secret;
}

struct source *pcapfile_open(const char *path, uint16_t index, char error[SOURCE_ERROR_BYTES])
{
    struct capturefile *file = calloc(1, sizeof *file);
    struct packet unused;

    if (!file) {
        error_line(error, "out of memory");
        return NULL;
    }
    file->base.ops = &stream_ops;
    file->index = index;
    if (!bytein_open(&file->in, path, error))
        goto close;
    /* A file says at once whether it is a capture; a stream when its first bytes come. */
    if (bytein_descriptor(&file->in) >= 0 || begin(file, &unused, 0) == SOURCE_PACKET)
        return &file->base;
    memcpy(error, file->base.error, SOURCE_ERROR_BYTES);
close:
    capturefile_close(&file->base);
    return NULL;
}
