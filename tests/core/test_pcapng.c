/* links: pcapfile.c pcapng.c bytein.c unpack.c errorline.c */
#include "check.h"
#include "craft.h"

enum {
    SECTION = 0x0a0d0d0a,
    INTERFACE = 1,
    OLD_PACKET = 2,
    SIMPLE_PACKET = 3,
    NAMES = 4,
    PACKET = 6,
    SECRETS = 10,
    CUSTOM = 0xbad,
    TLS_KEY_LOG = 0x544c534b,
};

static void pad(struct bytes *to)
{
    while (to->count % 4)
        bytes_fill(to, 0, 1);
}

/* Begins a block; end_block() writes both lengths. */
static size_t begin_block(struct bytes *file, uint32_t type)
{
    size_t start = file->count;

    bytes_32(file, type);
    bytes_32(file, 0);
    return start;
}

static void end_block(struct bytes *file, size_t start)
{
    pad(file);
    struct bytes length = {.big_endian = file->big_endian};
    bytes_32(&length, (uint32_t)(file->count + 4 - start));
    memcpy(file->data + start + 4, length.data, 4);
    bytes_add(file, length.data, 4);
    bytes_free(&length);
}

static void section(struct bytes *file)
{
    size_t block = begin_block(file, SECTION);

    bytes_32(file, 0x1a2b3c4d);
    bytes_16(file, 1);
    bytes_16(file, 0);
    bytes_integer(file, UINT64_MAX, 8); /* length not told */
    bytes_16(file, 4);                  /* shb_userappl */
    bytes_16(file, 5);
    bytes_add(file, "craft", 5);
    pad(file);
    bytes_32(file, 0);
    end_block(file, block);
}

/* resolution < 0: no option, microseconds */
static void interface(struct bytes *file, uint16_t link, uint32_t snap_bytes, int resolution,
                      int64_t offset_s)
{
    size_t block = begin_block(file, INTERFACE);

    bytes_16(file, link);
    bytes_16(file, 0);
    bytes_32(file, snap_bytes);
    bytes_16(file, 2); /* if_name */
    bytes_16(file, 3);
    bytes_add(file, "em1", 3);
    pad(file);
    if (resolution >= 0) {
        bytes_16(file, 9);
        bytes_16(file, 1);
        bytes_fill(file, (uint8_t)resolution, 1);
        pad(file);
    }
    if (offset_s) {
        bytes_16(file, 14);
        bytes_16(file, 8);
        bytes_integer(file, (uint64_t)offset_s, 8);
    }
    bytes_32(file, 0);
    end_block(file, block);
}

static void packet_of(struct bytes *file, uint32_t type, uint32_t which, uint64_t units,
                      const char *data, uint32_t wire)
{
    size_t block = begin_block(file, type);

    if (type == OLD_PACKET) {
        bytes_16(file, (uint16_t)which);
        bytes_16(file, 77); /* drops */
    } else {
        bytes_32(file, which);
    }
    bytes_32(file, (uint32_t)(units >> 32));
    bytes_32(file, (uint32_t)units);
    bytes_32(file, (uint32_t)strlen(data));
    bytes_32(file, wire);
    bytes_add(file, data, strlen(data));
    pad(file);
    bytes_16(file, 2); /* epb_flags */
    bytes_16(file, 4);
    bytes_32(file, 1);
    bytes_32(file, 0);
    end_block(file, block);
}

static void simple_packet(struct bytes *file, const char *data, uint32_t wire)
{
    size_t block = begin_block(file, SIMPLE_PACKET);

    bytes_32(file, wire);
    bytes_add(file, data, strlen(data));
    end_block(file, block);
}

static void secrets(struct bytes *file, const void *data, uint32_t bytes, uint32_t claimed)
{
    size_t block = begin_block(file, SECRETS);

    bytes_32(file, TLS_KEY_LOG);
    bytes_32(file, claimed);
    bytes_add(file, data, bytes);
    end_block(file, block);
}

static void other(struct bytes *file, uint32_t type, size_t bytes)
{
    size_t block = begin_block(file, type);

    bytes_fill(file, 0x33, bytes);
    end_block(file, block);
}

