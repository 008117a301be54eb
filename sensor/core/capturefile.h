/* What the two capture file formats share. The format of a stream is not known before its first
 * bytes come, so one struct serves both: `base.ops` changes once the magic number has been read.
 *
 * Neither format's next() moves in.at before a whole packet is there; an interrupted wait is
 * resumed by calling it again. */
#ifndef HOPTAP_CAPTUREFILE_H
#define HOPTAP_CAPTUREFILE_H

#include <byteswap.h>
#include <string.h>

#include "bytein.h"
#include "source.h"

struct classic {
    uint32_t record_bytes; /* header of a record */
    uint32_t tick_ns;      /* 1 or 1000 */
    uint16_t link;
    uint16_t minor; /* of version 2 */
};

struct pcapng_interface {
    __int128 offset_ns;  /* if_tsoffset */
    uint64_t scale;      /* power of ten; see set_resolution() */
    uint32_t snap_bytes; /* 0: no limit */
    uint16_t link;
    uint8_t resolution; /* if_tsresol as in the file */
};

struct pcapng_secret {
    uint8_t *data; /* owned; wiped and freed in pcapng_free */
    size_t bytes;
    uint32_t type;
};

/* Arrays grow by doubling from nothing; owned, freed in pcapng_free. */
struct pcapng {
    struct pcapng_interface *interfaces; /* of the current section */
    struct pcapng_secret *secrets;
    uint32_t interface_count, interface_room;
    uint32_t secret_count, secret_room;
    size_t secret_bytes;
    uint64_t dropped_offset; /* where the block began of which in.owed is left */
};

struct capturefile {
    struct source base;
    struct bytein in;
    struct source_stats stats;
    uint64_t last_ns; /* time of the last packet */
    uint16_t index;
    bool swapped; /* written in the other byte order */
    struct classic classic;
    struct pcapng pcapng;
};

/* Takes over a file whose first 12 bytes are at hand. False when they are not pcapng. */
bool pcapng_begin(struct capturefile *file);
void pcapng_free(struct pcapng *pcapng);

/* The verdict of next() when bytein_need() was not READY: SOURCE_IDLE for a stream that waits;
 * SOURCE_END at the end of a sound file; SOURCE_ERROR with a line when a part is missing. */
enum source_verdict capturefile_short(struct capturefile *file, enum bytein_verdict verdict,
                                      const char *part, struct packet *packet);
/* SOURCE_ERROR; the line says what is wrong at the current offset. */
enum source_verdict capturefile_bad(struct capturefile *file, const char *what, uint64_t value);

void capturefile_stats(const struct source *source, struct source_stats *stats);
int capturefile_descriptor(const struct source *source);
void capturefile_close(struct source *source);

/* The most bytes a packet of this link type may have captured. */
uint32_t capturefile_packet_bytes_max(uint16_t link);

static inline uint16_t capturefile_16(const uint8_t *at, bool swapped)
{
    uint16_t value;

    memcpy(&value, at, sizeof value);
    return swapped ? bswap_16(value) : value;
}

static inline uint32_t capturefile_32(const uint8_t *at, bool swapped)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return swapped ? bswap_32(value) : value;
}

#endif
