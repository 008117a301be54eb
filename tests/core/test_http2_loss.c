/* links: protocol*.c framing.c libvirt.c authd.c nfc*.c vix*.c tls*.c http*.c choice.c pending.c interest.c interest_match.c needles.c objects.c operations.c soap.c body.c block.c tokens.c kept.c */
/* HTTP/2 with gaps, broken by its peers, beyond every bound: what cannot be known is not said. */
#include "http2_script.h"

static struct script script;

static void expect(const struct settings *settings, const char *expected)
{
    script.row.pieces[script.pieces] = (struct piece){0};
    script.row.expected = expected;
    check_row(settings, &script.row);
}

static struct counters count_of(const struct settings *settings)
{
    static struct result result;
    struct counters counters;
    converse(settings, script.row.pieces, NULL, FEED_WHOLE, 1, &result, &counters);
    return counters;
}

static void check_gaps(const struct settings *settings)
{
    begin(&script, "within the data of a request");
    headers(&script, TO_SERVER, 1, 0, POST("/a"));
    frame_head(&script, TO_SERVER, DATA, END_STREAM, 1, 10);
    say(&script, TO_SERVER, "ab", 2);
    miss(&script, TO_SERVER, 6);
    say(&script, TO_SERVER, "cd", 2);
    headers(&script, TO_SERVER, 3, END_STREAM, GET("/b"));
    answer(&script, 1, "1");
    answer(&script, 3, "2");
    expect(settings, "POST /a 200 @3,6,6 REQUEST_GAP HTTP2 <ab> <1>\n"
                     "GET /b 200 @5,6,6 HTTP2 <> <2>\n");
    CHECK(count_of(settings).value[COUNT_http2_lost] == 0);

    begin(&script, "exactly the data and padding of a response");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("200"));
    frame_head(&script, TO_CLIENT, DATA, END_STREAM | PADDED, 1, 13);
    say(&script, TO_CLIENT, "\4", 1);
    miss(&script, TO_CLIENT, 12);
    headers(&script, TO_SERVER, 3, END_STREAM, GET("/b"));
    answer(&script, 3, "2");
    expect(settings, "GET /a 200 @3,4,5 RESPONSE_GAP HTTP2 <> <>\n"
                     "GET /b 200 @6,7,7 HTTP2 <> <2>\n");

    begin(&script, "in a frame that matters to nobody");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    frame_head(&script, TO_SERVER, PING, 0, 0, 8);
    miss(&script, TO_SERVER, 8);
    headers(&script, TO_SERVER, 3, END_STREAM, GET("/b"));
    answer(&script, 3, "2");
    answer(&script, 1, "1");
    expect(settings, "GET /b 200 @5,6,6 HTTP2 <> <2>\nGET /a 200 @3,6,6 HTTP2 <> <1>\n");

    begin(&script, "beyond the data: requests are lost, answers to known ones are not");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    headers(&script, TO_SERVER, 3, 0, POST("/b"));
    frame_head(&script, TO_SERVER, DATA, END_STREAM, 3, 10);
    say(&script, TO_SERVER, "ab", 2);
    miss(&script, TO_SERVER, 9);
    headers(&script, TO_SERVER, 5, END_STREAM, GET("/never"));
    answer(&script, 3, "3");
    answer(&script, 1, "1");
    answer(&script, 5, "5");
    expect(settings, "POST /b 200 @3,6,6 REQUEST_GAP HTTP2 <ab> <3>\n"
                     "GET /a 200 @3,6,6 HTTP2 <> <1>\n"
                     "unpaired 1\n");
    CHECK(count_of(settings).value[COUNT_http2_lost] == 1);

    begin(&script, "between frames: answers are lost, later requests are told without one");
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    headers(&script, TO_SERVER, 3, 0, POST("/b"));
    headers(&script, TO_SERVER, 5, END_STREAM, GET("/c"));
    headers(&script, TO_CLIENT, 1, 0, STATUS("200"));
    data(&script, TO_CLIENT, 1, 0, "x");
    miss(&script, TO_CLIENT, 1);
    answer(&script, 5, "never");
    data(&script, TO_SERVER, 3, END_STREAM, "b");
    headers(&script, TO_SERVER, 7, END_STREAM, GET("/d"));
    expect(settings, "GET /a 200 @3,4,5 RESPONSE_GAP HTTP2 <> <x>\n"
                     "GET /c 0 @3,0,5 RESPONSE_GAP NO_RESPONSE HTTP2 <> <>\n"
                     "POST /b 0 @3,0,5 RESPONSE_GAP NO_RESPONSE HTTP2 <b> <>\n"
                     "GET /d 0 @7,0,7 RESPONSE_GAP NO_RESPONSE HTTP2 <> <>\n");

    begin(&script, "within a field block");
    frame_head(&script, TO_SERVER, HEADERS, END_HEADERS, 1, 40);
    miss(&script, TO_SERVER, 2);
    headers(&script, TO_SERVER, 3, END_STREAM, GET("/never"));
    expect(settings, "");
}