struct row {
    const char *data;
    uint32_t wire;
    uint64_t time_ns;
    uint16_t link;
};

static bool is_row(const struct packet *packet, size_t number, const void *context)
{
    const struct row *row = (const struct row *)context + number;

    return packet->captured_bytes == strlen(row->data) && packet->wire_bytes == row->wire &&
           memcmp(packet->data, row->data, packet->captured_bytes) == 0 &&
           packet->time_ns == row->time_ns && packet->link == row->link &&
           packet->ordinal == number && packet->source == 3 && !packet->has_vlan;
}

/* Two sections of opposite byte order, three interfaces, every kind of packet. */
static struct bytes craft(bool big_endian)
{
    struct bytes file = {.big_endian = big_endian};

    section(&file);
    interface(&file, LINK_ETHERNET, 0, -1, 0);
    interface(&file, LINK_RAW, 5, 9, 0);
    packet_of(&file, PACKET, 0, 1700000000000001, "first", 5);
    other(&file, NAMES, 60);
    packet_of(&file, PACKET, 1, 1700000000000000007, "sec", 4000);
    other(&file, CUSTOM, 400000); /* passed over unread */
    packet_of(&file, OLD_PACKET, 1, 1700000000000000009, "third", 5);
    simple_packet(&file, "simple", 6);
    file.big_endian = !big_endian;
    section(&file);
    packet_of(&file, 0x7fffffff, 0, 0, "unknown", 7);
    interface(&file, LINK_LINUX_SLL, 5, 3, 10);
    packet_of(&file, PACKET, 0, 2000, "", 0);
    simple_packet(&file, "fiver", 90); /* its block holds eight bytes, three are padding */
    return file;
}

static const struct row crafted[] = {
    {"first", 5, 1700000000000001000, LINK_ETHERNET},
    {"sec", 4000, 1700000000000000007, LINK_RAW},
    {"third", 5, 1700000000000000009, LINK_RAW},
    {"simple", 6, 1700000000000000009, LINK_ETHERNET}, /* it has no time of its own */
    {"", 0, 12000000000, LINK_LINUX_SLL},
    {"fiver", 90, 12000000000, LINK_LINUX_SLL},
};

enum { CRAFTED = sizeof crafted / sizeof *crafted };

static void check_crafted(const char *path)
{
    struct reading reading = read_path(path, is_row, crafted);

    CHECK(reading.verdict == SOURCE_END && !reading.error[0]);
    CHECK(reading.packets == CRAFTED && reading.wrong == 0);
    CHECK(reading.stats.received == CRAFTED && reading.stats.truncated == 2);
}

static void test_sections(void)
{
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        struct bytes file = craft(big_endian), packed = {0};
        write_file("sections.pcapng", file.data, file.count);
        check_crafted("sections.pcapng");
        settle("sections.pcapng");
        check_crafted("sections.pcapng");
        bytes_gzip(&packed, file.data, file.count);
        write_file("sections.pcapng", packed.data, packed.count);
        check_crafted("sections.pcapng");
        packed.count = 0;
        bytes_zstd(&packed, file.data, file.count);
        write_file("sections.pcapng", packed.data, packed.count);
        check_crafted("sections.pcapng");
        bytes_free(&packed);
        bytes_free(&file);
    }
    unlink("sections.pcapng");
}

/* Where block n of a file begins (little endian throughout). */
static size_t block_at(const struct bytes *file, size_t bytes)
{
    size_t at = 0;

    while (bytes - at >= 8) {
        uint32_t length;
        memcpy(&length, file->data + at + 4, 4);
        if (length > bytes - at)
            break;
        at += length;
    }
    return at;
}

