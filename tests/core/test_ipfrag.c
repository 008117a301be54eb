/* links: ipfrag.c */
#include <stdlib.h>

#include "check.h"
#include "ipfrag.h"

static const uint64_t MS = 1000000;

struct bench {
    struct limits limits;
    struct budget budget;
    struct counters counters;
    struct ipfrag *ipfrag;
    struct ipfrag_whole whole; /* of the last WHOLE */
};

static void set_up(struct bench *bench)
{
    *bench = (struct bench){.limits = {.fragment_timeout_ms = 1000,
                                       .fragment_datagrams_max = 8,
                                       .duplicate_window_ms = 20},
                            .budget = {.limit_bytes = 1 << 20}};
    bench->ipfrag = ipfrag_open(&bench->limits, &bench->budget, &bench->counters);
    ipfrag_begin(bench->ipfrag, 1);
}

static void tear_down(struct bench *bench)
{
    ipfrag_close(bench->ipfrag);
    CHECK(bench->budget.used_bytes == 0);
}

static uint64_t dropped(const struct bench *bench)
{
    return bench->counters.value[COUNT_fragments_dropped];
}

static enum ipfrag_verdict add(struct bench *bench, uint8_t version, uint32_t id, uint32_t offset,
                               const void *data, uint32_t bytes, bool more)
{
    struct fragment fragment = {.id = id,
                                .vlan = VLAN_NONE,
                                .ip_version = version,
                                .protocol = PROTO_UDP,
                                .more = more,
                                .offset = offset,
                                .bytes = bytes,
                                .data = guarded(data, bytes)};
    fragment.source[15] = 1;
    fragment.destination[15] = 2;
    return ipfrag_add(bench->ipfrag, &fragment, &bench->whole);
}

static enum ipfrag_verdict add_text(struct bench *bench, uint8_t version, uint32_t offset,
                                    const char *text, bool more)
{
    return add(bench, version, 7, offset, text, (uint32_t)strlen(text), more);
}

static bool is_whole(const struct bench *bench, const char *text)
{
    return bench->whole.bytes == strlen(text) &&
           memcmp(bench->whole.data, text, bench->whole.bytes) == 0;
}

struct part {
    uint32_t offset;
    const char *text;
    bool more;
    enum ipfrag_verdict verdict;
};

struct row {
    const char *name;
    uint8_t version;
    struct part part[5];
    const char *whole; /* NULL: none */
    uint64_t dropped;
};

static const struct row table[] = {
    {"in order", 4,
     {{0, "aaaaaaaa", true, IPFRAG_HELD}, {8, "bbb", false, IPFRAG_WHOLE}}, "aaaaaaaabbb", 0},
    {"reversed", 4,
     {{16, "c", false, IPFRAG_HELD}, {8, "bbbbbbbb", true, IPFRAG_HELD},
      {0, "aaaaaaaa", true, IPFRAG_WHOLE}}, "aaaaaaaabbbbbbbbc", 0},
    {"copy ignored", 4,
     {{0, "aaaaaaaa", true, IPFRAG_HELD}, {0, "aaaaaaaa", true, IPFRAG_HELD},
      {8, "bbb", false, IPFRAG_WHOLE}}, "aaaaaaaabbb", 0},
    {"first copy wins", 4,
     {{0, "aaaaaaaa", true, IPFRAG_HELD}, {0, "xxxxxxxxyyyyyyyy", true, IPFRAG_HELD},
      {16, "c", false, IPFRAG_WHOLE}}, "aaaaaaaayyyyyyyyc", 0},
    {"fills between two", 4,
     {{0, "aaaaaaaa", true, IPFRAG_HELD}, {16, "cccccccc", true, IPFRAG_HELD},
      {24, "d", false, IPFRAG_HELD}, {0, "xxxxxxxxbbbbbbbbxxxxxxxx", true, IPFRAG_WHOLE}},
     "aaaaaaaabbbbbbbbccccccccd", 0},
    {"beyond the end", 4,
     {{8, "bbb", false, IPFRAG_HELD}, {16, "cccccccc", true, IPFRAG_DROPPED},
      {0, "aaaaaaaa", true, IPFRAG_WHOLE}}, "aaaaaaaabbb", 1},
    {"two ends", 4,
     {{8, "bbb", false, IPFRAG_HELD}, {8, "b", false, IPFRAG_DROPPED},
      {0, "aaaaaaaa", true, IPFRAG_WHOLE}}, "aaaaaaaabbb", 1},
    {"an end before what came", 4,
     {{16, "cccccccc", true, IPFRAG_HELD}, {8, "bbb", false, IPFRAG_DROPPED}}, NULL, 1},
    {"not a multiple of 8", 4, {{0, "aaaaaaa", true, IPFRAG_MALFORMED}}, NULL, 1},
    {"empty", 4, {{8, "", false, IPFRAG_MALFORMED}}, NULL, 1},
    {"longer than a datagram", 4, {{65528, "aaaaaaaa", false, IPFRAG_MALFORMED}}, NULL, 1},
    {"as long as a datagram", 4, {{65528, "aaaaaaa", false, IPFRAG_HELD}}, NULL, 0},
    {"IPv6 in order", 6,
     {{0, "aaaaaaaa", true, IPFRAG_HELD}, {8, "bbb", false, IPFRAG_WHOLE}}, "aaaaaaaabbb", 0},
    {"IPv6 copy ignored", 6,
     {{0, "aaaaaaaa", true, IPFRAG_HELD}, {0, "aaaaaaaa", true, IPFRAG_HELD},
      {8, "bbb", false, IPFRAG_WHOLE}}, "aaaaaaaabbb", 0},
    {"IPv6 copy with other bytes", 6,
     {{0, "aaaaaaaa", true, IPFRAG_HELD}, {0, "aaaaaaax", true, IPFRAG_DROPPED},
      {8, "bbb", false, IPFRAG_DROPPED}}, NULL, 3},
    {"IPv6 overlap", 6,
     {{0, "aaaaaaaabbbbbbbb", true, IPFRAG_HELD}, {8, "bbbbbbbbcccccccc", true, IPFRAG_DROPPED},
      {24, "d", false, IPFRAG_DROPPED}, {16, "cccccccc", true, IPFRAG_DROPPED}}, NULL, 4},
    {"IPv6 two ends", 6,
     {{8, "bbb", false, IPFRAG_HELD}, {8, "b", false, IPFRAG_DROPPED},
      {0, "aaaaaaaa", true, IPFRAG_DROPPED}}, NULL, 3},
};

