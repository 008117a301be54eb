/* links: pcapfile.c pcapng.c bytein.c unpack.c errorline.c */
#include <pthread.h>

#include "check.h"
#include "craft_pcap.h"

/* The ways in which the bytes of a capture come, seen through the packets they make. */

/* Packed and cut after every byte: never a clean end, and only whole packets, the first ones. */
static void test_cut_packed(void)
{
    struct bytes file = craft(30);

    for (int zstd = 0; zstd < 2; zstd++) {
        struct bytes packed = {0};
        size_t most = 0;
        (zstd ? bytes_zstd : bytes_gzip)(&packed, file.data, file.count);
        for (size_t bytes = 0; bytes < packed.count; bytes++) {
            write_file("cut.packed", packed.data, bytes);
            struct reading reading = read_path("cut.packed", as_crafted, &usual);
            CHECK(reading.verdict == SOURCE_ERROR && reading.wrong == 0);
            CHECK(reading.packets >= most && reading.packets <= 30);
            CHECK(strncmp(reading.error, "cut.packed: ", 12) == 0);
            CHECK(bytes < 4 || strstr(reading.error, "the packed data end early"));
            most = reading.packets;
        }
        if (!zstd) /* deflate gives what it has; a zstd block comes whole or not at all */
            CHECK(most == 30);
        write_file("cut.packed", packed.data, packed.count);
        struct reading reading = read_path("cut.packed", as_crafted, &usual);
        CHECK(reading.verdict == SOURCE_END && reading.packets == 30 && reading.wrong == 0);
        bytes_free(&packed);
    }
    unlink("cut.packed");
    bytes_free(&file);
}

static void test_many_members(void)
{
    struct bytes file = craft(40);
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};

    for (int zstd = 0; zstd < 2; zstd++) {
        struct bytes packed = {0};
        void (*pack)(struct bytes *, const uint8_t *, size_t) = zstd ? bytes_zstd : bytes_gzip;
        if (zstd)
            bytes_add(&packed, skippable, sizeof skippable);
        for (size_t at = 0; at < file.count; at += 333) /* splits headers and packets alike */
            pack(&packed, file.data + at, file.count - at < 333 ? file.count - at : 333);
        pack(&packed, NULL, 0);
        if (zstd)
            bytes_add(&packed, skippable, sizeof skippable);
        else
            bytes_fill(&packed, 0, 700); /* padding */
        write_file("members", packed.data, packed.count);
        struct reading reading = read_path("members", as_crafted, &usual);
        CHECK(reading.verdict == SOURCE_END && reading.packets == 40 && reading.wrong == 0);

        bytes_add(&packed, "garbage", 7);
        write_file("members", packed.data, packed.count);
        reading = read_path("members", as_crafted, &usual);
        CHECK(reading.verdict == SOURCE_ERROR && reading.packets == 40 && reading.wrong == 0);
        CHECK(strstr(reading.error, zstd ? "damaged zstd data" : "damaged gzip data"));
        bytes_free(&packed);
    }
    unlink("members");
    bytes_free(&file);
}

static void test_damaged_gzip(void)
{
    struct bytes file = craft(30), packed = {0};

    bytes_gzip(&packed, file.data, file.count);
    packed.data[packed.count - 6] ^= 1; /* the check sum: all packets have come by then */
    write_file("damaged.gz", packed.data, packed.count);
    struct reading reading = read_path("damaged.gz", as_crafted, &usual);
    CHECK(reading.verdict == SOURCE_ERROR && reading.packets == 30 && reading.wrong == 0);
    CHECK(strstr(reading.error, "damaged gzip data: incorrect data check"));
    unlink("damaged.gz");
    bytes_free(&packed);
    bytes_free(&file);
}

/* Reads 100 packets of a settled file of 60000, lets `change` at it, reads the rest. */
static struct reading read_changing(void (*change)(const struct bytes *), const struct bytes *file,
                                    bool settled)
{
    struct reading failed = {.verdict = SOURCE_ERROR};
    struct packet packet;

    write_file("changing.pcap", file->data, file->count);
    if (settled)
        settle("changing.pcap");
    struct source *source = pcapfile_open("changing.pcap", 3, failed.error);
    if (!source)
        return failed;
    for (size_t i = 0; i < 100; i++)
        if (source->ops->next(source, &packet, 0) != SOURCE_PACKET ||
            !as_crafted(&packet, i, &usual))
            failed.wrong++;
    CHECK(failed.wrong == 0);
    change(file);
    struct reading reading = {0};
    while ((reading.verdict = source->ops->next(source, &packet, 0)) == SOURCE_PACKET)
        if (!as_crafted(&packet, 100 + reading.packets++, &usual))
            reading.wrong++;
    memcpy(reading.error, source->error, sizeof reading.error);
    source->ops->close(source);
    unlink("changing.pcap");
    return reading;
}