/* Cut after every byte, read and mapped: whole packets first, then the block that is cut. */
static void test_cut(void)
{
    struct bytes file = {0};

    section(&file);
    interface(&file, LINK_ETHERNET, 0, -1, 0);
    for (int i = 0; i < 4; i++)
        packet_of(&file, PACKET, 0, 1700000000000001, "first", 5);
    other(&file, CUSTOM, 30);
    for (size_t bytes = 12; bytes <= file.count; bytes++) {
        static const struct row row[] = {
            {"first", 5, 1700000000000001000, 1}, {"first", 5, 1700000000000001000, 1},
            {"first", 5, 1700000000000001000, 1}, {"first", 5, 1700000000000001000, 1},
        };
        size_t at = block_at(&file, bytes), packet_bytes = 52, first = 44 + 32, whole = 0;
        while (whole < 4 && first + (whole + 1) * packet_bytes <= at)
            whole++;
        char line[SOURCE_ERROR_BYTES] = "";
        if (at != bytes)
            snprintf(line, sizeof line, "cut.pcapng: truncated block at offset %zu", at);
        write_file("cut.pcapng", file.data, bytes);
        for (int mapped = 0; mapped < 2; mapped++) {
            struct reading reading = read_path("cut.pcapng", is_row, row);
            CHECK(reading.verdict == (at == bytes ? SOURCE_END : SOURCE_ERROR));
            CHECK(reading.packets == whole && reading.wrong == 0);
            CHECK(strcmp(reading.error, line) == 0);
            settle("cut.pcapng");
        }
    }
    bytes_free(&file);
    /* In the middle of a block that is passed over unread. */
    section(&file);
    size_t start = file.count;
    other(&file, CUSTOM, 3 << 20);
    char line[SOURCE_ERROR_BYTES];
    snprintf(line, sizeof line, "cut.pcapng: truncated block at offset %zu", start);
    write_file("cut.pcapng", file.data, file.count - 1);
    for (int mapped = 0; mapped < 2; mapped++) {
        struct reading reading = read_path("cut.pcapng", is_row, NULL);
        CHECK(reading.verdict == SOURCE_ERROR && strcmp(reading.error, line) == 0);
        settle("cut.pcapng");
    }
    unlink("cut.pcapng");
    bytes_free(&file);
}

