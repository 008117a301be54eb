/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* libvirt's RPC: where it begins, what of it is handed up, gaps, and what is none of it. */
#include "conversation.h"
#include "libvirt.h"

enum { ROOM_BYTES = 1 << 18, REMOTE = 0x20008086, KEEPALIVE = 0x6b656570 };

static char room[ROOM_BYTES];
static uint32_t used;

static void put32(uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        room[used++] = (char)(value >> shift);
}

static struct piece message(enum direction direction, uint32_t program, uint32_t procedure,
                            uint32_t type, uint32_t body_bytes)
{
    uint32_t from = used;
    put32(LIBVIRT_HEADER_BYTES + body_bytes);
    put32(program);
    put32(1);
    put32(procedure);
    put32(type);
    put32(7);
    put32(0);
    memset(room + used, 'x', body_bytes);
    used += body_bytes;
    return (struct piece){PIECE_DATA, direction, room + from, used - from};
}

static struct seen {
    uint32_t count, bytes;
    uint64_t bulk_bytes, size_bytes;
    uint8_t flags;
} seen;

static void see(void *context, struct flow *flow, enum direction direction,
                const struct framed *framed)
{
    (void)context, (void)flow, (void)direction;
    seen.flags |= framed->flags;
    CHECK(framed->protocol == FRAMED_LIBVIRT);
    if (framed->flags & FRAMED_BULK) {
        seen.bulk_bytes += framed->size_bytes;
        return;
    }
    seen.count++;
    seen.bytes += framed->data.bytes;
    seen.size_bytes += framed->size_bytes;
}

static struct counters feed(const struct piece *pieces, uint32_t count, enum feeding feeding,
                            uint64_t limit_bytes)
{
    struct budget budget = {.limit_bytes = limit_bytes};
    struct counters counters = {0};
    struct limits limits = test_limits();
    struct flow flow = {.protocol = PROTO_TCP, .port = {61525, 16509}};
    struct interest *interest = interest_open();
    struct result result = {.run = -1};
    struct operations *operations = operations_open(&limits, &counters);
    struct protocol_shared shared = {
        .limits = &limits,
        .interest = interest,
        .budget = &budget,
        .counters = &counters,
        .operations = operations,
        .sink = {&result, on_transaction, on_proxy_header, on_chunk, on_gap, NULL, see},
    };
    uint64_t seed = 17;
    seen = (struct seen){0};
    struct protocol *protocol = protocol_open(&shared, &flow);
    for (uint32_t i = 0; i < count; i++)
        feed_piece(protocol, &pieces[i], i + 1, feeding, &seed);
    protocol_close(protocol, 99);
    CHECK(budget.used_bytes == 0);
    operations_close(operations);
    interest_close(interest);
    return counters;
}

#define CALL(procedure, bytes) message(TO_SERVER, REMOTE, procedure, 0, bytes)
#define REPLY(procedure, bytes) message(TO_CLIENT, REMOTE, procedure, 1, bytes)

/* Calls and answers go up; events and pings pass, streams are counted, and what is long is cut. */
static void check_framing(void)
{
    used = 0;
    const struct piece at[] = {
        CALL(66, 0),
        REPLY(66, 8),
        CALL(12, 40),
        message(TO_CLIENT, REMOTE, 107, 2, 60),
        REPLY(12, 0),
        message(TO_SERVER, KEEPALIVE, 1, 2, 0),
        message(TO_CLIENT, KEEPALIVE, 2, 2, 0),
        CALL(208, 60),
        message(TO_SERVER, REMOTE, 208, 3, 5000),
        message(TO_CLIENT, REMOTE, 208, 3, 0),
        CALL(11, 70000),
        REPLY(11, 9000),
    };
    for (int feeding = FEED_WHOLE; feeding <= FEED_RANDOM; feeding++) {
        struct counters counters = feed(at, 12, (enum feeding)feeding, 1 << 20);
        CHECK(seen.count == 7 && counters.value[COUNT_framed_libvirt] == 7);
        CHECK(seen.bytes == 5 * 28 + 8 + 40 + 60 + 65536 + 4096);
        CHECK(seen.size_bytes == 7 * 28 + 8 + 40 + 60 + 70000 + 9000);
        CHECK(seen.bulk_bytes == 5028 + 28);
        CHECK(counters.value[COUNT_framed_cut] == 2 && counters.value[COUNT_framed_lost] == 0);
    }
}

