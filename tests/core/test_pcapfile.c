/* links: pcapfile.c pcapng.c bytein.c unpack.c errorline.c */
#include "check.h"
#include "craft_pcap.h"

static void test_formats(void)
{
    static const struct {
        uint32_t magic;
        bool big_endian;
        size_t extra_bytes;
        uint32_t link_field;
        struct expected expected;
    } rows[] = {
        {0xa1b2c3d4, false, 0, 1, {1000, LINK_ETHERNET}},
        {0xa1b2c3d4, true, 0, 1, {1000, LINK_ETHERNET}},
        {0xa1b23c4d, false, 0, 101, {1, LINK_RAW}},
        {0xa1b23c4d, true, 0, 113, {1, LINK_LINUX_SLL}},
        {0xa1b2cd34, false, 8, 276, {1000, LINK_LINUX_SLL2}},
        {0xa1b2cd34, true, 8, 1, {1000, LINK_ETHERNET}},
        /* four bytes of frame check sequence: F bit and length in the upper bits */
        {0xa1b2c3d4, false, 0, 0x24000001, {1000, LINK_ETHERNET}},
        {0xa1b2c3d4, true, 0, 0xf4000001, {1000, LINK_ETHERNET}},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct bytes file = {.big_endian = rows[row].big_endian};
        file_header(&file, rows[row].magic, 4, rows[row].link_field);
        for (size_t i = 0; i < 20; i++)
            record(&file, i, rows[row].extra_bytes);
        write_file("format.pcap", file.data, file.count);
        struct reading reading = read_path("format.pcap", as_crafted, &rows[row].expected);
        CHECK(reading.verdict == SOURCE_END);
        CHECK(reading.packets == 20 && reading.wrong == 0);
        CHECK(reading.stats.received == 20 && reading.stats.dropped == 0);
        CHECK(reading.stats.truncated == 10);
        bytes_free(&file);
    }
    unlink("format.pcap");
}

static bool has_lengths(const struct packet *packet, size_t number, const void *context)
{
    (void)number;
    const uint32_t *lengths = context;
    return packet->captured_bytes == lengths[0] && packet->wire_bytes == lengths[1];
}

/* Before version 2.3 the two lengths stood the other way round; in 2.3 either way is met. What
 * has been captured has been on the wire. */
static void test_length_order(void)
{
    static const struct {
        uint16_t minor;
        uint32_t first, second, expected[2];
    } rows[] = {
        {2, 20, 10, {10, 20}},
        {3, 20, 10, {10, 20}},
        {3, 10, 20, {10, 20}},
        {4, 10, 20, {10, 20}},
        {4, 10, 3, {10, 10}},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct bytes file = {0};
        file_header(&file, 0xa1b2c3d4, rows[row].minor, 1);
        bytes_fill(&file, 0, 8);
        bytes_32(&file, rows[row].first);
        bytes_32(&file, rows[row].second);
        bytes_fill(&file, 7, 10);
        write_file("old.pcap", file.data, file.count);
        struct reading reading = read_path("old.pcap", has_lengths, rows[row].expected);
        CHECK(reading.verdict == SOURCE_END && reading.packets == 1 && reading.wrong == 0);
        bytes_free(&file);
    }
    unlink("old.pcap");
}

static void check_cut(const char *path, size_t bytes, size_t packets)
{
    size_t at, whole = whole_packets(bytes, packets, &at);
    struct reading reading = read_path(path, as_crafted, &usual);
    char line[SOURCE_ERROR_BYTES];

    CHECK(reading.wrong == 0);
    if (bytes < FILE_HEADER_BYTES) {
        CHECK(reading.verdict == SOURCE_ERROR && reading.packets == 0);
        CHECK(strstr(reading.error, bytes ? "not a pcap or pcapng file" : "empty"));
        return;
    }
    CHECK(reading.packets == whole && reading.stats.received == whole);
    if (at == bytes) {
        CHECK(reading.verdict == SOURCE_END && !reading.error[0]);
        return;
    }
    snprintf(line, sizeof line, "%s: truncated %s at offset %zu", path,
             bytes - at < RECORD_BYTES ? "packet header" : "packet", at);
    CHECK(reading.verdict == SOURCE_ERROR);
    CHECK(strcmp(reading.error, line) == 0);
}

/* Cut after every byte, read and mapped. */
static void test_cut_plain(void)
{
    struct bytes file = craft(5);

    for (size_t bytes = 0; bytes <= file.count; bytes++) {
        write_file("cut.pcap", file.data, bytes);
        check_cut("cut.pcap", bytes, 5);
        settle("cut.pcap");
        check_cut("cut.pcap", bytes, 5);
    }
    unlink("cut.pcap");
    bytes_free(&file);
}