static void test_resolutions(void)
{
    static const struct {
        int resolution;
        int64_t offset_s;
        uint64_t units, time_ns;
    } rows[] = {
        {-1, 0, 1234567, 1234567000},
        {0, 0, 17, 17000000000},
        {3, 0, 17, 17000000},
        {6, 0, 17, 17000},
        {9, 0, 17, 17},
        {9, 0, 18446744073709551615u, 18446744073709551615u},
        {12, 0, 17999, 17},
        {19, 0, 10000000000 * 7, 7},
        {28, 0, 18446744073709551615u, 1},
        {29, 0, 18446744073709551615u, 0},
        {30, 0, 18446744073709551615u, 0},
        {127, 0, 18446744073709551615u, 0},
        {0x80, 0, 5, 5000000000},
        {0x80 + 1, 0, 5, 2500000000},
        {0x80 + 10, 0, 1024 * 3 + 512, 3500000000},
        {0x80 + 32, 0, (7ull << 32) + (1ull << 31), 7500000000},
        {0x80 + 63, 0, 3ull << 62, 1500000000},
        {0x80 + 64, 0, 1ull << 63, 500000000},
        {0x80 + 127, 0, 18446744073709551615u, 0},
        {6, 1700000000, 1, 1700000000000001000},
        {6, -3, 5000000, 2000000000},
        {6, -30, 5000000, 0},                             /* before the epoch */
        {0, 0, 18446744073709551615u, UINT64_MAX},        /* past the year 2554 */
        {9, INT64_MAX, 1, UINT64_MAX},
        {9, INT64_MIN, 1, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int big_endian = 0; big_endian < 2; big_endian++) {
            struct bytes file = {.big_endian = big_endian};
            struct row row = {"x", 1, rows[i].time_ns, LINK_ETHERNET};
            section(&file);
            interface(&file, LINK_ETHERNET, 0, rows[i].resolution, rows[i].offset_s);
            packet_of(&file, PACKET, 0, rows[i].units, "x", 1);
            write_file("time.pcapng", file.data, file.count);
            struct reading reading = read_path("time.pcapng", is_row, &row);
            CHECK(reading.verdict == SOURCE_END && reading.packets == 1);
            CHECK(reading.wrong == 0);
            bytes_free(&file);
        }
    unlink("time.pcapng");
}

static bool any_packet(const struct packet *packet, size_t number, const void *context)
{
    (void)packet, (void)number, (void)context;
    return true;
}

static void one_bad(struct bytes *file, const char *says, size_t packets)
{
    char line[SOURCE_ERROR_BYTES];
    struct reading reading;

    write_file("bad.pcapng", file->data, file->count);
    reading = read_path("bad.pcapng", any_packet, NULL);
    snprintf(line, sizeof line, "bad.pcapng: %s", says);
    CHECK(reading.verdict == SOURCE_ERROR && reading.packets == packets);
    if (strcmp(reading.error, line) != 0)
        fprintf(stderr, "%s, expected %s\n", reading.error, line);
    CHECK(strcmp(reading.error, line) == 0);
    file->count = 0;
    section(file);
    interface(file, LINK_ETHERNET, 0, -1, 0);
    packet_of(file, PACKET, 0, 1, "good", 4);
}

/* Each names what is wrong and where; the good packet before it comes out. Before offset 124 are a
 * section (44 bytes), an interface (32) and that packet (48). */
static void test_bad_blocks(void)
{
    struct bytes file = {0};
    size_t block;

    section(&file);
    simple_packet(&file, "x", 1);
    one_bad(&file, "packet of an undescribed interface 0 at offset 44", 0);

    packet_of(&file, PACKET, 1, 1, "x", 1);
    one_bad(&file, "packet of an undescribed interface 1 at offset 124", 1);

    section(&file); /* a new section forgets the interfaces of the last */
    packet_of(&file, PACKET, 0, 1, "x", 1);
    one_bad(&file, "packet of an undescribed interface 0 at offset 168", 1);

    block = begin_block(&file, PACKET);
    bytes_fill(&file, 0, 16);
    end_block(&file, block);
    one_bad(&file, "packet block of impossible length 16 at offset 124", 1);

    block = begin_block(&file, PACKET);
    bytes_fill(&file, 0, 12);
    bytes_32(&file, 9);
    bytes_32(&file, 9);
    bytes_fill(&file, 0, 8);
    end_block(&file, block);
    one_bad(&file, "packet longer than its block: 9 at offset 124", 1);

    block = begin_block(&file, PACKET);
    bytes_fill(&file, 0, 12);
    bytes_32(&file, 262145);
    bytes_32(&file, 262145);
    bytes_fill(&file, 0, 262148);
    end_block(&file, block);
    one_bad(&file, "impossible captured length 262145 at offset 124", 1);

    bytes_32(&file, CUSTOM);
    bytes_32(&file, 8);
    bytes_fill(&file, 0, 8);
    one_bad(&file, "impossible block length 8 at offset 124", 1);

    bytes_32(&file, CUSTOM);
    bytes_32(&file, 17);
    bytes_fill(&file, 0, 60);
    one_bad(&file, "impossible block length 17 at offset 124", 1);

    bytes_32(&file, PACKET);
    bytes_32(&file, 0xfffffffc);
    bytes_fill(&file, 0, 60);
    one_bad(&file, "impossible block length 4294967292 at offset 124", 1);

    other(&file, CUSTOM, 16);
    file.data[file.count - 4]++;
    one_bad(&file, "block whose end does not repeat its length 28 at offset 124", 1);

    block = begin_block(&file, INTERFACE);
    bytes_32(&file, 1);
    end_block(&file, block);
    one_bad(&file, "interface description of impossible length 4 at offset 124", 1);

    block = begin_block(&file, INTERFACE);
    bytes_32(&file, 1);
    bytes_32(&file, 0);
    bytes_16(&file, 9);
    bytes_16(&file, 5);
    bytes_32(&file, 0);
    end_block(&file, block);
    one_bad(&file, "interface description with a cut option 9 at offset 124", 1);

    secrets(&file, "secret", 6, 9);
    one_bad(&file, "decryption secrets longer than their block: 9 at offset 124", 1);

    block = begin_block(&file, SECTION);
    bytes_fill(&file, 1, 16);
    end_block(&file, block);
    one_bad(&file, "section header without byte order, block type 168627466 at offset 124", 1);

    block = begin_block(&file, SECTION);
    bytes_32(&file, 0x1a2b3c4d);
    bytes_16(&file, 2);
    bytes_fill(&file, 0, 10);
    end_block(&file, block);
    one_bad(&file, "unsupported pcapng version 2 at offset 124", 1);
    bytes_free(&file);
    unlink("bad.pcapng");
}

/* Offered in file order, as soon as the block has been passed. */
static void test_secrets(void)
{
    struct bytes file = {.big_endian = true};
    char error[SOURCE_ERROR_BYTES];
    struct packet packet;
    uint32_t type = 0;
    size_t bytes = 0;

    section(&file);
    interface(&file, LINK_ETHERNET, 0, -1, 0);
    secrets(&file, "CLIENT_RANDOM 1", 15, 15);
    packet_of(&file, PACKET, 0, 1, "a", 1);
    secrets(&file, "", 0, 0);
    secrets(&file, "two", 3, 3);
    packet_of(&file, PACKET, 0, 2, "b", 1);
    write_file("secrets.pcapng", file.data, file.count);
    struct source *source = pcapfile_open("secrets.pcapng", 0, error);
    CHECK(source);
    if (!source)
        return;
    CHECK(!source->ops->secret(source, 0, &type, &bytes));
    CHECK(source->ops->next(source, &packet, 0) == SOURCE_PACKET);
    const uint8_t *first = source->ops->secret(source, 0, &type, &bytes);
    CHECK(first && bytes == 15 && type == TLS_KEY_LOG);
    CHECK(first && memcmp(first, "CLIENT_RANDOM 1", 15) == 0);
    CHECK(!source->ops->secret(source, 1, &type, &bytes));
    CHECK(source->ops->next(source, &packet, 0) == SOURCE_PACKET);
    CHECK(source->ops->secret(source, 1, &type, &bytes) && bytes == 0);
    const uint8_t *third = source->ops->secret(source, 2, &type, &bytes);
    CHECK(third && bytes == 3 && memcmp(third, "two", 3) == 0);
    CHECK(source->ops->secret(source, 0, &type, &bytes) == first);
    CHECK(!source->ops->secret(source, 3, &type, &bytes));
    CHECK(source->ops->next(source, &packet, 0) == SOURCE_END);
    source->ops->close(source);
    bytes_free(&file);
    unlink("secrets.pcapng");
}

/* 64 MiB are kept, the blocks past them counted. */
static void test_secrets_bound(void)
{
    enum { BLOCK_BYTES = 24 << 20 };
    struct bytes file = {0}, packed = {0};
    uint8_t *data = calloc(BLOCK_BYTES, 1);
    char error[SOURCE_ERROR_BYTES];
    struct packet packet;
    struct source_stats stats;
    uint32_t type;
    size_t bytes;

    section(&file);
    for (int i = 0; i < 3; i++)
        secrets(&file, data, BLOCK_BYTES, BLOCK_BYTES);
    secrets(&file, "small", 5, 5);
    bytes_zstd(&packed, file.data, file.count);
    bytes_free(&file);
    write_file("bound.pcapng", packed.data, packed.count);
    struct source *source = pcapfile_open("bound.pcapng", 0, error);
    CHECK(source);
    if (source) {
        CHECK(source->ops->next(source, &packet, 0) == SOURCE_END);
        source->ops->stats(source, &stats);
        CHECK(stats.secrets_shed == 1);
        CHECK(source->ops->secret(source, 1, &type, &bytes) && bytes == BLOCK_BYTES);
        CHECK(source->ops->secret(source, 2, &type, &bytes) && bytes == 5);
        CHECK(!source->ops->secret(source, 3, &type, &bytes));
        source->ops->close(source);
    }
    free(data);
    bytes_free(&packed);
    unlink("bound.pcapng");
}

int main(void)
{
    test_sections();
    test_cut();
    test_resolutions();
    test_bad_blocks();
    test_secrets();
    test_secrets_bound();
    return checks_report("pcapng");
}