/* After a gap a header is looked for; bytes that SASL has sealed end it for good. */
static void check_loss(void)
{
    used = 0;
    const struct piece lost[] = {
        CALL(9, 40),
        {PIECE_GAP, TO_SERVER, NULL, 30},
        {PIECE_DATA, TO_SERVER, "rest\0\0\0\x1c\x20\0\x80", 11},
        CALL(12, 40),
        CALL(12, 4),
    };
    for (int feeding = FEED_WHOLE; feeding <= FEED_RANDOM; feeding++) {
        struct counters counters = feed(lost, 5, (enum feeding)feeding, 1 << 20);
        CHECK(seen.count == 3 && seen.bulk_bytes == 11);
        CHECK(counters.value[COUNT_framed_resynchronised] == 1);
    }
    const struct piece sealed[] = {
        CALL(68, 40),
        REPLY(68, 8),
        {PIECE_DATA, TO_SERVER, "\0\0\0\x30sealed by SASL, whatever it may be", 38},
        CALL(12, 4),
    };
    for (int feeding = FEED_WHOLE; feeding <= FEED_RANDOM; feeding++) {
        struct counters counters = feed(sealed, 4, (enum feeding)feeding, 1 << 20);
        CHECK(seen.count == 2 && counters.value[COUNT_framed_lost] == 1);
    }
}

static void check_memory(void)
{
    used = 0;
    const struct piece at[] = {CALL(9, 40), CALL(11, 60000), CALL(12, 40)};
    struct counters counters = feed(at, 3, FEED_WHOLE, 32768);
    CHECK(seen.count == 2 && counters.value[COUNT_memory_shed] == 1);
}

static void check_starts(void)
{
    static const struct {
        bool decrypted;
        enum direction direction;
        const char *data;
        uint32_t bytes;
        enum start_verdict verdict;
    } rows[] = {
        {false, TO_SERVER, "\0\0\0\x1c\x20\0\x80\x86\0\0\0\1\0\0\0\x42\0\0\0\0\0\0\0\0\0\0\0\0", 28,
         START_YES},
        {false, TO_CLIENT, "\0\0\0\x1c\x20\0\x80\x86\0\0\0\1\0\0\0\x42\0\0\0\1\0\0\0\0\0\0\0\0", 28,
         START_YES},
        /* in the wrong direction, of another version, too short, too long, of no type */
        {false, TO_CLIENT, "\0\0\0\x1c\x20\0\x80\x86\0\0\0\1\0\0\0\x42\0\0\0\0\0\0\0\0\0\0\0\0", 28,
         START_NO},
        {false, TO_SERVER, "\0\0\0\x1c\x20\0\x80\x86\0\0\0\2\0\0\0\x42\0\0\0\0\0\0\0\0\0\0\0\0", 28,
         START_NO},
        {false, TO_SERVER, "\0\0\0\x1b\x20\0\x80\x86\0\0\0\1\0\0\0\x42\0\0\0\0\0\0\0\0\0\0\0\0", 28,
         START_NO},
        {false, TO_SERVER, "\3\0\0\x1c\x20\0\x80\x86\0\0\0\1\0\0\0\x42\0\0\0\0\0\0\0\0\0\0\0\0", 28,
         START_NO},
        {false, TO_SERVER, "\0\0\0\x1c\x20\0\x80\x86\0\0\0\1\0\0\0\x42\0\0\0\7\0\0\0\0\0\0\0\0", 28,
         START_NO},
        {false, TO_SERVER, "\0\0\0\x1c\x20\0\x80", 7, START_MORE},
        {false, TO_SERVER, "\0\0\0\x1c\x21", 5, START_NO},
        {false, TO_CLIENT, "\1", 1, START_MORE},
        {true, TO_CLIENT, "\1", 1, START_MORE},
        {true, TO_CLIENT, "\1\0\0\0\x1c\x20\0\x80\x86\0\0\0\1\0\0\0\x42\0\0\0\1\0\0\0\0\0\0\0\0",
         29, START_YES},
        {false, TO_SERVER, "GET /", 5, START_NO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const uint8_t *data = guarded(rows[i].data, rows[i].bytes);
        CHECK(libvirt_start(rows[i].decrypted, rows[i].direction, data, rows[i].bytes) ==
              rows[i].verdict);
    }
}

int main(void)
{
    check_framing();
    check_loss();
    check_memory();
    check_starts();
    return checks_report("libvirt");
}