static void cut_to_5_mib(const struct bytes *file)
{
    (void)file;
    CHECK(truncate("changing.pcap", 5 << 20) == 0);
}

static void cut_to_nothing(const struct bytes *file)
{
    (void)file;
    CHECK(truncate("changing.pcap", 0) == 0);
}

static void append_again(const struct bytes *file)
{
    struct bytes more = {0};
    int fd = open("changing.pcap", O_WRONLY | O_APPEND);

    for (size_t i = 60000; i < 60010; i++)
        record(&more, i, 0);
    CHECK(fd >= 0 && write(fd, more.data, more.count) == (ssize_t)more.count);
    close(fd);
    bytes_free(&more);
    (void)file;
}

/* A file that changes while it is read ends with an error or goes on; it never kills us. */
static void test_changing_file(void)
{
    struct bytes file = craft(60000);
    struct reading reading;

    for (int settled = 0; settled < 2; settled++) {
        size_t at, whole = whole_packets(5 << 20, 60000, &at);
        char line[SOURCE_ERROR_BYTES];
        reading = read_changing(cut_to_5_mib, &file, settled);
        snprintf(line, sizeof line, "changing.pcap: truncated packet at offset %zu", at);
        CHECK(reading.verdict == SOURCE_ERROR && reading.wrong == 0);
        CHECK(reading.packets + 100 == whole);
        CHECK(strncmp(reading.error, line, strlen(line)) == 0);

        reading = read_changing(append_again, &file, settled);
        CHECK(reading.verdict == SOURCE_END && reading.wrong == 0);
        CHECK(reading.packets + 100 == 60010);
    }
    /* Written a moment ago, as by a rotating writer: read(2), no mapped page to lose. */
    reading = read_changing(cut_to_nothing, &file, false);
    CHECK(reading.verdict == SOURCE_ERROR && reading.wrong == 0);
    CHECK(strstr(reading.error, "the file was cut while it was read"));
    bytes_free(&file);
}

struct feed {
    int fd;
    const struct bytes *bytes;
};

/* Writes of odd sizes, so that headers and packets come in pieces. */
static void *feed_pipe(void *context)
{
    static const size_t sizes[] = {1, 3, 7, 23, 24, 997, 4099, 65537};
    struct feed *feed = context;
    size_t at = 0;

    for (size_t i = 0; at < feed->bytes->count; i++) {
        size_t left = feed->bytes->count - at, size = sizes[i % 8];
        ssize_t written = write(feed->fd, feed->bytes->data + at, left < size ? left : size);
        if (written < 0)
            break;
        at += (size_t)written;
    }
    close(feed->fd);
    return NULL;
}

static struct reading read_piped(const struct bytes *bytes)
{
    struct reading reading;
    pthread_t feeder;
    int ends[2];

