/* Invariant: `whole` is true exactly between members (RFC 1952 section 2.2) or frames
 * (RFC 8878 section 3.1), so that a cut anywhere else is known to be one. */
#define ZLIB_CONST /* next_in becomes a pointer to const */
#include "unpack.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct unpack {
    enum packing packing;
    bool whole;
    bool inflating; /* the z_stream is initialised */
    bool pending;   /* the last call filled its room: more may come without new bytes */
    z_stream gzip;
    ZSTD_DStream *zstd; /* owned; freed in unpack_close */
    const char *reason; /* static text of zlib or libzstd */
};

enum { GZIP_WINDOW_BITS = 15 + 16 }; /* zlib.h, inflateInit2: 16 asks for the gzip format alone */

enum packing packing_of(const uint8_t *data, size_t bytes)
{
    static const uint8_t gzip[] = {0x1f, 0x8b, 0x08};
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    static const uint8_t skippable[] = {0x2a, 0x4d, 0x18}; /* after 0x50..0x5f; RFC 8878 3.1.2 */

    if (bytes < 4)
        return PACKING_NONE;
    if (memcmp(data, gzip, sizeof gzip) == 0)
        return PACKING_GZIP;
    if (memcmp(data, zstd, sizeof zstd) == 0)
        return PACKING_ZSTD;
    if ((data[0] & 0xf0) == 0x50 && memcmp(data + 1, skippable, sizeof skippable) == 0)
        return PACKING_ZSTD;
    return PACKING_NONE;
}

struct unpack *unpack_open(enum packing packing)
{
    struct unpack *unpack = calloc(1, sizeof *unpack);

    if (!unpack)
        return NULL;
    unpack->packing = packing;
    unpack->reason = "";
    if (packing == PACKING_GZIP)
        unpack->inflating = inflateInit2(&unpack->gzip, GZIP_WINDOW_BITS) == Z_OK;
    else
        unpack->zstd = ZSTD_createDStream(); /* windows above 128 MiB stay refused: its default */
    if (unpack->inflating || unpack->zstd)
        return unpack;
    unpack_close(unpack);
    return NULL;
}

static bool unpack_gzip(struct unpack *unpack, const uint8_t **at, const uint8_t *end,
                        uint8_t *out, size_t room, size_t *made)
{
    z_stream *gzip = &unpack->gzip;

    /* Zeros after a member are padding of the medium, as gzip(1) has it. */
    while (unpack->whole && *at < end && **at == 0)
        ++*at;
    if (unpack->whole && *at == end)
        return true; /* nothing but padding */
    if (unpack->whole)
        inflateReset(gzip);
    unpack->whole = false;
    gzip->next_in = *at;
    gzip->avail_in = (uInt)(end - *at);
    gzip->next_out = out;
    gzip->avail_out = (uInt)room;
    int result = inflate(gzip, Z_NO_FLUSH);
    *at = gzip->next_in;
    *made = room - gzip->avail_out;
    if (result == Z_STREAM_END)
        unpack->whole = true;
    if (result == Z_STREAM_END || result == Z_OK || result == Z_BUF_ERROR)
        return true;
    unpack->reason = gzip->msg ? gzip->msg : zError(result);
    return false;
}

static bool unpack_zstd(struct unpack *unpack, const uint8_t **at, const uint8_t *end,
                        uint8_t *out, size_t room, size_t *made)
{
    ZSTD_inBuffer from = {*at, (size_t)(end - *at), 0};
    ZSTD_outBuffer to = {out, room, 0};

    size_t result = ZSTD_decompressStream(unpack->zstd, &to, &from);
    *at += from.pos;
    *made = to.pos;
    unpack->whole = result == 0;
    if (!ZSTD_isError(result))
        return true;
    unpack->reason = ZSTD_getErrorName(result);
    return false;
}

bool unpack(struct unpack *unpack, const uint8_t **at, const uint8_t *end, uint8_t *out,
            size_t room, size_t *made)
{
    *made = 0;
    /* libzstd takes many calls without bytes for a fault of ours. */
    if (*at == end && (unpack->whole || !unpack->pending))
        return true;
    bool sound = unpack->packing == PACKING_GZIP
                     ? unpack_gzip(unpack, at, end, out, room, made)
                     : unpack_zstd(unpack, at, end, out, room, made);
    unpack->pending = *made == room;
    return sound;
}

bool unpack_whole(const struct unpack *unpack)
{
    return unpack->whole;
}

const char *unpack_format(const struct unpack *unpack)
{
    return unpack->packing == PACKING_GZIP ? "gzip" : "zstd";
}

const char *unpack_reason(const struct unpack *unpack)
{
    return unpack->reason;
}

void unpack_close(struct unpack *unpack)
{
    if (!unpack)
        return;
    if (unpack->inflating)
        inflateEnd(&unpack->gzip);
    ZSTD_freeDStream(unpack->zstd);
    free(unpack);
}