static void check_broken(const struct settings *settings)
{
    static const struct {
        const char *name;
        uint8_t type, flags;
        uint32_t stream, bytes;
        const char *payload;
    } frames[] = {
        {"data of no stream", DATA, 0, 0, 1, "x"},
        {"padding beyond the frame", DATA, PADDED, 1, 2, "\2x"},
        {"settings of a stream", SETTINGS, 0, 1, 0, ""},
        {"half a setting", SETTINGS, 0, 0, 3, "abc"},
        {"a short ping", PING, 0, 0, 4, "ping"},
        {"a long reset", RST_STREAM, 0, 1, 5, "12345"},
        {"a short priority", PRIORITY, 0, 1, 4, "1234"},
        {"a continuation of nothing", CONTINUATION, END_HEADERS, 1, 0, ""},
        {"a client that promises", PUSH_PROMISE, END_HEADERS, 1, 4, "\0\0\0\2"},
        {"headers without the priority they announce", HEADERS, PRIORITISED, 3, 4, "\0\0\0\0"},
        {"an index beyond the table", HEADERS, END_HEADERS, 3, 1, "\xff"},
        {"a block that ends within a field", HEADERS, END_HEADERS, 3, 2, "\0\5"},
        {"a table of a gigabyte", HEADERS, END_HEADERS, 3, 6, "\x3f\xe1\xff\xff\xff\3"},
    };
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        begin(&script, frames[i].name);
        headers(&script, TO_SERVER, 1, 0, POST("/a"));
        frame(&script, TO_SERVER, frames[i].type, frames[i].flags, frames[i].stream,
              frames[i].payload, frames[i].bytes);
        headers(&script, TO_SERVER, 9, END_STREAM, GET("/never"));
        answer(&script, 1, "ok");
        expect(settings, "POST /a 200 @3,4,4 REQUEST_GAP HTTP2 <> <ok>\nmalformed 1\n");
    }
    begin(&script, "another frame within a field block");
    frame(&script, TO_SERVER, HEADERS, 0, 1, "", 0);
    frame(&script, TO_SERVER, PING, 0, 0, "pingpong", 8);
    expect(settings, "malformed 1\n");

    begin_with_nothing(&script, "a connection that does not begin with settings");
    say(&script, TO_SERVER, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
    expect(settings, "malformed 1\n");
}

