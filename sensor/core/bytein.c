#include "bytein.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 512 << 10, /* stays in a second-level cache; the longest usual packet twice */
    PACKED_BYTES = 128 << 10, /* ZSTD_DStreamInSize() is 128 KiB and 3 bytes */
    MAP_STEP_BYTES = 2 << 20, /* one fstat and one madvise each, for some thousand packets */
    SETTLED_S = 60, /* a writer such as tcpdump flushes, or a rotation comes round, within this */
    PACKING_BYTES = 4, /* what packing_of() needs */
};

/* Where at and end point while there is no buffer: null pointers must not be subtracted. */
static const uint8_t nothing[1];

static int64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wipe_free(uint8_t *data, size_t bytes)
{
    if (data)
        explicit_bzero(data, bytes); /* captured bodies, key logs */
    free(data);
}

/* No byte will follow; an earlier fault is the better explanation. */
static void stop(struct bytein *in, const char *fault)
{
    in->ended = true;
    if (!in->fault[0])
        snprintf(in->fault, sizeof in->fault, "%s", fault);
}

/* The map, if the file is worth one; plain reading otherwise, which is never wrong. */
static void map_file(struct bytein *in, const struct stat *status, uint64_t start)
{
    bool settled = time(NULL) - status->st_mtim.tv_sec >= SETTLED_S;

    if (!settled || status->st_size <= 0 || (uint64_t)status->st_size > SIZE_MAX ||
        start > (uint64_t)status->st_size)
        return;
    size_t bytes = (size_t)status->st_size;
    uint8_t *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, in->fd, 0);
    if (map == MAP_FAILED)
        return;
    madvise(map, bytes, MADV_SEQUENTIAL);
    in->map = map;
    in->map_bytes = bytes;
    in->map_changed = status->st_mtim;
    in->at = in->end = map + start;
}

static bool tell_packing(struct bytein *in, const uint8_t *data, size_t bytes)
{
    enum packing packing = packing_of(data, bytes);

    in->told = true;
    if (packing == PACKING_NONE)
        return true;
    in->unpack = unpack_open(packing);
    in->packed = malloc(PACKED_BYTES);
    in->packed_at = in->packed_end = in->packed;
    return in->unpack && in->packed;
}

static bool open_file(struct bytein *in, const struct stat *status)
{
    uint8_t first[PACKING_BYTES];
    off_t start = lseek(in->fd, 0, SEEK_CUR); /* standard input may stand anywhere in its file */
    ssize_t got = start < 0 ? -1 : pread(in->fd, first, sizeof first, start);

    if (got < 0)
        return false;
    errno = ENOMEM;
    if (!tell_packing(in, first, (size_t)got))
        return false;
    if (in->unpack)
        return true;
    in->end_offset = (uint64_t)start;
    map_file(in, status, (uint64_t)start);
    return true;
}

bool bytein_open(struct bytein *in, const char *path, char error[SOURCE_ERROR_BYTES])
{
    bool standard_input = strcmp(path, "-") == 0;
    struct stat status;

    memset(in, 0, sizeof *in);
    in->at = in->end = nothing;
    input_name(in->name, path);
    /* Not to hang on a FIFO without a writer; poll() waits for one, and for its end. */
    in->fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (in->fd >= 0 && fstat(in->fd, &status) == 0) {
        in->stream = !S_ISREG(status.st_mode);
        errno = EISDIR;
        if (!S_ISDIR(status.st_mode) && (in->stream || open_file(in, &status)))
            return true;
    }
    error_line(error, "%s: %m", in->name);
    return false;
}

static bool was_cut(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_size < lseek(fd, 0, SEEK_CUR);
}

/* One read(2). BYTEIN_END sets in->drained, and a fault if it was not the end of the file. */
static enum bytein_verdict read_some(struct bytein *in, uint8_t *to, size_t room,
                                     int64_t until_ms, size_t *got)
{
    *got = 0;
    if (in->drained)
        return BYTEIN_END;
    if (in->stream) {
        int64_t left_ms = until_ms < 0 ? -1 : until_ms - monotonic_ms();
        struct pollfd ready = {.fd = in->fd, .events = POLLIN};
        if (poll(&ready, 1, until_ms >= 0 && left_ms < 0 ? 0 : (int)left_ms) <= 0)
            return BYTEIN_WAIT;
    }
    ssize_t bytes = read(in->fd, to, room);
    if (bytes > 0) {
        *got = (size_t)bytes;
        return BYTEIN_READY;
    }
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
        return BYTEIN_WAIT;
    in->drained = true;
    if (bytes < 0)
        snprintf(in->fault, sizeof in->fault, "%m");
    else if (!in->stream && was_cut(in->fd))
        snprintf(in->fault, sizeof in->fault, "the file was cut while it was read");
    return BYTEIN_END;
}

/* Room after in->end: what is at hand moves to the front; a full buffer doubles. It grows with
 * the bytes that have come, never with a length that a file claims. */
static bool make_room(struct bytein *in)
{
    size_t have = (size_t)(in->end - in->at);
    size_t bytes = in->buffer ? in->buffer_bytes : BUFFER_BYTES;
    uint8_t *buffer = in->buffer;

    if (have == bytes)
        bytes *= 2;
    if (bytes != in->buffer_bytes) {
        buffer = malloc(bytes);
        if (!buffer)
            return false;
    }
    if (have)
        memmove(buffer, in->at, have);
    if (buffer != in->buffer) {
        wipe_free(in->buffer, in->buffer_bytes);
        in->buffer = buffer;
        in->buffer_bytes = bytes;
    }
    in->at = buffer;
    in->end = buffer + have;
    return true;
}