    CHECK(pipe(ends) == 0 && dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    close(ends[0]);
    struct feed feed = {ends[1], bytes};
    CHECK(pthread_create(&feeder, NULL, feed_pipe, &feed) == 0);
    reading = read_path("-", as_crafted, &usual);
    pthread_join(feeder, NULL);
    return reading;
}

static void test_standard_input(void)
{
    struct bytes file = craft(2000);
    struct bytes forms[3] = {craft(2000)};

    bytes_gzip(&forms[1], file.data, file.count);
    bytes_zstd(&forms[2], file.data, file.count);
    for (int form = 0; form < 3; form++) {
        struct reading reading = read_piped(&forms[form]);
        CHECK(reading.verdict == SOURCE_END && reading.packets == 2000 && reading.wrong == 0);
        forms[form].count -= 9;
        reading = read_piped(&forms[form]);
        CHECK(reading.verdict == SOURCE_ERROR && reading.wrong == 0);
        CHECK(strncmp(reading.error, "standard input: ", 16) == 0);
        bytes_free(&forms[form]);
    }
    /* Standard input may be a file that something has read the start of. */
    struct bytes later = {0};
    bytes_fill(&later, 'x', 5000);
    bytes_add(&later, file.data, file.count);
    write_file("later", later.data, later.count);
    settle("later");
    int fd = open("later", O_RDONLY);
    CHECK(lseek(fd, 5000, SEEK_SET) == 5000 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
    close(fd);
    struct reading reading = read_path("-", as_crafted, &usual);
    CHECK(reading.verdict == SOURCE_END && reading.packets == 2000 && reading.wrong == 0);
    unlink("later");
    bytes_free(&later);
    bytes_free(&file);
}

/* The unpacked bytes end where the read buffer does: that is a clean end. */
static void test_buffer_edge(void)
{
    enum { BUFFER_BYTES = 512 << 10 };
    struct bytes file = craft(4500);
    size_t at, whole = whole_packets(BUFFER_BYTES, 4500, &at);
    struct bytes packed = {0};

    CHECK(file.count > BUFFER_BYTES && BUFFER_BYTES - at > RECORD_BYTES);
    file.count = at;
    bytes_fill(&file, 0, 8);
    bytes_32(&file, (uint32_t)(BUFFER_BYTES - at - RECORD_BYTES));
    bytes_32(&file, (uint32_t)(BUFFER_BYTES - at - RECORD_BYTES));
    bytes_fill(&file, 0, BUFFER_BYTES - file.count);
    for (int zstd = 0; zstd < 2; zstd++) {
        packed.count = 0;
        (zstd ? bytes_zstd : bytes_gzip)(&packed, file.data, file.count);
        write_file("edge", packed.data, packed.count);
        struct reading reading = read_path("edge", as_crafted, &usual);
        CHECK(reading.verdict == SOURCE_END && reading.packets == whole + 1);
        CHECK(reading.wrong == 1); /* the last one was made to fit */
    }
    unlink("edge");
    bytes_free(&packed);
    bytes_free(&file);
}

/* A packed pipe that is asked many times before the rest comes. */
static void test_idle_packed_pipe(void)
{
    struct bytes file = craft(500), forms[2] = {{0}};
    char error[SOURCE_ERROR_BYTES] = "";
    struct packet packet;

    bytes_gzip(&forms[0], file.data, file.count);
    bytes_zstd(&forms[1], file.data, file.count);
    for (int form = 0; form < 2; form++) {
        CHECK(mkfifo("fifo", 0600) == 0);
        struct source *source = pcapfile_open("fifo", 3, error);
        CHECK(source);
        if (!source)
            return;
        int fd = open("fifo", O_WRONLY);
        size_t half = forms[form].count / 2, packets = 0, idle = 0;
        enum source_verdict verdict = SOURCE_PACKET;
        CHECK(write(fd, forms[form].data, half) == (ssize_t)half);
        while (idle < 100 && verdict != SOURCE_ERROR) {
            verdict = source->ops->next(source, &packet, 0);
            if (verdict == SOURCE_PACKET)
                CHECK(as_crafted(&packet, packets++, &usual));
            else
                idle++;
        }
        CHECK(verdict == SOURCE_IDLE && packets < 500);
        CHECK(write(fd, forms[form].data + half, forms[form].count - half) > 0);
        close(fd);
        while ((verdict = source->ops->next(source, &packet, 0)) == SOURCE_PACKET)
            CHECK(as_crafted(&packet, packets++, &usual));
        CHECK(verdict == SOURCE_END && packets == 500);
        source->ops->close(source);
        unlink("fifo");
        bytes_free(&forms[form]);
    }
    bytes_free(&file);
}

/* A pipe that has nothing is idle, in the middle of a packet too, and forgets nothing. */
static void test_idle_pipe(void)
{
    struct bytes file = craft(3);
    char error[SOURCE_ERROR_BYTES] = "";
    struct packet packet;

    CHECK(mkfifo("fifo", 0600) == 0);
    struct source *source = pcapfile_open("fifo", 3, error);
    CHECK(source);
    if (!source)
        return;
    CHECK(source->ops->next(source, &packet, 0) == SOURCE_IDLE && packet.time_ns == 0);
    CHECK(source->ops->descriptor(source) >= 0);
    int fd = open("fifo", O_WRONLY);
    size_t packets = 0;
    uint64_t last_ns = 0;
    for (size_t at = 0; at < file.count; at++) {
        CHECK(write(fd, file.data + at, 1) == 1);
        enum source_verdict verdict = source->ops->next(source, &packet, 0);
        if (verdict == SOURCE_PACKET) {
            CHECK(as_crafted(&packet, packets++, &usual));
            last_ns = packet.time_ns;
        } else {
            CHECK(verdict == SOURCE_IDLE && packet.time_ns == last_ns);
        }
    }
    CHECK(packets == 3);
    close(fd);
    CHECK(source->ops->next(source, &packet, 0) == SOURCE_END);
    CHECK(source->ops->next(source, &packet, 0) == SOURCE_END);
    source->ops->close(source);
    unlink("fifo");
    bytes_free(&file);
}

int main(void)
{
    test_cut_packed();
    test_many_members();
    test_damaged_gzip();
    test_changing_file();
    test_standard_input();
    test_idle_pipe();
    test_idle_packed_pipe();
    test_buffer_edge();
    return checks_report("bytein");
}