static void test_table(void)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct row *row = &table[i];
        struct bench bench;
        set_up(&bench);
        bool whole = false;
        for (size_t at = 0; at < 5 && row->part[at].text; at++) {
            const struct part *part = &row->part[at];
            enum ipfrag_verdict verdict =
                add_text(&bench, row->version, part->offset, part->text, part->more);
            CHECK(verdict == part->verdict);
            if (verdict != part->verdict)
                fprintf(stderr, "  row %s, part %zu: %d\n", row->name, at, verdict);
            whole = whole || verdict == IPFRAG_WHOLE;
        }
        CHECK(whole == (row->whole != NULL) && (!whole || is_whole(&bench, row->whole)));
        CHECK(dropped(&bench) == row->dropped);
        tear_down(&bench);
    }
}

static void test_keys(void)
{
    struct bench bench;
    set_up(&bench);
    CHECK(add(&bench, 4, 1, 0, "aaaaaaaa", 8, true) == IPFRAG_HELD);
    CHECK(add(&bench, 4, 2, 8, "b", 1, false) == IPFRAG_HELD);
    CHECK(add(&bench, 6, 1, 8, "b", 1, false) == IPFRAG_HELD);
    CHECK(add(&bench, 4, 1, 8, "c", 1, false) == IPFRAG_WHOLE && is_whole(&bench, "aaaaaaaac"));
    tear_down(&bench);
}

static void test_protocol_of_first_fragment(void)
{
    struct bench bench;
    set_up(&bench);
    struct fragment fragment = {
        .id = 1, .ip_version = 6, .protocol = 60, .offset = 8, .bytes = 1};
    fragment.data = (const uint8_t *)"b";
    CHECK(ipfrag_add(bench.ipfrag, &fragment, &bench.whole) == IPFRAG_HELD);
    fragment = (struct fragment){
        .id = 1, .ip_version = 6, .protocol = PROTO_TCP, .more = true, .bytes = 8};
    fragment.data = (const uint8_t *)"aaaaaaaa";
    CHECK(ipfrag_add(bench.ipfrag, &fragment, &bench.whole) == IPFRAG_WHOLE);
    CHECK(bench.whole.protocol == PROTO_TCP);
    tear_down(&bench);
}

static void test_timeout(void)
{
    struct bench bench;
    set_up(&bench);
    add_text(&bench, 4, 0, "aaaaaaaa", true);
    ipfrag_begin(bench.ipfrag, 1000 * MS + 1);
    CHECK(dropped(&bench) == 0);
    ipfrag_begin(bench.ipfrag, 1000 * MS + 2);
    CHECK(dropped(&bench) == 1 && bench.budget.used_bytes == 0);
    CHECK(add_text(&bench, 4, 8, "bbb", false) == IPFRAG_HELD);
    /* a doomed datagram is forgotten in time as well */
    add_text(&bench, 6, 0, "aaaaaaaa", true);
    add_text(&bench, 6, 0, "xxxxxxxx", true);
    ipfrag_begin(bench.ipfrag, 3000 * MS);
    CHECK(bench.budget.used_bytes == 0);
    tear_down(&bench);
}