static uint8_t *room_of(const struct bytein *in, size_t *room)
{
    size_t used = (size_t)(in->end - in->buffer);

    *room = in->buffer_bytes - used;
    return in->buffer + used;
}

static void came(struct bytein *in, size_t bytes)
{
    in->end += bytes;
    in->end_offset += bytes;
}

static enum bytein_verdict fill_plain(struct bytein *in, size_t most, int64_t until_ms)
{
    size_t room, got;
    uint8_t *to = room_of(in, &room);
    enum bytein_verdict verdict =
        read_some(in, to, room < most ? room : most, until_ms, &got);

    came(in, got);
    if (verdict == BYTEIN_END)
        stop(in, "");
    return verdict;
}

static enum bytein_verdict fill_unpacked(struct bytein *in, int64_t until_ms)
{
    size_t room, made, got;
    uint8_t *to = room_of(in, &room);

    for (;;) {
        bool sound = unpack(in->unpack, &in->packed_at, in->packed_end, to, room, &made);
        came(in, made);
        if (!sound) {
            snprintf(in->fault, sizeof in->fault, "damaged %s data: %s",
                     unpack_format(in->unpack), unpack_reason(in->unpack));
            in->ended = true;
            return BYTEIN_END;
        }
        if (made)
            return BYTEIN_READY;
        if (in->packed_at < in->packed_end)
            continue;
        enum bytein_verdict verdict = read_some(in, in->packed, PACKED_BYTES, until_ms, &got);
        in->packed_at = in->packed;
        in->packed_end = in->packed + got;
        if (verdict == BYTEIN_WAIT)
            return verdict;
        if (verdict == BYTEIN_END) {
            stop(in, unpack_whole(in->unpack) ? "" : "the packed data end early");
            return verdict;
        }
    }
}

/* The first bytes of a stream: kept as they are, or handed to what unpacks them. */
static enum bytein_verdict fill_first(struct bytein *in, int64_t until_ms)
{
    size_t have = (size_t)(in->end - in->at);
    enum bytein_verdict verdict = fill_plain(in, PACKED_BYTES - have, until_ms);

    have = (size_t)(in->end - in->at);
    if (verdict == BYTEIN_WAIT || (verdict == BYTEIN_READY && have < PACKING_BYTES))
        return verdict;
    if (!tell_packing(in, in->at, have)) {
        stop(in, "out of memory");
        return BYTEIN_END;
    }
    if (!in->unpack)
        return verdict;
    memcpy(in->packed, in->at, have);
    in->packed_end = in->packed + have;
    in->end = in->at;
    in->end_offset = 0;
    return BYTEIN_READY;
}

static void leave_map(struct bytein *in)
{
    uint64_t offset = bytein_offset(in);

    munmap((void *)in->map, in->map_bytes);
    in->map = NULL;
    in->at = in->end = nothing;
    in->end_offset = offset;
    if (lseek(in->fd, (off_t)offset, SEEK_SET) < 0)
        stop(in, "cannot seek");
}

/* Shows the reader more of the map, and lets go of the pages behind it; or leaves the map, at
 * its end (the file may have grown) or when the file is no longer as it was mapped. */
static void step_map(struct bytein *in)
{
    struct stat status;
    size_t shown = (size_t)(in->end - in->map);
    size_t step = in->map_bytes - shown;
    size_t behind = (size_t)(in->at - in->map) / MAP_STEP_BYTES * MAP_STEP_BYTES;

    if (step > MAP_STEP_BYTES)
        step = MAP_STEP_BYTES;
    if (step == 0 || fstat(in->fd, &status) < 0 || (uint64_t)status.st_size != in->map_bytes ||
        status.st_mtim.tv_sec != in->map_changed.tv_sec ||
        status.st_mtim.tv_nsec != in->map_changed.tv_nsec) {
        leave_map(in);
        return;
    }
    if (behind > in->map_dropped)
        madvise((void *)(in->map + in->map_dropped), behind - in->map_dropped, MADV_DONTNEED);
    in->map_dropped = behind;
    came(in, step);
}

static void pay_owed(struct bytein *in)
{
    uint64_t have = (uint64_t)(in->end - in->at);
    uint64_t take = in->owed < have ? in->owed : have;

    in->at += take;
    in->owed -= take;
}

enum bytein_verdict bytein_refill(struct bytein *in, size_t bytes, int timeout_ms)
{
    int64_t until_ms = in->stream && timeout_ms >= 0 ? monotonic_ms() + timeout_ms : -1;

    for (;;) {
        enum bytein_verdict verdict = BYTEIN_READY;
        pay_owed(in);
        if (!in->owed && bytes <= (size_t)(in->end - in->at))
            return BYTEIN_READY;
        if (in->ended)
            return BYTEIN_END;
        if (in->map)
            step_map(in);
        else if (!make_room(in))
            stop(in, "out of memory");
        else if (!in->told)
            verdict = fill_first(in, until_ms);
        else
            verdict = in->unpack ? fill_unpacked(in, until_ms)
                                 : fill_plain(in, SIZE_MAX, until_ms);
        if (verdict == BYTEIN_WAIT)
            return verdict;
    }
}

void bytein_drop(struct bytein *in, uint64_t bytes)
{
    in->owed += bytes;
    pay_owed(in);
}

int bytein_descriptor(const struct bytein *in)
{
    return in->stream ? in->fd : -1;
}

void bytein_close(struct bytein *in)
{
    if (in->map)
        munmap((void *)in->map, in->map_bytes);
    unpack_close(in->unpack);
    wipe_free(in->packed, PACKED_BYTES);
    wipe_free(in->buffer, in->buffer_bytes);
    if (in->fd > STDIN_FILENO)
        close(in->fd);
    memset(in, 0, sizeof *in);
    in->fd = -1;
}