static bool is_large(const struct packet *packet, size_t number, const void *context)
{
    (void)number;
    uint32_t bytes = *(const uint32_t *)context;
    return packet->captured_bytes == bytes && packet->data[0] == 0x5a &&
           packet->data[bytes - 1] == 0x5a;
}

/* The longest packet allowed passes; one byte more is an error and costs no memory. */
static void test_captured_length(void)
{
    static const struct {
        uint32_t link, bytes;
        bool allowed;
    } rows[] = {
        {LINK_ETHERNET, 262144, true}, {LINK_ETHERNET, 262145, false},
        {LINK_LINUX_SLL2, 262145, false}, {LINK_ETHERNET, 0xffffffff, false},
        {LINK_ETHERNET, 0x7fffffff, false}, {249 /* USBPCAP */, 3 << 20, true},
        {249, (16 << 20) + 1, false},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct bytes file = {0}, packed = {0};
        file_header(&file, 0xa1b2c3d4, 4, rows[row].link);
        for (int i = 0; i < 2; i++) {
            bytes_fill(&file, 0, 8);
            bytes_32(&file, rows[row].bytes);
            bytes_32(&file, rows[row].bytes);
            bytes_fill(&file, 0x5a, rows[row].allowed ? rows[row].bytes : 100);
        }
        bytes_gzip(&packed, file.data, file.count);
        for (int gzip = 0; gzip < 2; gzip++) {
            const struct bytes *form = gzip ? &packed : &file;
            write_file("large.pcap", form->data, form->count);
            struct reading reading = read_path("large.pcap", is_large, &rows[row].bytes);
            char line[SOURCE_ERROR_BYTES];
            snprintf(line, sizeof line,
                     "large.pcap: impossible captured length %u at offset 24%s", rows[row].bytes,
                     gzip ? " (unpacked)" : "");
            CHECK(reading.packets == (rows[row].allowed ? 2 : 0) && reading.wrong == 0);
            CHECK(reading.verdict == (rows[row].allowed ? SOURCE_END : SOURCE_ERROR));
            CHECK(rows[row].allowed || strcmp(reading.error, line) == 0);
        }
        bytes_free(&packed);
        bytes_free(&file);
    }
    unlink("large.pcap");
}

/* Longer than the read buffer and than a step of the map, in every form. */
static void test_long(void)
{
    struct bytes file = craft(60000), packed = {0};
    struct reading reading;

    CHECK(file.count > 6 << 20);
    write_file("long.pcap", file.data, file.count);
    reading = read_path("long.pcap", as_crafted, &usual);
    CHECK(reading.verdict == SOURCE_END && reading.packets == 60000 && reading.wrong == 0);
    settle("long.pcap");
    reading = read_path("long.pcap", as_crafted, &usual);
    CHECK(reading.verdict == SOURCE_END && reading.packets == 60000 && reading.wrong == 0);
    bytes_zstd(&packed, file.data, file.count);
    write_file("long.pcap", packed.data, packed.count);
    reading = read_path("long.pcap", as_crafted, &usual);
    CHECK(reading.verdict == SOURCE_END && reading.packets == 60000 && reading.wrong == 0);
    unlink("long.pcap");
    bytes_free(&packed);
    bytes_free(&file);
}

static void test_no_capture(void)
{
    static const struct {
        const char *bytes;
        size_t count;
        const char *says;
    } rows[] = {
        {"", 0, "no.pcap: empty, not a capture"},
        {"text", 4, "no.pcap: not a pcap or pcapng file"},
        {"a longer text, longer than any file header is", 45,
         "no.pcap: not a pcap or pcapng file"},
        {"\x0a\x0d\x0d\x0a\x1c\0\0\0\1\2\3\4\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 28,
         "no.pcap: not a pcap or pcapng file"},
        {"\xd4\xc3\xb2\xa1\3\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0", 24,
         "no.pcap: unsupported pcap version 3 at offset 0"},
    };
    char error[SOURCE_ERROR_BYTES];

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        write_file("no.pcap", rows[row].bytes, rows[row].count);
        CHECK(!pcapfile_open("no.pcap", 0, error));
        CHECK(strcmp(error, rows[row].says) == 0);
    }
    unlink("no.pcap");
    CHECK(!pcapfile_open("no.pcap", 0, error));
    CHECK(strcmp(error, "no.pcap: No such file or directory") == 0);
    CHECK(!pcapfile_open(".", 0, error));
    CHECK(strcmp(error, ".: Is a directory") == 0);
    CHECK(!pcapfile_open("two\nlines", 0, error));
    CHECK(strcmp(error, "two?lines: No such file or directory") == 0);
}

int main(void)
{
    test_formats();
    test_length_order();
    test_cut_plain();
    test_captured_length();
    test_long();
    test_no_capture();
    return checks_report("pcapfile");
}