/* One message is wrong, the rest of the connection is not. */
static void check_malformed(const struct settings *settings)
{
    static char value[4096];
    memset(value, 'v', sizeof value - 1);
    static const char *const blocks[][13] = {
        {":method", "GET", ":scheme", "http", NULL},
        {":scheme", "http", ":path", "/a", NULL},
        {":method", "GET", ":scheme", "http", ":path", "/a", "x", "y", ":authority", "h", NULL},
        {":method", "GET", ":scheme", "http", ":path", "/a", ":path", "/b", NULL},
        {":method", "GET", ":scheme", "http", ":path", "/a", ":status", "200", NULL},
        {":method", "GET", ":scheme", "http", ":path", "/a", ":odd", "1", NULL},
        {":method", "GET", ":scheme", "http", ":path", "/a\r\ncookie: sid=1", NULL},
        {":method", "GET", ":scheme", "http", ":path", "/a", "x\r\ncookie", "sid=1", NULL},
        {":method", "GET", ":scheme", "http", ":path", "/a", "x: y", "z", NULL},
        {":method", "GET", ":scheme", "http", ":path", "/a", "", "z", NULL},
        {":method", "GET", ":scheme", "http", ":path", "/a", value, value, value, value, NULL},
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        begin(&script, "a request that is none");
        headers(&script, TO_SERVER, 1, 0, blocks[i]);
        data(&script, TO_SERVER, 1, END_STREAM, "body");
        headers(&script, TO_SERVER, 3, END_STREAM, GET("/b"));
        answer(&script, 1, "ok");
        answer(&script, 3, "ok");
        expect(settings, "GET /b 200 @3,4,4 HTTP2 <> <ok>\nmalformed 1\n");
    }
    static const char *const bad[] = {"20", "2000", "2x0", "099", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(&script, "a response that is none");
        headers(&script, TO_SERVER, 1, END_STREAM, GET("/a"));
        headers(&script, TO_CLIENT, 1, 0, STATUS(bad[i]));
        data(&script, TO_CLIENT, 1, END_STREAM, "ok");
        expect(settings, "GET /a 0 @3,0,4 NO_RESPONSE HTTP2 <> <>\nmalformed 1\n");
    }
    begin(&script, "streams of the server's, and numbers that fall");
    headers(&script, TO_SERVER, 2, END_STREAM, GET("/even"));
    headers(&script, TO_SERVER, 5, END_STREAM, GET("/a"));
    headers(&script, TO_SERVER, 3, END_STREAM, GET("/lower"));
    answer(&script, 3, "?");
    answer(&script, 2, "?");
    answer(&script, 5, "ok");
    expect(settings, "GET /a 200 @3,4,4 HTTP2 <> <ok>\n");
}

static void check_bounds(const struct settings *settings)
{
    begin(&script, "too many streams: the oldest makes room");
    for (uint32_t id = 1; id <= 21; id += 2)
        headers(&script, TO_SERVER, id, END_STREAM, GET("/a"));
    for (uint32_t id = 1; id <= 21; id += 2)
        answer(&script, id, "ok");
    struct counters counters = count_of(settings);
    CHECK(settings->limits.http2_streams_max == 8);
    CHECK(counters.value[COUNT_http2_streams_shed] == 3);
    CHECK(counters.value[COUNT_http_transactions] == 11);
    CHECK(counters.value[COUNT_http_unpaired_responses] == 0);

    for (size_t memory = 1024; memory < 24000; memory += memory / 24) {
        struct settings tight = *settings;
        tight.memory_bytes = memory;
        counters = count_of(&tight);
        CHECK(counters.value[COUNT_memory_shed] || counters.value[COUNT_http_transactions] == 11);
    }
    CHECK(counters.value[COUNT_http_transactions] == 11);
}

/* The beginning was not captured: nothing is known of the tables. */
static void check_midway(const struct settings *settings)
{
    begin_with_nothing(&script, "from the middle");
    frame(&script, TO_SERVER, HEADERS, END_HEADERS | END_STREAM, 7, "\xc1\xc0\xbf\xbe", 4);
    frame(&script, TO_SERVER, WINDOW_UPDATE, 0, 0, "\0\1\0\0", 4);
    frame(&script, TO_CLIENT, HEADERS, END_HEADERS, 7, "\x88", 1);
    data(&script, TO_CLIENT, 7, END_STREAM, "ok");
    expect(settings, "");
    struct counters counters = count_of(settings);
    CHECK(counters.value[COUNT_http2_unseen] == 1);
    CHECK(counters.value[COUNT_http2_connections] == 0);
    CHECK(counters.value[COUNT_stream_skipped_bytes] == 13 + 13 + 10 + 11);
}

int main(void)
{
    struct interest *interest = interest_open();
    CHECK(interest_add_path(interest, "*", "*", WANT_REQUEST_BODY | WANT_RESPONSE_BODY,
                            (struct needles){0}, (struct needles){0}));
    struct settings settings = {interest, test_limits(), 1 << 20, 80};
    settings.limits.http_head_bytes_max = 8192;
    check_gaps(&settings);
    check_broken(&settings);
    check_malformed(&settings);
    check_bounds(&settings);
    check_midway(&settings);
    interest_close(interest);
    return checks_report("http2_loss");
}
