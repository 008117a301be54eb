/* links: body.c block.c kept.c */
/* Kept bodies: codings undone at any split, bounded, and every byte of memory given back. */
#include <stdlib.h>
#include <zlib.h>

#include "body.h"
#include "check.h"

enum { LIMIT_BYTES = 100000, ZLIB = MAX_WBITS, GZIP = MAX_WBITS + 16, RAW = -MAX_WBITS };

struct bytes {
    uint8_t *data;
    uint32_t count;
};

static struct bytes packed(const void *data, uint32_t bytes, int window)
{
    z_stream stream = {0};
    deflateInit2(&stream, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
    uLong room = deflateBound(&stream, bytes) + 64;
    struct bytes out = {malloc(room), 0};
    stream.next_in = (z_const Bytef *)data;
    stream.avail_in = bytes;
    stream.next_out = out.data;
    stream.avail_out = (uInt)room;
    CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.count = (uint32_t)stream.total_out;
    deflateEnd(&stream);
    return out;
}

static struct bytes joined(struct bytes a, struct bytes b)
{
    struct bytes both = {malloc(a.count + b.count + 1), a.count + b.count};
    memcpy(both.data, a.data, a.count);
    memcpy(both.data + a.count, b.data, b.count);
    return both;
}

struct outcome {
    const char *kept;
    uint32_t kept_bytes;
    bool cut;
    enum counter counted; /* COUNTERS: none */
};

static void check_body(struct bytes in, struct codings codings, uint32_t step,
                       struct outcome expected)
{
    struct budget budget = {.limit_bytes = 1 << 22};
    struct counters counters = {0};
    struct body body;
    body_open(&body, &codings, LIMIT_BYTES, &budget, &counters);
    uint8_t *data = guarded(in.data, in.count);
    for (uint32_t at = 0; at < in.count; at += step)
        body_append(&body, data + at, in.count - at < step ? in.count - at : step);
    body_end(&body);
    CHECK(body.kept.bytes == expected.kept_bytes);
    if (expected.kept && expected.kept_bytes && body.kept.bytes == expected.kept_bytes)
        CHECK(memcmp(body.kept.data, expected.kept, expected.kept_bytes) == 0);
    CHECK(body.cut == expected.cut);
    for (int i = 0; i < COUNTERS; i++)
        CHECK(counters.value[i] == (expected.counted == (enum counter)i));
    body_free(&body);
    CHECK(budget.used_bytes == 0);
}

static void check_all_steps(struct bytes in, struct codings codings, struct outcome expected)
{
    static const uint32_t steps[] = {1, 2, 3, 7, 1000, UINT32_MAX / 2};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        check_body(in, codings, steps[i], expected);
}

static const char text[] = "<Envelope>one two three one two three</Envelope>";
enum { TEXT_BYTES = sizeof text - 1 };
static const struct outcome whole = {text, TEXT_BYTES, false, COUNTERS};

static void check_codings(void)
{
    struct bytes plain = {(uint8_t *)text, TEXT_BYTES};
    struct bytes gzip = packed(text, TEXT_BYTES, GZIP), zlib = packed(text, TEXT_BYTES, ZLIB);
    struct bytes raw = packed(text, TEXT_BYTES, RAW);
    struct bytes twice = packed(gzip.data, gzip.count, ZLIB);
    check_all_steps(plain, (struct codings){{0}, 0}, whole);
    check_all_steps(gzip, (struct codings){{CODING_GZIP}, 1}, whole);
    check_all_steps(zlib, (struct codings){{CODING_DEFLATE}, 1}, whole);
    check_all_steps(raw, (struct codings){{CODING_DEFLATE}, 1}, whole);
    check_all_steps(twice, (struct codings){{CODING_GZIP, CODING_DEFLATE}, 2}, whole);
    check_all_steps((struct bytes){0}, (struct codings){{CODING_GZIP}, 1},
                    (struct outcome){"", 0, false, COUNTERS});
    free(gzip.data);
    free(zlib.data);
    free(raw.data);
    free(twice.data);
}

static void check_members(void)
{
    struct bytes first = packed(text, 10, GZIP), second = packed(text + 10, TEXT_BYTES - 10, GZIP);
    struct bytes both = joined(first, second);
    struct bytes padded = joined(both, (struct bytes){(uint8_t *)"\0\0\0\0", 4});
    check_all_steps(both, (struct codings){{CODING_GZIP}, 1}, whole);
    check_all_steps(padded, (struct codings){{CODING_GZIP}, 1}, whole);
    free(first.data);
    free(second.data);
    free(both.data);
    free(padded.data);
}

static void check_undecodable(void)
{
    struct bytes plain = {(uint8_t *)text, TEXT_BYTES};
    struct bytes gzip = packed(text, TEXT_BYTES, GZIP);
    struct outcome nothing = {"", 0, true, COUNT_http_body_undecodable};
    check_all_steps(plain, (struct codings){{CODING_OTHER}, 1}, nothing);
    check_all_steps(plain, (struct codings){{CODING_GZIP, CODING_OTHER}, 2}, nothing);
    check_all_steps(plain, (struct codings){{CODING_GZIP}, 1}, nothing);
    check_all_steps(plain, (struct codings){{CODING_DEFLATE}, 1}, nothing);
    gzip.count -= 4; /* what was decoded before the end went missing stays */
    check_all_steps(gzip, (struct codings){{CODING_GZIP}, 1},
                    (struct outcome){text, TEXT_BYTES, true, COUNT_http_body_undecodable});
    gzip.count = 1;
    check_all_steps(gzip, (struct codings){{CODING_GZIP}, 1}, nothing);
    free(gzip.data);
}

/* 64 MiB of zeros in 64 KiB, and that packed again: neither memory nor time follows. */
static void check_bombs(void)
{
    enum { ZEROS = 64 << 20 };
    uint8_t *zeros = calloc(1, ZEROS);
    struct bytes bomb = packed(zeros, ZEROS, GZIP);
    struct bytes twice = packed(bomb.data, bomb.count, GZIP);
    struct outcome cut = {NULL, LIMIT_BYTES, true, COUNT_http_body_cut};
    check_body(bomb, (struct codings){{CODING_GZIP}, 1}, 1400, cut);
    check_body(twice, (struct codings){{CODING_GZIP, CODING_GZIP}, 2}, 1400, cut);
    free(bomb.data);
    free(twice.data);
    /* a stream that stays empty however long it is: the outer one may not feed it for ever */
    for (uint32_t i = 0; i < 8 << 20; i += 5)
        memcpy(zeros + i, "\0\0\0\xff\xff", 5);
    bomb = packed(zeros, 8 << 20, GZIP);
    check_body(bomb, (struct codings){{CODING_DEFLATE, CODING_GZIP}, 2}, 1400,
               (struct outcome){"", 0, true, COUNT_http_body_cut});
    free(bomb.data);
    free(zeros);
}

static void check_limit(void)
{
    char *large = malloc(LIMIT_BYTES + 1);
    memset(large, 'x', LIMIT_BYTES + 1);
    check_all_steps((struct bytes){(uint8_t *)large, LIMIT_BYTES}, (struct codings){{0}, 0},
                    (struct outcome){large, LIMIT_BYTES, false, COUNTERS});
    check_all_steps((struct bytes){(uint8_t *)large, LIMIT_BYTES + 1}, (struct codings){{0}, 0},
                    (struct outcome){large, LIMIT_BYTES, true, COUNT_http_body_cut});
    free(large);
}

static void check_gap_and_memory(void)
{
    struct bytes gzip = packed(text, TEXT_BYTES, GZIP);
    const struct codings none = {{0}, 0}, one = {{CODING_GZIP}, 1};
    uint64_t shed = 0;
    for (size_t limit = 0; limit < 60000; limit += 997) {
        struct budget budget = {.limit_bytes = limit};
        struct counters counters = {0};
        struct body body;
        body_open(&body, &one, LIMIT_BYTES, &budget, &counters);
        body_append(&body, gzip.data, gzip.count);
        body_end(&body);
        CHECK(body.cut == (counters.value[COUNT_memory_shed] == 1));
        CHECK(body.cut || body.kept.bytes == TEXT_BYTES);
        shed += counters.value[COUNT_memory_shed];
        body_free(&body);
        CHECK(budget.used_bytes == 0);
    }
    CHECK(shed > 0);
    struct budget budget = {.limit_bytes = 1 << 20};
    struct counters counters = {0};
    struct body body;
    body_open(&body, &none, LIMIT_BYTES, &budget, &counters);
    body_append(&body, (const uint8_t *)"abc", 3);
    body_gap(&body);
    body_append(&body, (const uint8_t *)"def", 3);
    body_end(&body);
    CHECK(body.kept.bytes == 3 && !body.cut);
    body_free(&body);
    free(gzip.data);
}

int main(void)
{
    check_codings();
    check_members();
    check_undecodable();
    check_bombs();
    check_limit();
    check_gap_and_memory();
    return checks_report("body");
}
