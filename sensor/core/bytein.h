/* The bytes of a capture file in order: a plain file, gzip or zstd (told by their first bytes), or
 * a stream (pipe, FIFO, standard input), packed or not.
 *
 * in->at .. in->end are contiguous bytes at hand; the reader asks for more with bytein_need() and
 * moves in->at itself. Bytes stay where they are until the next bytein_need().
 *
 * A plain file nobody has touched for a while is mapped, so reading copies nothing. Pages of a
 * mapped file that is cut short under us would raise SIGBUS, so a file changed recently is read(2)
 * instead, and the map is given up as soon as the file is seen to change; what is left of the risk
 * is a file cut while we are within MAP_STEP_BYTES of it. */
#ifndef HOPTAP_BYTEIN_H
#define HOPTAP_BYTEIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "errorline.h"
#include "unpack.h"

enum bytein_verdict {
    BYTEIN_READY, /* as many contiguous bytes as asked for are at in->at */
    BYTEIN_WAIT,  /* a stream had nothing within the time given */
    BYTEIN_END,   /* fewer are left, and no more come; in->fault says why if that is not the end */
};

enum { BYTEIN_FAULT_BYTES = 128 };

struct bytein {
    const uint8_t *at, *end;
    uint64_t end_offset; /* of `end`, counted in unpacked bytes */
    uint64_t owed;       /* bytes dropped before they came; see bytein_drop() */
    char fault[BYTEIN_FAULT_BYTES]; /* "" unless reading or unpacking failed */
    char name[INPUT_NAME_BYTES];
    /* private to bytein.c */
    int fd;         /* owned unless it is standard input; closed in bytein_close, as all below */
    bool stream;    /* poll before read */
    bool told;      /* packed or not: known */
    bool drained;   /* read() has said the end */
    bool ended;     /* no byte will follow in->end */
    uint8_t *buffer; /* owned; NULL while mapped */
    size_t buffer_bytes;
    struct unpack *unpack; /* owned; NULL for plain bytes */
    uint8_t *packed;       /* owned; what unpack has not taken yet is packed_at .. packed_end */
    const uint8_t *packed_at, *packed_end;
    const uint8_t *map; /* owned */
    size_t map_bytes, map_dropped;
    struct timespec map_changed; /* the file's, when it was mapped */
};

/* "-" is standard input. Reads nothing of a stream yet. False and a line in error[] on failure;
 * bytein_close() is due either way. */
bool bytein_open(struct bytein *in, const char *path, char error[SOURCE_ERROR_BYTES]);

/* The slow half of bytein_need(). */
enum bytein_verdict bytein_refill(struct bytein *in, size_t bytes, int timeout_ms);

/* Waits at most timeout_ms for a stream; negative: for ever. A signal ends the wait. */
static inline enum bytein_verdict bytein_need(struct bytein *in, size_t bytes, int timeout_ms)
{
    if (bytes <= (size_t)(in->end - in->at))
        return BYTEIN_READY;
    return bytein_refill(in, bytes, timeout_ms);
}

/* Passes over bytes that may not have come yet: what is missing is owed, and the next
 * bytein_need() lets it go by first. */
void bytein_drop(struct bytein *in, uint64_t bytes);

static inline uint64_t bytein_offset(const struct bytein *in)
{
    return in->end_offset - (uint64_t)(in->end - in->at);
}

/* The descriptor of a stream, to poll; -1 for a file, which is always ready. */
int bytein_descriptor(const struct bytein *in);
void bytein_close(struct bytein *in);

#endif