/* Copies of both fragments, as from a second mirror, neither begin a datagram anew nor linger. */
static void test_late_copies(void)
{
    struct bench bench;
    set_up(&bench);
    add_text(&bench, 4, 0, "aaaaaaaa", true);
    CHECK(add_text(&bench, 4, 8, "bbb", false) == IPFRAG_WHOLE);
    CHECK(add_text(&bench, 4, 0, "aaaaaaaa", true) == IPFRAG_DROPPED);
    CHECK(add_text(&bench, 4, 8, "bbb", false) == IPFRAG_DROPPED);
    CHECK(bench.counters.value[COUNT_duplicates] == 2 && dropped(&bench) == 0);
    ipfrag_begin(bench.ipfrag, 21 * MS);
    CHECK(bench.budget.used_bytes == 0);
    CHECK(add_text(&bench, 4, 0, "cccccccc", true) == IPFRAG_HELD);
    CHECK(add_text(&bench, 4, 8, "ddd", false) == IPFRAG_WHOLE && is_whole(&bench, "ccccccccddd"));
    tear_down(&bench);
}

static void test_many_datagrams(void)
{
    struct bench bench;
    set_up(&bench);
    for (uint32_t id = 0; id < 8; id++)
        add(&bench, 4, id, 0, "aaaaaaaa", 8, true);
    CHECK(dropped(&bench) == 0);
    add(&bench, 4, 8, 0, "aaaaaaaa", 8, true); /* the oldest makes room */
    CHECK(dropped(&bench) == 1);
    CHECK(add(&bench, 4, 1, 8, "b", 1, false) == IPFRAG_WHOLE);
    tear_down(&bench);
}

static void test_budget(void)
{
    struct bench bench;
    uint8_t data[1024] = {0};
    set_up(&bench);
    bench.budget.limit_bytes = 4096;
    CHECK(add(&bench, 4, 1, 0, data, 1024, true) == IPFRAG_HELD);
    CHECK(add(&bench, 4, 1, 1024, data, 1024, true) == IPFRAG_HELD);
    CHECK(add(&bench, 4, 2, 0, data, 1024, true) == IPFRAG_HELD);
    CHECK(add(&bench, 4, 2, 1024, data, 1024, true) == IPFRAG_HELD); /* the first gives way */
    CHECK(dropped(&bench) == 2);
    CHECK(add(&bench, 4, 2, 2048, data, 1024, true) == IPFRAG_HELD);
    CHECK(add(&bench, 4, 2, 3072, data, 1024, false) == IPFRAG_DROPPED); /* nobody else is left */
    CHECK(dropped(&bench) == 6 && bench.counters.value[COUNT_memory_shed] == 1);
    tear_down(&bench);
}

static void test_tiny_fragments(void)
{
    struct bench bench;
    set_up(&bench);
    enum ipfrag_verdict verdict = IPFRAG_HELD;
    uint32_t kept = 0;
    for (; verdict == IPFRAG_HELD && kept < 1000; kept++)
        verdict = add(&bench, 4, 1, kept * 8, "aaaaaaaa", 8, true);
    CHECK(verdict == IPFRAG_DROPPED && kept == 129);
    CHECK(dropped(&bench) == 129);
    tear_down(&bench);
}

/* A datagram cut in parts of any size, each sent once to three times in any order, is what it
 * was. */
static void test_random(void)
{
    uint8_t data[4096];
    srandom(7);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)random();
    for (int round = 0; round < 200; round++) {
        struct bench bench;
        uint32_t at[64], bytes[64], parts = 0, total = 1 + (uint32_t)random() % 4096;
        set_up(&bench);
        for (uint32_t from = 0; from < total && parts < 60; parts++) {
            bytes[parts] = 8 * (8 + (uint32_t)random() % 32);
            if (parts == 59 || bytes[parts] > total - from)
                bytes[parts] = total - from;
            at[parts] = from;
            from += bytes[parts];
        }
        enum ipfrag_verdict verdict = IPFRAG_HELD;
        for (int sent = 0; verdict == IPFRAG_HELD && sent < 10000; sent++) {
            uint32_t i = (uint32_t)random() % parts;
            bool last = i == parts - 1;
            struct fragment fragment = {.ip_version = round % 2 ? 4 : 6,
                                        .more = !last,
                                        .offset = at[i],
                                        .bytes = bytes[i],
                                        .data = data + at[i]};
            verdict = ipfrag_add(bench.ipfrag, &fragment, &bench.whole);
        }
        CHECK(verdict == IPFRAG_WHOLE && bench.whole.bytes == total &&
              memcmp(bench.whole.data, data, total) == 0);
        tear_down(&bench);
    }
}

int main(void)
{
    test_table();
    test_keys();
    test_protocol_of_first_fragment();
    test_timeout();
    test_late_copies();
    test_many_datagrams();
    test_budget();
    test_tiny_fragments();
    test_random();
    return checks_report("ipfrag");
}
