/* Capture files made by hand: a growing array of bytes, integers in either byte order, packing, and
 * reading a source to its end. */
#ifndef HOPTAP_CRAFT_H
#define HOPTAP_CRAFT_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "source.h"

struct bytes {
    uint8_t *data; /* owned; freed in bytes_free */
    size_t count, room;
    bool big_endian;
};

static inline void bytes_add(struct bytes *to, const void *data, size_t count)
{
    while (to->room - to->count < count) {
        to->room = to->room ? to->room * 2 : 256;
        to->data = realloc(to->data, to->room);
        if (!to->data)
            abort();
    }
    if (count)
        memcpy(to->data + to->count, data, count);
    to->count += count;
}

static inline void bytes_integer(struct bytes *to, uint64_t value, size_t width)
{
    uint8_t out[8];

    for (size_t i = 0; i < width; i++)
        out[to->big_endian ? width - 1 - i : i] = (uint8_t)(value >> 8 * i);
    bytes_add(to, out, width);
}

static inline void bytes_16(struct bytes *to, uint16_t value)
{
    bytes_integer(to, value, 2);
}

static inline void bytes_32(struct bytes *to, uint32_t value)
{
    bytes_integer(to, value, 4);
}

static inline void bytes_fill(struct bytes *to, uint8_t value, size_t count)
{
    while (count--)
        bytes_add(to, &value, 1);
}

static inline void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* One gzip member or zstd frame of data, after what `to` holds. */
static inline void bytes_gzip(struct bytes *to, const uint8_t *data, size_t count)
{
    z_stream stream = {0};
    uint8_t out[4096];
    int result;

    deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = (uint8_t *)data;
    stream.avail_in = (uInt)count;
    do {
        stream.next_out = out;
        stream.avail_out = sizeof out;
        result = deflate(&stream, Z_FINISH);
        bytes_add(to, out, sizeof out - stream.avail_out);
    } while (result == Z_OK);
    deflateEnd(&stream);
}

static inline void bytes_zstd(struct bytes *to, const uint8_t *data, size_t count)
{
    size_t room = ZSTD_compressBound(count);
    uint8_t *out = malloc(room);

    bytes_add(to, out, out ? ZSTD_compress(out, room, data, count, 1) : 0);
    free(out);
}

static inline void write_file(const char *path, const void *data, size_t count)
{
    unlink(path); /* ext4 writes a file that was truncated to the disk when it is closed */
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    if (fd < 0 || write(fd, data, count) != (ssize_t)count)
        abort();
    close(fd);
}

/* As if nobody had written to it for an hour: such files are mapped. */
static inline void settle(const char *path)
{
    struct timespec times[2];

    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= 3600;
    times[1] = times[0];
    utimensat(AT_FDCWD, path, times, 0);
}

/* What reading a source to its end gave. */
struct reading {
    enum source_verdict verdict;
    size_t packets;
    size_t wrong; /* packets that `check` refused */
    char error[SOURCE_ERROR_BYTES];
    struct source_stats stats;
};

typedef bool packet_check(const struct packet *packet, size_t number, const void *context);

/* Closes the source. */
static inline struct reading read_all(struct source *source, packet_check *check,
                                      const void *context)
{
    struct reading reading = {0};
    struct packet packet;

    for (;;) {
        reading.verdict = source->ops->next(source, &packet, -1);
        if (reading.verdict == SOURCE_END || reading.verdict == SOURCE_ERROR)
            break;
        if (reading.verdict == SOURCE_PACKET && !check(&packet, reading.packets++, context))
            reading.wrong++;
    }
    memcpy(reading.error, source->error, sizeof reading.error);
    source->ops->stats(source, &reading.stats);
    source->ops->close(source);
    return reading;
}

static inline struct reading read_path(const char *path, packet_check *check, const void *context)
{
    struct reading reading = {.verdict = SOURCE_ERROR};
    struct source *source = pcapfile_open(path, 3, reading.error);

    return source ? read_all(source, check, context) : reading;
}

#endif
